"""Why a run is surest where it is wrong: a map for each of these pictures, computed once and kept in the run folder."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from mien.atomic import write_arrays
from mien.evaluate.mistakes import COUNT, most_confident_errors
from mien.explain.attribution import attribute
from mien.explain.faithfulness import smoothed
from mien.pretrained import from_pretrained
from mien.progress import track
from mien.report.mistake_pictures import MistakeMaps
from mien.runs import RunFolder, layout, manifest
from mien.runs.data import open_data
from mien.runs.folder import refuse_headless

# every model has it, and it holds on drawn faces where Grad-CAM does not:
# log/2026-11-21-explanations-hold-on-drawn-faces.md
METHOD = "integrated_gradients"
SMOOTH = 1 / 24  # of the side: single pixels are noisy


def explain_mistakes(run: Path, count: int = COUNT) -> MistakeMaps:
    """Which pixels speak for each of the most confident wrong answers of a run; saved in the run.

    Raises MissingError when the run has no predictions or no model yet, UsageError when it has no head or its images
    have changed.
    """
    started = time.perf_counter()
    refuse_headless(run)
    mistakes = most_confident_errors(RunFolder.open(run).predictions(), count)
    model, store = from_pretrained(run), open_data(run)
    place = {name: i for i, name in enumerate(store.names)}
    maps = {}
    for mistake in track(mistakes, "explaining", len(mistakes)):  # one at a time: large models need the memory
        pixels = store.images[place[mistake.name]].astype(np.float32) / 255  # (C, S, S)
        answer = model.labels.index(mistake.predicted)
        found = attribute(model, model.preprocessing.scale(pixels)[None], METHOD, answer)  # (1, S, S)
        smooth = smoothed(found, SMOOTH * found.shape[-1])[0]  # (1, S, S) -> (S, S)
        maps[mistake.name, mistake.predicted] = smooth / (np.abs(smooth).max() or 1)
    made = MistakeMaps(maps, time.perf_counter() - started)
    small = np.array(list(maps.values()), dtype=np.float16)  # (n, S, S); a small picture needs no more digits
    with manifest.changing(run, layout.MISTAKE_MAPS):
        write_arrays(run / layout.MISTAKE_MAPS, of=np.array(list(maps), dtype=str), maps=small, seconds=made.seconds)
    return made
