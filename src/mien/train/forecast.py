"""Trainings on parts of the training images: heads on stored features, which take a second, or runs of a recipe."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from mien.atomic import json_sha256
from mien.config import Data, Recipe
from mien.data import Store, prepare, splits
from mien.errors import UsageError
from mien.evaluate import heads
from mien.evaluate.features import features
from mien.evaluate.forecast import FILE, Measured, Trained, told
from mien.pretrained import from_pretrained
from mien.progress import note, track
from mien.runs import RunFolder, is_finished, is_run
from mien.train import run as training

BACKBONE = "mien:vit-tiny-imagenet"
SHARES = (0.1, 0.2, 0.4, 0.8)
SEEDS = 5
CLASSES = 20  # with more, what half of each brought is not measured: it takes a training for each and seed


class Part(NamedTuple):
    """Which part of the training images one training sees, see `Trained`."""

    share: float
    seed: int
    halved: str = ""


class Learner(Protocol):
    """What is trained on the parts.

    how: what tells it from others, for forecast.json. data: the images, with a `drop_leaks` that keeps photographs
    together. quick: whether a training takes seconds; then there is also one without half of each class.
    """

    how: dict[str, Any]
    data: Data
    quick: bool

    def answers(self, part: Part, chosen: np.ndarray) -> np.ndarray:
        """The predicted classes of the validation images, int (n,), after training on the images at `chosen`."""
        ...


class Heads:
    """A linear head on the features of a network that stays as it is."""

    quick = True

    def __init__(self, backbone: str, data: Data) -> None:
        self.how = {"features": backbone}
        self.network = from_pretrained(backbone)
        self.data = without_leaks(data).with_(**self.network.preprocessing.settings())
        store = splits.apply(prepare(self.data), self.data)
        used = np.flatnonzero(store.splits != splits.TEST)  # left out of train or not: the cache then serves again
        found = features(self.network, store, used).reshape(len(used), -1)
        self.features = np.zeros((len(store), found.shape[1]), dtype=np.float32)
        self.features[used] = found
        self.store = store

    def answers(self, part: Part, chosen: np.ndarray) -> np.ndarray:
        head = heads.fit(self.features[chosen], self.store.labels[chosen], len(self.store.classes))
        return head.probabilities(self.features[self.store.indices("validation")]).argmax(axis=1)


class Runs:
    """A recipe, trained in a run folder for each part; one that was stopped goes on."""

    quick = False

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self.recipe, self.folder = recipe, folder
        self.data = without_leaks(recipe.data)
        settings = json_sha256(recipe.with_(seed=0, data={"path": None}).model_dump(mode="json"))[:8]
        self.how = {"recipe": recipe.name, "epochs": recipe.train.epochs, "settings": settings}

    def answers(self, part: Part, chosen: np.ndarray) -> np.ndarray:
        folder = self.folder / "runs" / f"{100 * part.share:g}-percent-seed-{part.seed}"
        data = {"train_fraction": part.share, "fraction_seed": part.seed, "drop_leaks": self.data.drop_leaks}
        if not is_run(folder):
            training.run(self.recipe.with_(data=data, seed=part.seed), folder)
        elif not is_finished(folder):
            training.resume(folder)
        return RunFolder.open(folder).predictions().predicted


def without_leaks(data: Data) -> Data:
    """The data without training images that validation holds copies of, all images of a photograph kept together.

    Otherwise more pictures would bring more answers that have been seen, and the curve would rise by that too.
    """
    if data.train_fraction < 1 or data.folds:
        raise UsageError(
            "A forecast takes its own parts of the data. Leave `data.train_fraction` and `data.folds` out."
        )
    return data.with_(drop_leaks="near")


def measure(
    learner: Learner, out: Path, shares: Sequence[float] = SHARES, seeds: int = SEEDS, against: Path | None = None
) -> Measured:
    """Train on each share of the training images with each seed; forecast.json in `out` keeps each when it is done.

    against: an earlier forecast, for which one training on all images is added.
    Raises UsageError where `out` holds a forecast of other data or trained otherwise.
    """
    store = prepare(learner.data)
    whole = splits.apply(store, learner.data)
    _refuse_empty(whole, min(shares))
    measured = _begun(learner, whole, out / FILE)
    known = {Part(each.share, each.seed, each.halved) for each in measured.trainings}
    parts = [*_parts(shares, seeds, whole.classes if learner.quick else ()), *([Part(1.0, 0)] if against else [])]
    left = [part for part in parts if part not in known]
    if known and left:
        note(f"{len(parts) - len(left)} of {len(parts)} trainings are there already.")
    for part in track(left, "trainings", len(left)) if learner.quick else _announced(left):
        started, chosen = time.perf_counter(), _chosen(store, learner.data, part)
        answers = learner.answers(part, chosen).tolist()
        seconds = round(time.perf_counter() - started, 2)
        done = Trained(images=len(chosen), **part._asdict(), answers=answers, seconds=seconds)
        measured = replace(measured, trainings=[*measured.trainings, done])
        measured.save(out / FILE, None)
    return measured


def _refuse_empty(store: Store, share: float) -> None:
    """Raise UsageError where the smallest part would have no image of a class."""
    counts = store.class_counts("train")
    if counts.min() * share <= 0.5:
        name = store.classes[int(counts.argmin())]
        raise UsageError(
            f"`points` {share:g}: '{name}' has {counts.min():,} training images, and that share of them is none. Take "
            f"larger shares, from {min(0.5, 1 / counts.min()):.2g} on, or add pictures."
        )


def _announced(parts: Sequence[Part]) -> Iterator[Part]:
    """The parts, each with a line before it: runs have bars of their own, and there is room for one."""
    for number, part in enumerate(parts, start=1):
        note("", f"Training {number} of {len(parts)}: {part.share:.0%} of the pictures, seed {part.seed}")
        yield part


def _parts(shares: Sequence[float], seeds: int, classes: Sequence[str]) -> Iterator[Part]:
    """Every part: each share by seeds, and the largest share without half of each class, by the same seeds."""
    for place, share in enumerate(sorted(shares)):
        for seed in range(seeds):
            yield Part(share, place * seeds + seed)  # parts of different sizes are drawn independently
    if len(classes) <= CLASSES:
        for name in classes:
            for seed in range(seeds):
                yield Part(max(shares), (len(shares) - 1) * seeds + seed, name)


def _chosen(store: Store, data: Data, part: Part) -> np.ndarray:
    """Positions of the training images of a part, stratified, with all images of a photograph or none, int (n,)."""

    def train(share: float) -> np.ndarray:
        return splits.apply(store, data.with_(train_fraction=share, fraction_seed=part.seed)).indices("train")

    chosen = train(part.share)
    if not part.halved:
        return chosen
    half = np.isin(chosen, train(part.share / 2))  # of one seed, the smaller part lies in the larger one
    return chosen[half | (store.labels[chosen] != store.classes.index(part.halved))]


def _begun(learner: Learner, store: Store, path: Path) -> Measured:
    """The measurements in `path`, or none yet. Raises UsageError where they are of other data or trained otherwise."""
    labels = store.labels[store.indices("validation")]
    new = Measured(
        how=learner.how,
        source=learner.data.source,
        classes=store.classes,
        counts=tuple(store.class_counts("train").tolist()),
        labels=labels.tolist(),
        content={split: store.content(split) for split in ("train", "validation")},
    )
    if not path.is_file():
        return new
    found = Measured.load(path)
    if replace(found, trainings=[]) != new:
        what = f"of {told(found.how)}, not {told(new.how)}" if found.how != new.how else "of other images"
        raise UsageError(f"{path} is a forecast {what}. Choose another `out`.")
    return found
