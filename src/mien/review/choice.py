"""The pictures that a review shows: the most suspicious ones, and a random sample mixed in at random places."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mien.config import Data
from mien.data import Store, listed
from mien.data.listing import Listing
from mien.errors import UsageError
from mien.review import confident_learning
from mien.review.evidence import Evidence, gather_evidence
from mien.review.session import UNUSABLE, Session, Shown, beside, key_of, resume
from mien.review.subject import open_subject
from mien.review.suspects import ranked
from mien.runs import Predictions


def open_session(
    data: Data, model: str | None, folds: Predictions | None, table: Path, suspects: int = 200, controls: int = 50
) -> tuple[Session, Listing]:
    """Go on with the review of a table, or begin one with at most so many suspects and so many random pictures.

    model, folds: see `open_subject`. Raises UsageError where a review of other pictures was begun for that table.
    """
    refuse_source(table, data)
    listing = listed(data)
    if (begun := resume(beside(table), listing)) is not None:
        return begun, listing
    subject = open_subject(data, model, folds)
    evidence = gather_evidence(subject.store, subject.indices, subject.classifier, subject.folds)
    positions = usable(listing, subject.store)
    shown, found = choose(evidence, positions[subject.indices], listing.classes, suspects, controls)
    splits = np.full(len(listing), UNUSABLE)
    splits[positions] = np.minimum(subject.store.splits, 9).astype(str)
    session = Session(
        path=beside(table),
        key=key_of(listing),
        pictures=len(evidence.labels),
        suspects=found,
        model=subject.model,
        splits="".join(splits),
        has_splits=subject.has_splits,
        shown=shown,
    )
    return session, listing


def refuse_source(table: Path, data: Data) -> None:
    """Raise UsageError for a table that would be written over the one under review."""
    if data.path and table.is_file() and data.path.is_file() and table.samefile(data.path):
        raise UsageError(f"{table} is itself under review, and is not written over. Give the new table another name.")


def usable(listing: Listing, store: Store) -> np.ndarray:
    """Where the pictures of a store stand in the listing that it was made of, int (N,)."""
    decoded = set(store.names)  # not all but the unreadable: one picture may be in a good row and in a bad one
    found = [i for i, name in enumerate(listing.names) if i not in listing.problems and name in decoded]
    return np.array(found, np.int64)


def choose(
    evidence: Evidence, places: np.ndarray, classes: Sequence[str], suspects: int, controls: int, seed: int = 0
) -> tuple[list[Shown], int]:
    """The pictures in the order in which they are shown, and how many suspects there are in all.

    places: int (N,), where the pictures under review stand in the listing. Of the random pictures `controls` are none
    of the suspects that are shown.
    """
    order, found = ranked(evidence)
    other = confident_learning.best_other(evidence.labels, evidence.probabilities)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    random = np.random.default_rng(seed)
    first = min(found, suspects)
    drawn = _draw(random.permutation(len(order)), rank, first, controls)
    draws = {int(position): number for number, position in enumerate(drawn)}

    def shown(i: int) -> Shown:
        near = tuple(places[evidence.neighbours[i]].tolist())
        return Shown(int(places[i]), classes[other[i]], near, int(rank[i]), draws.get(i))

    return [shown(i) for i in _mixed(order[:first].tolist(), drawn.tolist(), random)], found


def _draw(permuted: np.ndarray, rank: np.ndarray, first: int, controls: int) -> np.ndarray:
    """The start of a random order that holds so many pictures that are no suspects; what else it holds stays in it.

    A review that is broken off has looked at some of the suspects alone. The others belong to the rest then, of which
    this is a random sample only if they can be in it.
    """
    outside = np.cumsum(rank[permuted] >= first)
    wanted = min(controls, int(outside[-1]))
    return permuted[: int(np.searchsorted(outside, wanted)) + 1] if wanted > 0 else permuted[:0]


def _mixed(suspects: Sequence[int], drawn: Sequence[int], random: np.random.Generator) -> list[int]:
    """Both in their order, the drawn ones at random places; what is in both comes once, at the earlier place."""
    is_drawn = random.permutation(np.arange(len(suspects) + len(drawn)) < len(drawn))
    queues = iter(suspects), iter(drawn)
    return list(dict.fromkeys(next(queues[int(which)]) for which in is_drawn))
