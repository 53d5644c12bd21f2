"""The pictures of a data set as vectors: what a network makes of each before its head reads it."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from mien.atomic import write_arrays, written_whole
from mien.cells import cell
from mien.config import Data
from mien.data import Store, listed, open_store
from mien.data.listing import SPLITS
from mien.errors import DataError, MissingError, UsageError, require
from mien.evaluate.features import FACES, OTHERS, features
from mien.evaluate.neighbours import directions
from mien.labels import canonical, has_expressions
from mien.pretrained import Classifier, from_pretrained
from mien.runs import read_recipe
from mien.runs.data import moved
from mien.words import count

SUFFIXES = (".parquet", ".npz", ".csv")
Projection = Literal["pca", "tsne"]
DIRECTIONS = 50  # of the largest variance, that t-SNE sees, as its authors do
MOST = 2000  # pictures on a map; more would hide each other


@dataclass(frozen=True, eq=False)
class Embedding:
    """n pictures and their features.

    features: float32 (n, D). store, indices: the pictures, store.images[indices]. model: the network's name.
    predicted: the class that the network says, as the data spell it, (n,) positions in `classes`; None where the
    network does not know all of the data's classes.
    """

    features: np.ndarray
    store: Store
    indices: np.ndarray
    model: str
    predicted: np.ndarray | None

    @property
    def classes(self) -> tuple[str, ...]:
        return self.store.classes

    @cached_property
    def names(self) -> list[str]:
        return [self.store.names[i] for i in self.indices]

    @property
    def labels(self) -> np.ndarray:
        """Positions in `classes`, int (n,)."""
        return np.asarray(self.store.labels[self.indices])

    @property
    def splits(self) -> list[str]:
        return [SPLITS[split] for split in self.store.splits[self.indices]]

    def save(self, path: Path) -> None:
        """Write a table with a row a picture: name, label, split, predicted, features. By suffix: .parquet, .npz, .csv.

        In .parquet the features are one column of lists; in .csv a column each, f0 to fD; in .npz an array (n, D).
        Raises UsageError for another suffix, MissingError without the extra that .parquet needs.
        """
        check_suffix(path)
        columns = self._columns()
        if path.suffix == ".npz":
            write_arrays(path, features=self.features, **{name: np.array(values) for name, values in columns.items()})
        elif path.suffix == ".csv":
            with written_whole(path) as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow([*columns, *(f"f{i}" for i in range(self.features.shape[1]))])
                for words, row in zip(zip(*columns.values(), strict=True), self.features, strict=True):
                    writer.writerow([*map(cell, words), *(f"{value:.6g}" for value in row)])
        else:
            import pyarrow
            from pyarrow import parquet

            rows = pyarrow.FixedSizeListArray.from_arrays(self.features.ravel(), self.features.shape[1])
            with written_whole(path, binary=True) as file:
                parquet.write_table(pyarrow.table({**columns, "features": rows}), file)

    def project(self, projection: Projection = "pca", most: int = MOST) -> tuple[np.ndarray, np.ndarray]:
        """Lay at most `most` pictures, drawn at random, out in the plane; returns their rows (m,) and places (m, 2).

        Alike are pictures whose features point in the same direction from the mean of all.
        pca: along the two directions of most variance. tsne: neighbours stay neighbours, distances mean little (van der
        Maaten and Hinton, 2008), which takes scikit-learn. Raises DataError for fewer than 3 pictures.
        """
        rows = np.sort(np.random.default_rng(0).permutation(len(self.features))[:most])
        if len(rows) < 3:
            raise DataError(f"Of {count(len(rows), 'picture')} no map can be made; it takes 3.")
        found = principal(directions(self.features[rows]), 2 if projection == "pca" else DIRECTIONS)
        return rows, found if projection == "pca" else _tsne(found)

    def _columns(self) -> dict[str, list[str]]:
        named = {"name": self.names, "label": [self.classes[i] for i in self.labels], "split": self.splits}
        said = {} if self.predicted is None else {"predicted": [self.classes[i] for i in self.predicted]}
        return named | said


def embed(data: Data, model: str | None = None) -> Embedding:
    """Send every picture of a data section through a network and keep what its head would read.

    model: a run folder, an export, 'mien:base' or a hub id. None takes mien:base for expressions, else
    mien:vit-tiny-imagenet. Features come from the cache where this network has seen these pictures.
    Raises UsageError for a network that does not part features and head, DataError where there is no picture.
    """
    chosen = model or (FACES if has_expressions(listed(data).classes) else OTHERS)
    classifier = from_pretrained(chosen if chosen.startswith(("mien:", "hf-hub:", "timm:")) else Path(chosen))
    store = open_store(data.with_(**classifier.preprocessing.settings()))
    indices = np.flatnonzero(np.asarray(store.splits) < len(SPLITS))
    if not len(indices):
        raise DataError(f"{data.path or data.source} has no pictures to embed.")
    found = features(classifier, store, indices)
    predicted = _predicted(classifier, store.classes, found)
    return Embedding(found.reshape(len(found), -1), store, indices, chosen, predicted)


def of_run(run: Path) -> Data:
    """The data section of a run, with the place where its images lie now."""
    return moved(read_recipe(run)).data


def check_suffix(path: Path) -> None:
    """Raise what keeps a table from being written there, before the work it would hold."""
    if path.suffix not in SUFFIXES:
        raise UsageError(f"`out` {path}: features are written as {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}.")
    if path.suffix == ".parquet":
        require(str(path), "pyarrow")
    if not path.parent.is_dir():
        raise MissingError(f"{path}: there is no folder {path.parent}.")


def principal(rows: np.ndarray, count: int) -> np.ndarray:
    """Rows (n, D) along their `count` directions of most variance, the first one first, (n, at most count)."""
    centred = torch.from_numpy(rows - rows.mean(axis=0))
    along, sizes, _ = torch.linalg.svd(centred.double(), full_matrices=False)
    return np.asarray((along * sizes)[:, :count].float().numpy())


def _tsne(rows: np.ndarray) -> np.ndarray:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(rows) - 1) / 3)
    return np.asarray(TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(rows))


def _predicted(classifier: Classifier, classes: tuple[str, ...], found: np.ndarray) -> np.ndarray | None:
    """What the head says of features (n, ...), among the network's classes that the data have too; see Embedding."""
    places = {canonical(label): place for place, label in enumerate(classifier.labels)}
    if any(canonical(name) not in places for name in classes):
        return None
    network: Any = classifier.model
    read = network.get_classifier()
    with torch.inference_mode():
        logits = torch.cat([read(part) for part in torch.from_numpy(found).split(1024)]).numpy()
    return np.asarray(logits[:, [places[canonical(name)] for name in classes]].argmax(axis=1))
