"""The labels that the evidence speaks against most, worst first."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mien.atomic import written_whole
from mien.cells import cell
from mien.data import Store
from mien.review import confident_learning
from mien.review.evidence import Evidence


@dataclass(frozen=True)
class Suspect:
    """A picture whose label may be wrong, or one that is shown among these.

    name, label: as the source has them. suggested: the most probable other class. relative_confidence: of the
    label, 1 is usual for its class; the list is ordered by it. label_probability, suggested_probability: of both.
    neighbours: the names and labels of the nearest pictures.
    """

    name: str
    label: str
    suggested: str
    relative_confidence: float
    label_probability: float
    suggested_probability: float
    neighbours: tuple[tuple[str, str], ...]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def ranked(evidence: Evidence) -> tuple[np.ndarray, int]:
    """All images under review, the most suspicious first, (N,), and how many at the start are suspects.

    The order is that of the relative confidence. Confident learning says how many: as many as are confidently of
    another class than their label. To put those themselves first finds fewer wrong labels
    (log/2026-11-30-suspects-relative-to-their-class.md).
    """
    found = confident_learning.suspected(evidence.labels, evidence.probabilities)
    confidence = confident_learning.relative_confidence(evidence.labels, evidence.probabilities)
    return np.argsort(confidence, kind="stable"), int(found.sum())


def confusions(store: Store, evidence: Evidence) -> list[tuple[str, str, int]]:
    """How many images of a label are confidently of another class: (label, class, images), the most first."""
    joint = confident_learning.confident_joint(evidence.labels, evidence.probabilities)
    pairs = [(int(joint[i, j]), i, j) for i, j in np.argwhere(joint > 0) if i != j]
    return [(store.classes[i], store.classes[j], count) for count, i, j in sorted(pairs, key=lambda pair: -pair[0])]


def described(store: Store, evidence: Evidence, chosen: Sequence[int] | np.ndarray) -> list[Suspect]:
    """Of chosen images, positions among those under review, what there is to say."""
    confidence = confident_learning.relative_confidence(evidence.labels, evidence.probabilities)
    other = confident_learning.best_other(evidence.labels, evidence.probabilities)

    def name(position: int) -> str:
        return store.names[evidence.indices[position]]

    def one(position: int) -> Suspect:
        label, suggested, shares = evidence.labels[position], other[position], evidence.probabilities[position]
        return Suspect(
            name=name(position),
            label=store.classes[label],
            suggested=store.classes[suggested],
            relative_confidence=round(float(confidence[position]), 4),
            label_probability=round(float(shares[label]), 4),
            suggested_probability=round(float(shares[suggested]), 4),
            neighbours=tuple(
                (name(each), store.classes[evidence.labels[each]]) for each in evidence.neighbours[position]
            ),
        )

    return [one(int(position)) for position in chosen]


def write_suspects(suspects: Sequence[Suspect], path: Path) -> None:
    """A table of them, the worst first. Raises MienError when it cannot be written."""
    with written_whole(path) as file:
        writer = csv.writer(file)
        writer.writerow(
            ["path", "label", "suggested", "relative_confidence", "label_probability", "suggested_probability"]
        )
        for each in suspects:
            words = map(cell, (each.name, each.label, each.suggested))
            writer.writerow([*words, each.relative_confidence, each.label_probability, each.suggested_probability])
