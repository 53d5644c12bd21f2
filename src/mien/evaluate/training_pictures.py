"""The training pictures that a network takes for most alike a picture: an answer by example."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mien.data import Store
from mien.data.pixels import digest
from mien.errors import UsageError
from mien.evaluate.features import features, pooled
from mien.evaluate.neighbours import directions, nearest
from mien.hardware import device_of
from mien.pretrained import Classifier
from mien.runs.data import open_data

MOST = 30_000  # training pictures that are looked at; of more, as many drawn at random
WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


@dataclass(frozen=True, eq=False)
class TrainingPicture:
    """A picture that a run learned from.

    name: as its source calls it. label: of the training. similarity: the cosine of its features with those of the
    picture asked about, both about the mean of all training pictures; 1 at most. image: uint8 (C, S, S), as the network
    saw it.
    """

    name: str
    label: str
    similarity: float
    image: np.ndarray


def nearest_training(
    run: Path, classifier: Classifier, pixels: np.ndarray, count: int = 5
) -> tuple[tuple[TrainingPicture, ...], str]:
    """Return the `count` training pictures of a run whose features are most like those of a picture, the nearest first.

    pixels: uint8 (C, S, S), as the network sees the picture. A training picture of the very same pixels is left out;
    its label comes with the others, '' where there is none. An adopted run has no training pictures.
    Raises UsageError for a count below 1, what `mien.runs.data.open_data` does where the images are not there.
    """
    if count < 1:
        raise UsageError(f"`n` {count}: how many pictures? Give 1 or more.")
    store = open_data(run)
    indices = store.indices("train")
    if not len(indices):  # of an adopted run, which was trained elsewhere
        return (), ""
    if len(indices) > MOST:
        indices = np.sort(np.random.default_rng(0).permutation(indices)[:MOST])
    known = features(classifier, store, indices)
    centre = known.reshape(len(known), -1).mean(axis=0)
    itself = store.digests[indices] == np.frombuffer(digest(np.ascontiguousarray(pixels)), store.digests.dtype)[0]
    same, others = indices[itself], indices[~itself]
    near = nearest(directions(_of(classifier, pixels), centre), directions(known[~itself], centre), count)
    found = zip(others[near.positions[0]].tolist(), near.cosines[0].tolist(), strict=True)
    label = store.classes[store.labels[same[0]]] if len(same) else ""
    return tuple(_picture(store, position, cosine) for position, cosine in found), label


def told(pictures: Sequence[TrainingPicture]) -> str:
    """'three fear, two surprise': the labels of pictures, the most frequent first."""
    counts = Counter(each.label for each in pictures).most_common()
    return ", ".join(f"{_word(count)} {label}" for label, count in counts)


def _word(count: int) -> str:
    return WORDS[count] if count < len(WORDS) else str(count)


def _picture(store: Store, position: int, cosine: float) -> TrainingPicture:
    label = store.classes[store.labels[position]]
    return TrainingPicture(store.names[position], label, min(cosine, 1.0), np.array(store.images[position]))


def _of(classifier: Classifier, pixels: np.ndarray) -> np.ndarray:
    """The features of one picture, (1, D)."""
    device = device_of(classifier)
    images = torch.from_numpy(pixels[None].astype(np.float32) / 255).to(device)
    with torch.inference_mode():
        return pooled(classifier.eval().model, classifier.preprocessing.scale(images)).cpu().numpy()
