"""The page of an explanation, of a tiny model with random weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tiny_models import classifier

import mien
from mien.explain import Explanation
from mien.explain.faithfulness import Against, Verdict
from mien.explain.study import Study
from mien.report.explain_page import context
from mien.report.html import write


def write_page(path: Path, kind: str = "vit") -> tuple[Path, Explanation]:
    """One colour picture through a model of tiny_models, with one method and numbers that were made up for it."""
    picture = np.random.default_rng(0).integers(0, 256, (30, 30, 3), dtype=np.uint8)
    found = mien.explain(classifier(kind, 3), picture, ("saliency",), verdicts=False)
    found.verdicts["saliency"] = Verdict(1, Against(0.2, 0.3, 0.1), Against(0.4, 0.3, 0.1), 0.1)
    studied = Study(Path(f"tiny_{kind}"), Path("photo.jpg"), "The whole picture", None, found)
    return write("explain.html.j2", path, context(studied)), found
