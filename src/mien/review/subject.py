"""What is reviewed: the pictures of a path or of a run, as a network wants them, and their labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien.config import Data
from mien.config.sweep_plan import is_sweep
from mien.data import Store, listed, open_store, prepare
from mien.data.listing import SPLITS, Listing
from mien.errors import DataError, MissingError
from mien.evaluate.features import FACES, OTHERS
from mien.labels import has_expressions
from mien.pretrained import Classifier, from_pretrained
from mien.progress import warn
from mien.runs import Predictions, is_run, layout, read_recipe
from mien.runs.data import Images, moved
from mien.runs.folder import runs_in
from mien.runtime.network import Network, is_export


@dataclass(frozen=True, eq=False)
class Subject:
    """The pictures under review.

    store: prepared for the classifier. indices: of those under review, all but the test split's. listing: the source's.
    model: the name of the classifier. folds: out-of-fold predictions, where there are any. has_splits: whether a
    corrected table says which split each picture is in.
    """

    data: Data
    listing: Listing
    store: Store
    indices: np.ndarray
    classifier: Classifier
    model: str
    folds: Predictions | None
    has_splits: bool


def open_subject(data: Data, model: str | None = None, folds: Predictions | None = None) -> Subject:
    """Open the pictures of a data section and the network in whose features they are compared.

    model: a name such as mien:base, a run folder or weights; None chooses one: mien:base for expressions unless it
    learned from these very pictures, mien:vit-tiny-imagenet for everything else.
    """
    listing = listed(data)
    chosen = model or (FACES if has_expressions(listing.classes) else OTHERS)
    classifier, store = _opened(data, chosen, whole=folds is not None)
    if _learned_from(chosen, store):
        if model is None:
            chosen = OTHERS
            classifier, store = _opened(data, chosen, whole=folds is not None)
        else:
            warn(
                f"{model} learned from these very pictures with these labels, so it may have learned wrong ones too; "
                f"what it does not find, {OTHERS} may."
            )
    under_review = store.splits < SPLITS.index("test")
    if folds is not None:  # whose settings may have left some out
        under_review &= np.isin(store.names, folds.names)
    indices = np.flatnonzero(under_review)
    splits = folds is None or len({each for each in listing.splits if each}) > 1
    return Subject(data, listing, store, indices, classifier, chosen, folds, splits)


def of_run(run: Path) -> tuple[Data, Predictions | None]:
    """The data of a run, or of a cross-validation with its out-of-fold predictions.

    Raises MissingError for a cross-validation that has not been joined yet.
    """
    if not is_sweep(run):
        return moved(read_recipe(run)).data, None
    table = run / layout.OUT_OF_FOLD
    first = next(iter(runs_in(run)), None)
    if first is None or not table.is_file():
        raise MissingError(
            f"{run} has no {layout.OUT_OF_FOLD}: it is no cross-validation, or has not finished. Finish it with "
            f"`mien.resume({str(run)!r})`, or start one: mien run RECIPE with `data.folds` 5"
        )
    return moved(read_recipe(first)).data.with_(folds=0, fold=None), Predictions.load(table)


def is_of_run(path: Path) -> bool:
    return is_run(path) or is_sweep(path)


def _opened(data: Data, model: str, whole: bool) -> tuple[Classifier, Store]:
    classifier = from_pretrained(model if model.startswith(("mien:", "hf-hub:", "timm:")) else Path(model))
    asked = data.with_(skip_bad=True, **classifier.preprocessing.settings())
    store = prepare(asked) if whole else open_store(asked)
    if len(store.classes) < 2:
        raise DataError(f"{data.path} has {len(store.classes)} class(es); there is nothing to mistake one for.")
    return classifier, store


def _learned_from(model: str, store: Store) -> bool:
    """Whether a network learned from the images of a store, as far as it says."""
    place = Path(model)
    if is_run(place):
        known = Images.of(place)
        return known is not None and bool(np.isin(known.digests, store.digests).any())
    if not is_export(model):
        return False
    content = (Network.open(model, threads=1).card or {}).get("content") or {}
    own = {"all": store.content(), **{split: store.content(split) for split in SPLITS[1:] if store.has(split)}}
    return any(content.get(name) == value for name, value in own.items())
