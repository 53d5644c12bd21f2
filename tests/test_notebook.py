"""docs/start/tour.ipynb: its cells run, in order and in one namespace, and it is kept without outputs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from matplotlib import pyplot

NOTEBOOK = Path(__file__).parent.parent / "docs" / "start" / "tour.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
CODE = ["".join(cell["source"]) for cell in CELLS if cell["cell_type"] == "code"]


@pytest.mark.notebook
def test_every_cell_runs(tmp_path, monkeypatch, capsys):
    """Without Jupyter: a code cell is Python, and what a cell shows is its last line, which is run all the same."""
    monkeypatch.chdir(tmp_path)
    pyplot.switch_backend("agg")
    small = {"TRAIN__EPOCHS": "1", "TRAIN__WARMUP_EPOCHS": "0", "DATA__IMAGES": "70", "MODEL__DEPTH": "1"}
    for key, value in {**small, "CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(f"MIEN_{key}", value)
    pictures = []
    monkeypatch.setattr(pyplot, "show", lambda: pictures.append(pyplot.gcf()))
    names: dict[str, object] = {}
    for number, source in enumerate(CODE):
        exec(compile(source, f"tour.ipynb, code cell {number}", "exec"), names)
    printed = capsys.readouterr().out
    assert "of 70 new faces are read right" in printed
    assert re.search(r"\d+% of the maps, \d+% of random points", printed)
    assert names["maps"].shape == (28, 48, 48)
    assert len(pictures) == 5
    assert all(axes.images for figure in pictures for axes in figure.axes)


def test_it_holds_no_outputs():
    assert len(CODE) >= 6
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in CELLS if cell["cell_type"] == "code")
