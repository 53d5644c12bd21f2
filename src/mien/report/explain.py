"""A run and a photo -> the page that explains its answer."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mien.errors import UsageError
from mien.evaluate.calibration import fit_temperature, with_temperature
from mien.evaluate.metrics import Predictions, predictions_file
from mien.evaluate.run_folder import RunFolder, refuse_headless
from mien.explain import Explanation
from mien.explain import explain as look_inside
from mien.explain.attribution import attribute, methods_of, require_method
from mien.explain.faithfulness import deletion, insertion, sanity_check, smooth_noise
from mien.labels import has_expressions
from mien.pretrained import Classifier
from mien.pretrained.own import from_run
from mien.progress import note
from mien.report.explain_page import Trust, context
from mien.report.html import write
from mien.runtime.faces import HaarDetector
from mien.runtime.reader import opened

RANDOM_MAPS = 8  # that a method is compared with


def write_explanation(
    run: Path,
    image: Path,
    out: Path | None = None,
    *,
    face: str | None = None,
    target: str | None = None,
    methods: Sequence[str] | None = None,
) -> tuple[Path, Explanation, dict[str, Trust]]:
    """Explain one picture by a finished run; returns the page, what is on it, and how far each method is right.

    face: its number, the largest being '1', or 'none' for the whole picture. If not given, the largest where one of the
    model's classes is an expression, the whole picture otherwise.
    The page of photo.jpg is photo.html, or where another part of it was asked for photo-face2.html or photo-whole.html;
    with a number behind, photo-2.html, where that is the page of another picture or run.
    Raises MissingError when the run has no model yet, UsageError for a run without a head, or a face, class or method
    that is not there.
    """
    refuse_headless(run)
    model = from_run(run)
    usual = "1" if has_expressions(model.labels) else "none"
    face = face or usual
    shown, what = _face_of(opened(image), face, image)
    names = list(methods_of(model) if methods is None else methods)
    for name in names:  # a wrong one is said before the minutes that the others take
        require_method(model, name)
    explanation = calibrated(look_inside(model, shown, (), target), run)
    trust = {}
    for number, name in enumerate(names, start=1):
        note(f"{number} of {len(names)}: {name}, its map and whether to believe it")
        explanation.maps[name] = attribute(model, _scaled(model, explanation), name, explanation.target)[0]
        trust[name] = _trust(model, explanation, name)
    identity = _identity(run, image)
    folder = out or run / "explain"
    folder.mkdir(parents=True, exist_ok=True)
    part = "" if face == usual else "-whole" if face == "none" else f"-face{face}"
    page = _free(folder, image.stem + part, identity)
    shown_on = context(explanation, trust, image.name, run.name, what, RunFolder.open(run).scores(), identity)
    return write("explain.html.j2", page, shown_on), explanation, trust


def _identity(run: Path, image: Path) -> str:
    """Which run and picture a page is of: their places, hashed, since a page is passed on."""
    return hashlib.sha256(f"{run.resolve()}\n{image.resolve()}".encode()).hexdigest()[:16]


def _free(folder: Path, stem: str, identity: str) -> Path:
    """The first of stem.html, stem-2.html, … that is not there yet, or is the page of the same run and picture."""
    pages = (folder / f"{stem}{f'-{number}' if number > 1 else ''}.html" for number in itertools.count(1))
    return next(page for page in pages if not page.exists() or identity in page.read_text("utf-8", "replace"))


def calibrated(explanation: Explanation, run: Path) -> Explanation:
    """With the probabilities that an export of the run would give: at the temperature fitted on its validation images.

    As it was where the run was not evaluated. The maps stay the network's own.
    """
    path = predictions_file(run, "validation")
    if not path.is_file():
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
        raise UsageError(f"--face {face}: {path} has {len(boxes)} face(s). Give 1 to {max(1, len(boxes))}, or none.")
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
