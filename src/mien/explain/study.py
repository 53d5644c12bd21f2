"""A model and a photo -> one face of it, explained: what `mien explain` shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien.errors import MissingError, UsageError
from mien.evaluate.calibration import fit_temperature
from mien.evaluate.metrics import scores_of
from mien.explain.explanation import Explanation, explain
from mien.hub import HUB
from mien.labels import has_expressions
from mien.pretrained import Classifier, from_pretrained
from mien.pretrained.own import from_run
from mien.progress import note
from mien.runs import Predictions, Scores
from mien.runs.folder import RunFolder, is_run, refuse_headless
from mien.runtime.faces import Detector, open_detector
from mien.runtime.network import Network, is_export
from mien.runtime.reader import FaceFinder
from mien.words import count


@dataclass(frozen=True, eq=False)
class Study:
    """One picture, or a face of it, through one model.

    model: a run folder, or the export's file or name. image: the picture's place. part: which of it, in words; face:
    the same as it was asked for, None for what is taken unasked. scores: of a run's validation images, if known.
    """

    model: str | Path
    image: Path
    part: str
    face: str | None
    explanation: Explanation
    scores: Scores | None = None


def study(
    model: str | Path,
    image: Path,
    *,
    face: str | None = None,
    target: str | None = None,
    methods: Sequence[str] | None = None,
    detector: Detector | str | Path = "yunet",
    margin: float = 0.0,
    nearest: int = 5,
) -> Study:
    """Explain one picture by a finished run or an export, with the probabilities that `mien.load(model)` would give.

    face: its number, the largest being '1', or 'none' for the whole picture. If not given, the largest where one of the
    model's classes is an expression, the whole picture otherwise. detector, margin: as of `mien.load`. target, methods,
    nearest: as of `explain`.
    Raises MissingError when there is no such picture or the run has no model yet, UsageError for a run without a head,
    or a face, class or method that is not there; DataError for an export that does not open in torch.
    """
    if not image.exists():
        raise MissingError(f"{image}: there is no such file.")
    network, temperature, scores = _opened(model)
    usual = "1" if has_expressions(network.labels) else "none"
    face = face or usual
    finder = FaceFinder(network.preprocessing, open_detector(detector), margin)
    pixels, part = _part(finder, image, face)
    run = Path(model) if is_run(Path(model)) else None
    explanation = explain(network, pixels, methods, target, temperature=temperature, run=run, nearest=nearest)
    return Study(model, image, part, None if face == usual else face, explanation, scores)


def _opened(where: str | Path) -> tuple[Classifier, float | None, Scores | None]:
    """The network, the temperature at which its probabilities are calibrated, and its run's scores."""
    if is_export(where):
        return from_pretrained(where), Network.open(where).temperature, None
    if str(where).startswith(HUB):
        return from_pretrained(where), None, None
    run = Path(where)
    refuse_headless(run)
    return from_run(run), temperature_of(run), scores_of(RunFolder.open(run))


def temperature_of(run: Path) -> float | None:
    """The temperature that an export of the run would have; None where the run was not evaluated."""
    path = Predictions.of_run(run, "validation")
    return fit_temperature(Predictions.load(path)) if path else None


def _part(finder: FaceFinder, image: Path, face: str) -> tuple[np.ndarray, str]:
    """What the network is to see, uint8 (S, S) or (S, S, 3), and which part of the picture that is."""
    boxes, crops = finder.find(image, detect=face != "none")
    if face == "none":
        return _as_picture(crops[0]), "The whole picture"
    if not face.isdecimal() or not 1 <= int(face) <= max(1, len(boxes)):
        found = count(len(boxes), "face")
        raise UsageError(f"`face` {face}: {image} has {found}. Give 1 to {max(1, len(boxes))}, or none.")
    if not boxes:
        note(f"{image}: no face was found, so the whole picture is explained.")
        return _as_picture(finder.find(image, detect=False)[1][0]), "The whole picture, in which no face was found,"
    return _as_picture(crops[int(face) - 1]), f"Face {face} of the {len(boxes)} found in the picture"


def _as_picture(pixels: np.ndarray) -> np.ndarray:
    """(C, S, S) -> (S, S), or (S, S, 3)."""
    return pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
