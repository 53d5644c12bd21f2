"""Class names, their order, their spellings and aliases, and maps between data sets.

A model carries its labels by name, as they are written. FER2013's CSV order and the alphabetical order of a folder
differ in the last three classes, so indices are never compared, only names; whether two names are the same is decided
here alone.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mien.errors import DataError, nearest

FER2013 = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
WITH_CONTEMPT = (*FER2013, "contempt")  # FER+ and AffectNet

ALIASES = {
    "anger": "angry",
    "disgusted": "disgust",
    "fearful": "fear",
    "afraid": "fear",
    "happiness": "happy",
    "joy": "happy",
    "sadness": "sad",
    "surprised": "surprise",
    "neutrality": "neutral",
}


@dataclass(frozen=True)
class LabelDisagreement:
    """How often two labels of one photograph differ, in data that hold it more than once.

    share: of the pairs of a photograph's images, mean over photographs; its 95 % interval (Wilson's) by `photographs`.
    best: no answer can be right more often, whatever it knows, if the labels of one photograph were given independently
    of each other: a photograph whose two labels agree with probability a has no label of a probability over sqrt(a).
    """

    photographs: int
    share: float
    interval: tuple[float, float]
    best: float
    best_interval: tuple[float, float]


def folded(name: str) -> str:
    """What two spellings of one name have in common: 'Colère ' and 'COLÈRE' give 'colère'.

    No surrounding blanks, no upper case, and accents composed with their letters (NFC), as macOS does not write them.
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name.strip()).casefold())


def canonical(name: str) -> str:
    """`folded`, and the usual word for an expression: ' Happiness' -> 'happy'."""
    return ALIASES.get(folded(name), folded(name))


def has_expressions(names: Sequence[str]) -> bool:
    """Whether any of the classes is a facial expression by its name, so that a model of them reads faces."""
    return any(canonical(name) in WITH_CONTEMPT for name in names)


def one_spelling(counts: Mapping[str, int]) -> dict[str, str]:
    """Each name -> the spelling that all of its spellings become: the one with most images, the first of equals.

    {'Happy': 3, 'happy': 9} -> {'Happy': 'happy', 'happy': 'happy'}.
    """
    by_count = sorted(counts, key=lambda name: (-counts[name], name))
    chosen: dict[str, str] = {}
    for name in by_count:
        chosen.setdefault(folded(name), name)
    return {name: chosen[folded(name)] for name in counts}


def merged(spellings: Mapping[str, str]) -> list[str]:
    """What to say of names that became one: "'Happy' and 'happy' are one class, 'happy'."."""
    told = []
    for name, times in Counter(spellings.values()).items():
        if times > 1:
            variants = sorted({repr(each) for each, chosen in spellings.items() if chosen == name})
            told.append(f"{' and '.join(variants)} are one class, '{name}'.")
    return told


def match(given: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """For each name in `given`, its index in `wanted`; matched by canonical name, never by position.

    Raises DataError when a name in `given` has no counterpart, or two names have the same.
    """
    if set(given) <= set(wanted) and len(set(given)) == len(given):  # the same names: no alias needed
        return [list(wanted).index(name) for name in given]
    index = {canonical(name): position for position, name in enumerate(wanted)}
    unknown = [name for name in given if canonical(name) not in index]
    if unknown:
        raise DataError(
            f"Class '{unknown[0]}' is not among the known classes ({', '.join(wanted)})."
            f"{nearest(canonical(unknown[0]), index)} Rename it, or train on data that has it."
        )
    found: dict[int, str] = {}
    for name in given:
        position = index[canonical(name)]
        if position in found:
            raise DataError(f"Classes '{found[position]}' and '{name}' mean the same. Make them one.")
        found[position] = name
    return list(found)
