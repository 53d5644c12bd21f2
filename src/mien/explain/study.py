"""A run and a photo -> what the run sees in one face of it, and how far each method's map of that can be believed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mien.errors import UsageError
from mien.evaluate.calibration import fit_temperature, with_temperature
from mien.evaluate.metrics import scores_of
from mien.explain.attribution import attribute, methods_of, require_method
from mien.explain.explanation import Explanation, explain
from mien.explain.faithfulness import NOTICEABLE, UNCHANGED, deletion, insertion, sanity_check, smooth_noise
from mien.labels import has_expressions
from mien.pretrained import Classifier
from mien.pretrained.own import from_run
from mien.progress import note
from mien.runs import Predictions, Scores
from mien.runs.folder import RunFolder, refuse_headless
from mien.runtime.faces import HaarDetector
from mien.runtime.reader import opened

RANDOM_MAPS = 8  # that a method is compared with


@dataclass(frozen=True)
class Trust:
    """What was measured about one method on this picture.

    deletion, insertion: areas under the curves of the class's probability. random_deletion, random_insertion: those of
    random maps. correlation: rank correlation with the maps of the same model with shuffled weights. All are NaN of an
    empty map, which has no order to test.
    """

    deletion: float = math.nan
    insertion: float = math.nan
    random_deletion: float = math.nan
    random_insertion: float = math.nan
    correlation: float = math.nan
    empty: bool = False

    @property
    def verdict(self) -> str:
        if self.empty:
            return "Empty: the map is the same everywhere, so there is nothing in it to see."
        gains = (self.random_deletion - self.deletion, self.insertion - self.random_insertion)
        better = sum(gain >= NOTICEABLE for gain in gains)
        if self.correlation > UNCHANGED:
            return "Does not depend on what the model learned: do not believe it."
        return ("No better than chance here.", "In doubt: better than chance in one of the two tests.", "Holds here.")[
            better
        ]


@dataclass(frozen=True, eq=False)
class Study:
    """One picture, or a face of it, through the model of one run.

    run, image: their places. part: of the picture, in words; face: the same as it was asked for, None for what is
    taken unasked. trust: what was measured about each method. scores: of the run's validation images, if there are any.
    """

    run: Path
    image: Path
    part: str
    face: str | None
    explanation: Explanation
    trust: dict[str, Trust]
    scores: Scores | None


def study(
    run: Path,
    image: Path,
    *,
    face: str | None = None,
    target: str | None = None,
    methods: Sequence[str] | None = None,
) -> Study:
    """Explain one picture by a finished run, and measure how far each method is right.

    face: its number, the largest being '1', or 'none' for the whole picture. If not given, the largest where one of the
    model's classes is an expression, the whole picture otherwise.
    Raises MissingError when the run has no model yet, UsageError for a run without a head, or a face, class or method
    that is not there.
    """
    refuse_headless(run)
    model = from_run(run)
    usual = "1" if has_expressions(model.labels) else "none"
    face = face or usual
    shown, part = _face_of(opened(image), face, image)
    names = list(methods_of(model) if methods is None else methods)
    for name in names:  # a wrong one is said before the minutes that the others take
        require_method(model, name)
    explanation = calibrated(explain(model, shown, (), target), run)
    trust = {}
    for number, name in enumerate(names, start=1):
        note(f"{number} of {len(names)}: {name}, its map and whether to believe it")
        explanation.maps[name] = attribute(model, _scaled(model, explanation), name, explanation.target)[0]
        trust[name] = _trust(model, explanation, name)
    asked = None if face == usual else face
    return Study(run, image, part, asked, explanation, trust, scores_of(RunFolder.open(run)))


def calibrated(explanation: Explanation, run: Path) -> Explanation:
    """With the probabilities that an export of the run would give: at the temperature fitted on its validation images.

    As it was where the run was not evaluated. The maps stay the network's own.
    """
    path = Predictions.of_run(run, "validation")
    if path is None:
        return explanation
    temperature = fit_temperature(Predictions.load(path))
    own = Predictions([""], np.zeros(1, dtype=int), explanation.probabilities[None], explanation.labels)
    shares = with_temperature(own, temperature).probabilities[0].astype(np.float32)
    return replace(explanation, probabilities=shares, temperature=temperature)


def _face_of(picture: Image.Image, face: str, path: Path) -> tuple[Image.Image, str]:
    """The face to explain, cut out, or the whole picture where there is none or none is wanted; and which it is."""
    if face == "none":
        return picture, "The whole picture"
    boxes = HaarDetector().detect(np.asarray(picture.convert("RGB")))
    if not face.isdecimal() or not 1 <= int(face) <= max(1, len(boxes)):
        raise UsageError(f"`face` {face}: {path} has {len(boxes)} face(s). Give 1 to {max(1, len(boxes))}, or none.")
    if not boxes:
        return picture, "The whole picture, in which no face was found,"
    x, y, width, height = boxes[int(face) - 1]
    return picture.crop((x, y, x + width, y + height)), f"Face {face} of the {len(boxes)} found in the picture"


def _scaled(model: Classifier, explanation: Explanation) -> torch.Tensor:
    """The picture as the network takes it, (1, C, S, S)."""
    scaled = model.preprocessing.scale(explanation.image.astype(np.float32) / 255)
    return torch.from_numpy(np.ascontiguousarray(scaled, dtype=np.float32))[None]


def _trust(model: Classifier, explanation: Explanation, name: str) -> Trust:
    """Deletion and insertion of this one picture against random maps, and the check with shuffled weights."""
    if name in explanation.empty:
        return Trust(empty=True)
    images = _scaled(model, explanation)
    several = images.expand(1 + RANDOM_MAPS, -1, -1, -1)  # the method's own map, then random ones
    maps = np.concatenate(
        [explanation.maps[name][None], smooth_noise((RANDOM_MAPS, *explanation.image.shape[1:]), seed=0)]
    )
    targets = [explanation.target] * len(several)
    temperature = explanation.temperature or 1.0
    gone, come = (curve(model, several, maps, targets, temperature).areas for curve in (deletion, insertion))
    return Trust(
        deletion=float(gone[0]),
        insertion=float(come[0]),
        random_deletion=float(gone[1:].mean()),
        random_insertion=float(come[1:].mean()),
        correlation=sanity_check(model, images, name, draws=2).correlation,
    )
