"""What is wrong with a data set: copies, conflicting labels, small classes, blank, unreadable and odd-sized images.

Two images are copies when all their pixels are equal, as the store holds them; what are near copies, `mien.data.near`
says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from mien import media
from mien.atomic import written_whole
from mien.data.listing import SPLITS
from mien.data.near import NearCopies
from mien.data.near.findings import disagreement, groups, leaked, pairs_across, pairs_within
from mien.data.store import Store
from mien.errors import UsageError, nearest
from mien.labels import LabelDisagreement
from mien.progress import printable

BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # what begins a new line, and other control characters
SHOWN = 3  # names that describe() gives of a finding
CLASSES_SHOWN = 12  # whose counts describe() gives one by one
FEW = 20  # training images of which a class cannot be learned, and validation has 3
FAR_FEWER = 20  # times fewer than those of the largest class


@dataclass(frozen=True)
class Audit:
    """The findings; `images`, `repeats` and `blank` are counts for each split.

    copies: 'a/b' counts the images of split b that equal an image of split a.
    repeats: images less distinct images, within a split.
    conflicts: groups of equal images that carry different labels, over all splits together;
    conflicts_within: the same within each split.
    odd_sizes: name -> 'WxH' of images that are not of the size that more than half share.
    copy_pairs, repeat_pairs: for each of them its name, after that of the first image it equals.
    conflicting, blank_names: the images behind the other numbers.
    classes: class -> images of each split. small_classes: those with fewer than FEW images outside validation and test,
    or FAR_FEWER times fewer than the largest.
    near_copies, near_pairs: 'a/b' counts and names the images of split b that have a near copy in split a and equal no
    image there, each after the most alike one; near_repeats, near_repeat_pairs: the same within a split.
    near_groups: the images of each photograph that has near copies, over all splits together. These are empty, and
    label_disagreement None, where near copies were not looked for.
    left_out: why images or files of the source are not looked at -> how many. reasons: why unreadable ones are.
    """

    images: dict[str, int]
    copies: dict[str, int]
    repeats: dict[str, int]
    conflicts: int
    blank: dict[str, int]  # see Store.blank
    unreadable: list[str]
    conflicts_within: dict[str, int]
    odd_sizes: dict[str, str]
    conflicting: list[list[str]]
    blank_names: list[str]
    copy_pairs: dict[str, list[list[str]]]
    repeat_pairs: dict[str, list[list[str]]]
    classes: dict[str, dict[str, int]]
    small_classes: list[str]
    left_out: dict[str, int]
    reasons: list[str]
    near_copies: dict[str, int]
    near_pairs: dict[str, list[list[str]]]
    near_repeats: dict[str, int]
    near_repeat_pairs: dict[str, list[list[str]]]
    near_groups: list[list[str]]
    label_disagreement: LabelDisagreement | None

    def to_dict(self) -> dict[str, Any]:
        """The findings as plain values, for JSON."""
        return asdict(self)

    def counts(self) -> dict[str, int]:
        """One number for each kind of finding."""
        return {
            "copies": sum(self.copies.values()),
            "repeats": sum(self.repeats.values()),
            "conflicts": self.conflicts,
            "blank": sum(self.blank.values()),
            "unreadable": len(self.unreadable),
            "odd_sizes": len(self.odd_sizes),
            "small_classes": len(self.small_classes),
            "left_out": sum(self.left_out.values()),
            "near_copies": sum(self.near_copies.values()),
            "near_repeats": sum(self.near_repeats.values()),
        }

    def failed(self, kinds: Iterable[str]) -> list[str]:
        """Those of the named kinds of which something was found. Raises UsageError for an unknown kind."""
        counts = self.counts()
        chosen = [kind.strip() for kind in kinds if kind.strip()]
        for kind in chosen:
            if kind not in counts:
                raise UsageError(
                    f"No finding is called '{kind}'.{nearest(kind, counts)} There are {', '.join(counts)}."
                )
        return [kind for kind in chosen if counts[kind]]

    def describe(self) -> str:
        """The findings as lines of text."""
        lines = [
            _line("images", self.images),
            _line("copies across splits", self.copies) + _some_groups(*self.copy_pairs.values()),
            _line("repeats within a split", self.repeats) + _some_groups(*self.repeat_pairs.values()),
            *self._near(),
            f"{'conflicting labels':<24}{self.conflicts:,} groups{_some_groups(self.conflicting)}",
            _line("blank", self.blank) + _some(self.blank_names),
            f"{'unreadable':<24}{len(self.unreadable):,}{_some(self.unreadable)}",
            *(f"{'':<24}{printable(reason)}" for reason in self.reasons[:SHOWN]),
            f"{'of another size':<24}{len(self.odd_sizes):,}{_some(map(' '.join, self.odd_sizes.items()))}",
            f"{'of each class':<24}{self._class_sizes()}",
            f"{'small classes':<24}{len(self.small_classes):,}{_some(map(self._size, self.small_classes))}",
            f"{'left out':<24}{media.told(self.left_out) or 0}",
        ]
        return "\n".join(lines)

    def _near(self) -> list[str]:
        if not self.near_copies:
            return []
        lines = [
            _line("near copies", self.near_copies) + _some_groups(*self.near_pairs.values(), sign=" ~ "),
            _line("near repeats", self.near_repeats) + _some_groups(*self.near_repeat_pairs.values(), sign=" ~ "),
        ]
        if found := self.label_disagreement:
            low, high = found.interval
            lines.append(
                f"{'two labels of one':<24}differ in {found.share:.1%} ({low:.1%} to {high:.1%}) of "
                f"{found.photographs:,} photographs that are there more than once"
            )
        return lines

    def _size(self, name: str) -> str:
        return f"{printable(name)} {sum(self.classes[name].values()):,}"

    def _class_sizes(self) -> str:
        if len(self.classes) <= CLASSES_SHOWN:
            return ", ".join(map(self._size, self.classes))
        sizes = [sum(counts.values()) for counts in self.classes.values()]
        return f"{len(sizes)} classes of {min(sizes):,} to {max(sizes):,}"


def audit(store: Store, near: NearCopies | None = None) -> Audit:
    """Find what is wrong with the images of a store as its source splits them.

    near: its near copies, None where they are not to be looked for.
    """
    _, same = np.unique(store.digests, return_inverse=True)  # equal images have equal numbers, (N,)
    members = {split: store.indices(split) for split in SPLITS}
    everywhere = np.arange(len(store))
    conflicting = _conflicting(store, same, everywhere)
    blank = store.blank()
    copies = {f"{a}/{b}": _pairs(store, same, members[b], members[a]) for a, b in combinations(SPLITS, 2)}
    repeats = {split: _pairs(store, same, found, found) for split, found in members.items()}
    counts = {split: store.class_counts(split) for split in SPLITS}
    across, within = (pairs_across(store, near), pairs_within(store, near)) if near else ({}, {})
    return Audit(
        images={split: len(found) for split, found in members.items()},
        copies={name: len(pairs) for name, pairs in copies.items()},
        repeats={split: len(pairs) for split, pairs in repeats.items()},
        conflicts=len(conflicting),
        blank={split: int(blank[found].sum()) for split, found in members.items()},
        unreadable=list(store.unreadable),
        conflicts_within={split: len(_conflicting(store, same, found)) for split, found in members.items()},
        odd_sizes=_odd_sizes(store),
        conflicting=[[store.names[i] for i in group] for group in conflicting],
        blank_names=[store.names[i] for i in np.flatnonzero(blank)],
        copy_pairs=copies,
        repeat_pairs=repeats,
        classes={name: {split: int(counts[split][i]) for split in SPLITS} for i, name in enumerate(store.classes)},
        small_classes=[store.classes[i] for i in np.flatnonzero(_is_small(counts["train"]))],
        left_out={why: count for why, count in store.left_out.items() if count},
        reasons=list(store.unreadable.values()),
        near_copies={name: len(pairs) for name, pairs in across.items()},
        near_pairs=across,
        near_repeats={split: len(pairs) for split, pairs in within.items()},
        near_repeat_pairs=within,
        near_groups=[[store.names[i] for i in group] for group in groups(store, near)] if near else [],
        label_disagreement=disagreement(store, near) if near else None,
    )


def _is_small(counts: np.ndarray) -> np.ndarray:
    """Of the training images of each class (K,), whether they are few, bool (K,)."""
    return np.asarray((counts < FEW) | (counts * FAR_FEWER < counts.max(initial=0)))


def clean_names(store: Store, split: str, near: NearCopies | None = None) -> list[str]:
    """Names of the images of a split that no training image equals, nor, where these are known, is a near copy of."""
    indices = store.indices(split)
    if near:
        indices = indices[~leaked(near, indices, store.indices("train"))]
    _, same = np.unique(store.digests, return_inverse=True)
    return [store.names[i] for i in indices[_twins(same, indices, store.indices("train")) < 0]]


def write_names(names: Sequence[str], path: Path) -> None:
    """One name a line, UTF-8; a line break in a name is written as \\n. Raises MienError when it cannot be written."""
    with written_whole(path) as file:
        file.writelines(f"{BREAKS.sub(_escaped, name)}\n" for name in names)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def _twins(same: np.ndarray, images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of each of `images` the first of `others` that equals it, -1 where none does; all are positions. int64 (n,)."""
    first = np.full(same.max(initial=0) + 1, -1)
    first[same[others[::-1]]] = others[::-1]  # the last that is written stays
    return first[same[images]]


def _pairs(store: Store, same: np.ndarray, images: np.ndarray, others: np.ndarray) -> list[list[str]]:
    """Names of those of `images` that equal another one of `others`, each after the name of the first such."""
    twins = _twins(same, images, others)
    return [[store.names[a], store.names[b]] for a, b in zip(twins, images, strict=True) if a not in (-1, b)]


def _conflicting(store: Store, same: np.ndarray, images: np.ndarray) -> list[np.ndarray]:
    """Positions of each group of equal images that has more than one label."""
    order = images[np.lexsort((images, same[images]))]  # equal images side by side, in the order of the store
    starts = np.flatnonzero(np.diff(same[order], prepend=-1))
    if not len(order):
        return []
    lowest = np.minimum.reduceat(store.labels[order], starts)
    mixed = np.flatnonzero(lowest != np.maximum.reduceat(store.labels[order], starts))
    ends = np.append(starts[1:], len(order))
    return [order[start:end] for start, end in zip(starts[mixed], ends[mixed], strict=True)]


def _odd_sizes(store: Store) -> dict[str, str]:
    _, kind, counts = np.unique(store.sizes, axis=0, return_inverse=True, return_counts=True)
    usual = int(counts.argmax())
    if counts[usual] * 2 <= len(store):
        return {}
    odd = np.flatnonzero(kind.reshape(-1) != usual)
    return {store.names[i]: "x".join(map(str, store.sizes[i])) for i in odd}


def _line(what: str, counts: dict[str, int]) -> str:
    return f"{what:<24}" + ", ".join(f"{name} {count:,}" for name, count in counts.items())


def _some_groups(*groups: list[list[str]], sign: str = " = ") -> str:
    return _some(sign.join(group) for several in groups for group in several)


def _some(names: Iterable[str]) -> str:
    found = list(map(printable, names))
    more = f" and {len(found) - SHOWN:,} more" if len(found) > SHOWN else ""
    return f" ({', '.join(found[:SHOWN])}{more})" if found else ""
