"""Class names, their order, their aliases, and maps between data sets.

A model carries its labels by name. FER2013's CSV order and the alphabetical order of a folder
differ in the last three classes, so indices are never compared, only names.
"""

from __future__ import annotations

from collections.abc import Sequence

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


def canonical(name: str) -> str:
    """Lower case, no surrounding blanks, the usual word for an expression: ' Happiness' -> 'happy'."""
    lowered = name.strip().lower()
    return ALIASES.get(lowered, lowered)


def has_expressions(names: Sequence[str]) -> bool:
    """Whether any of the classes is a facial expression by its name, so that a model of them reads faces."""
    return any(canonical(name) in WITH_CONTEMPT for name in names)


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
