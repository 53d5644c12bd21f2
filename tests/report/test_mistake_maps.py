"""Maps beside the most confident wrong answers: computed once, shown in every later report."""

from __future__ import annotations

import numpy as np
import pytest

from mien.cli import main
from mien.config import Data, Model, Recipe, Train
from mien.data.sources.drawn_faces import redraw
from mien.errors import DataError, MissingError
from mien.evaluate.mistakes import most_confident_errors
from mien.explain.attribution import attribute
from mien.explain.faithfulness import smoothed
from mien.pretrained import from_pretrained
from mien.report import write_report
from mien.report.mistake_maps import explain_mistakes
from mien.report.mistake_pictures import read_maps
from mien.runs.folder import RunFolder
from mien.train.run import run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run that is wrong often: one epoch on a few drawn faces."""
    root = tmp_path_factory.mktemp("mistakes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_CACHE", str(root / "cache"))
        data = Data(source="drawn_faces", images=70, size=24)
        yield run(Recipe(data=data, model=Model(name="lenet"), train=Train(epochs=1, batch_size=35)), root / "run")


def test_the_report_shows_them_from_then_on(folder, capsys):
    before = write_report(folder).read_text()
    assert f"mien report {folder} --explain" in before
    assert "What speaks for" not in before
    assert main(["report", str(folder), "--explain"]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "report.html")
    after = write_report(folder).read_text()
    assert after == (folder / "report.html").read_text()
    wrong = most_confident_errors(RunFolder.open(folder).predictions())
    assert after.count("What speaks for") == len(wrong) == 12
    assert f"mien report {folder} --explain" not in after
    assert len(after) - len(before) < 100_000


def test_a_map_is_that_of_the_wrong_answer(folder):
    made, saved = explain_mistakes(folder, count=2), read_maps(folder)
    first, second = most_confident_errors(RunFolder.open(folder).predictions(), 2)
    assert list(saved.maps) == [(each.name, each.predicted) for each in (first, second)]
    assert saved.seconds == made.seconds > 0
    model, image = from_pretrained(folder), redraw(first.name, 0, 24).image
    scaled = model.preprocessing.scale(image[None, None].astype(np.float32) / 255)  # (1, 1, 24, 24)
    found = smoothed(attribute(model, scaled, "integrated_gradients", model.labels.index(first.predicted)), 1)[0]
    np.testing.assert_allclose(saved.of(first), found / np.abs(found).max(), atol=2e-3)


def test_what_is_missing_or_damaged_is_said(folder, tmp_path):
    with pytest.raises(MissingError, match="is not a run folder"):
        explain_mistakes(tmp_path)
    assert read_maps(tmp_path).maps == {}
    (tmp_path / "mistakes.npz").write_bytes(b"half a fi")
    with pytest.raises(DataError, match=r"mistakes\.npz is damaged: .* Write it anew: .*report\(explain=True\)"):
        read_maps(tmp_path)
