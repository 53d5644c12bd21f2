"""Run folders and comparisons, drawn once for all tests of the reports."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_runs import draw_pictures, picture_names, write_run

from mien.evaluate.compare import Comparison, compare


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder data set whose store is kept in the test's own cache."""
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    return draw_pictures(tmp_path / "pictures")


@pytest.fixture
def run(tmp_path: Path, pictures: Path) -> Path:
    """A run on `pictures`."""
    names, labels = picture_names()
    data = {"source": "folder", "path": str(pictures), "size": 16}
    return write_run(tmp_path / "tiny-20260304-0", names=names, labels=labels, data=data)


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    """Three runs: a good one, a weak one and one of few epochs."""
    names, labels = picture_names(counts=(71, 131, 53))
    made = [
        write_run(
            tmp_path / f"{name}-1-0", names=names, labels=labels, skill=skill, seed=seed, epochs=epochs, seconds=seconds
        )
        for seed, (name, skill, epochs, seconds) in enumerate(
            [("weak", 0.2, 7, 100), ("good", 3, 31, 47), ("fair", 1.2, 2, 9)]
        )
    ]
    return compare(made)
