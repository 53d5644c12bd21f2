"""What speaks for or against each label: probabilities from networks that did not learn it, and the nearest pictures.

The probabilities are those of a cross-validation (`data.folds`), or, in seconds, of linear heads on
the features of a network that is there already: each image by a head that was fitted without its fold. The neighbours'
labels vote in the same features. Both are mixed in the shares that foretell the given labels best.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.data import Store
from mien.data.splits import near_folds
from mien.errors import DataError
from mien.evaluate import heads
from mien.evaluate.features import features
from mien.evaluate.neighbours import directions, nearest, votes
from mien.pretrained import Classifier
from mien.runs import Predictions

FOLDS = 5
VOTERS = 20  # neighbours whose labels are counted
SHOWN = 5  # of them, beside a suspect
SHARES = np.linspace(0, 1, 11)  # of the votes in the mixture that are tried


@dataclass(frozen=True, eq=False)
class Evidence:
    """Of N images under review, what speaks for each class.

    indices: their positions in the store, (N,). labels: as given, int (N,). probabilities: (N, K), rows sum to 1.
    neighbours: (N, 5), the nearest others first, as positions among the N. vote_share: of the votes in the mixture.
    parts: the probabilities of the heads or folds and of the neighbours' votes alone.
    """

    indices: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    neighbours: np.ndarray
    vote_share: float
    parts: dict[str, np.ndarray]

    @property
    def accuracy(self) -> dict[str, float]:
        """How often the most probable class is the given label, for each part and for both together."""
        every = {**self.parts, "both": self.probabilities}
        return {name: float((part.argmax(axis=1) == self.labels).mean()) for name, part in every.items()}


def gather_evidence(
    store: Store, indices: np.ndarray, classifier: Classifier, folds: Predictions | None = None, seed: int = 0
) -> Evidence:
    """Look at images of a store that was prepared for the classifier.

    folds: out-of-fold predictions of these images, in place of heads. Raises DataError where they are of others.
    """
    labels, classes = store.labels[indices], len(store.classes)
    found = features(classifier, store, indices)
    if folds is None:
        pool = np.isin(np.arange(len(store)), indices)
        number = near_folds(store, pool, FOLDS, seed)[indices]
        flat = found.reshape(len(found), -1)
        probabilities = heads.out_of_fold(flat, labels, classes, number)
    else:
        probabilities = _of_folds(store, indices, folds)
    rows = directions(found)
    near = nearest(rows, rows, VOTERS, themselves=True)
    voted = votes(near, labels, classes)
    share = _best_share(labels, probabilities, voted)
    mixed = (1 - share) * probabilities + share * voted
    parts = {"folds" if folds else "heads": probabilities, "neighbours": voted}
    return Evidence(indices, labels, mixed, near.positions[:, :SHOWN], share, parts)


def _best_share(labels: np.ndarray, probabilities: np.ndarray, voted: np.ndarray) -> float:
    """The share of the votes with which the given labels are least surprising."""
    rows = np.arange(len(labels))
    one, other = probabilities[rows, labels], voted[rows, labels]
    losses = [-np.log(np.maximum((1 - share) * one + share * other, 1e-9)).mean() for share in SHARES]
    return float(SHARES[int(np.argmin(losses))])


def _of_folds(store: Store, indices: np.ndarray, folds: Predictions) -> np.ndarray:
    """The out-of-fold probabilities of these images in the order of the store's classes, (n, K)."""
    if set(folds.classes) != set(store.classes):
        raise DataError(
            f"The folds tell {', '.join(folds.classes)} apart, and the data have {', '.join(store.classes)}."
        )
    where = {name: position for position, name in enumerate(folds.names)}
    if len(indices) < len(folds):
        raise DataError(
            f"{len(folds) - len(indices):,} of the folds' {len(folds):,} pictures are no longer in their data. Bring "
            "them back, or run the folds again."
        )
    columns = [folds.classes.index(name) for name in store.classes]
    return folds.probabilities[[where[store.names[i]] for i in indices]][:, columns]
