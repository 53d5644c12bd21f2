"""Run folders and an export that version 0.1.0 wrote still open, compare, explain, export and teach.

Of drawn faces, 70 images of 16 pixels: a ViT, a ResNet (with test split and changed images read), a pretrained encoder,
an average of two ViTs, a ViT that was stopped after its first epoch, and the export of the first.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import mien
from mien.cli import main
from mien.errors import UsageError
from mien.evaluate.compare import compare
from mien.evaluate.metrics import score
from mien.export import export
from mien.report import write_report
from mien.runs import RunFolder, is_finished, layout
from mien.runs.history import read_epochs
from mien.runtime.network import Network
from mien.train.run import resume

FIXTURES = Path(__file__).parent / "fixtures" / "v0_1_0"
LABELLED = ("vit", "resnet", "average")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """The runs, to be written into."""
    return shutil.copytree(FIXTURES, tmp_path / "old")


@pytest.mark.parametrize("name", LABELLED)
def test_scores_and_predictions_are_read(name: str) -> None:
    run = RunFolder.open(FIXTURES / name)
    assert is_finished(run.path)
    assert run.env.mien == "0.1.0"
    assert len(run.env.classes) == 7
    saved, found = run.scores["validation"], score(run.predictions())
    assert (saved.images, saved.correct, saved.interval) == (70, found.correct, found.interval)
    assert (saved.per_class, saved.confusion_matrix) == (found.per_class, found.confusion_matrix)
    assert saved.negative_log_likelihood == pytest.approx(found.negative_log_likelihood, abs=1e-6)
    assert saved.calibration_error == pytest.approx(found.calibration_error, abs=1e-6)


def test_what_only_some_runs_have() -> None:
    resnet, average = (RunFolder.open(FIXTURES / name) for name in ("resnet", "average"))
    assert len(resnet.test_reads) == 1
    assert resnet.scores["test"].correct == resnet.predictions("test").correct.sum()
    assert {row.change for row in resnet.robustness["validation"]} >= {"blur", "noise", "eyes covered"}
    assert [part.run for part in average.env.average] == ["vit", "vit_more"]
    assert sum(cost.epochs for cost in average.env.trainings.values()) == average.env.epochs == 4
    mae = RunFolder.open(FIXTURES / "mae")
    assert mae.recipe.learns == "patches"
    assert (is_finished(mae.path), mae.scores) == (True, {})
    assert mae.reconstructions()["filled"].shape == (8, 1, 16, 16)


def test_they_are_compared_and_reported(old: Path) -> None:
    found = compare([old / name for name in LABELLED])
    assert [row.scores.images for row in found.rows] == [70] * 3
    assert found.robustness
    for name in (*LABELLED, "mae", "stopped"):
        assert write_report(old / name).stat().st_size > 10_000


def test_a_run_evaluated_again_gives_the_same_scores_and_keeps_its_table(old: Path, capsys) -> None:
    before = RunFolder.open(old / "vit").scores["validation"]
    assert main(["evaluate", str(old / "vit"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["correct"] == before.correct
    table, arrays = (layout.predictions(old / "vit", "validation", suffix) for suffix in (".csv", ".npz"))
    old_table = (FIXTURES / "vit" / table.name).read_text().splitlines()
    assert [line.split(",")[:4] for line in table.read_text().splitlines()] == [
        line.split(",")[:4] for line in old_table
    ]
    assert arrays.is_file()


def test_the_export_is_read_and_the_run_exports_to_the_same_answers(old: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 1, 16, 16), dtype=np.uint8)
    before = Network.open(str(FIXTURES / "model.onnx"))
    export(old / "vit", old / "again.onnx")
    after = Network.open(str(old / "again.onnx"))
    assert before.labels == after.labels
    np.testing.assert_allclose(before.probabilities(pixels), after.probabilities(pixels), atol=1e-5)
    face = mien.load(FIXTURES / "model.onnx").read(pixels[0, 0], detect=False)[0]
    assert sum(face.probabilities.values()) == pytest.approx(1, abs=1e-5)


def test_it_is_explained() -> None:
    found = mien.explain(FIXTURES / "vit", np.zeros((16, 16), np.uint8), ("saliency",))
    assert set(found.maps) == {"saliency"}
    with pytest.raises(UsageError, match="was pretrained without labels"):
        RunFolder.open(FIXTURES / "mae").predictions()


@pytest.mark.parametrize("name", ["vit", "resnet", "mae"])
def test_it_is_trained_further(name: str, tmp_path: Path, capsys) -> None:
    settings = ["--data.images", "70", "--data.size", "16", "--train.epochs", "1", "--train.precision", "fp32"]
    start = ["--data.source", "drawn_faces", "--model.init", str(FIXTURES / name)]
    recipe = tmp_path / "mine.py"
    recipe.write_text('from mien.config import Recipe\n\nrecipe = Recipe(name="mine")\n')
    assert main(["run", str(recipe), *settings, *start, "--out", str(tmp_path / "run")]) == 0
    assert RunFolder.open(tmp_path / "run").recipe.model.name == ("resnet" if name == "resnet" else "vit")


def test_a_stopped_run_goes_on(old: Path) -> None:
    first = read_epochs(old / "stopped")
    resume(old / "stopped")
    rows = read_epochs(old / "stopped")
    assert rows[:1] == first
    assert len(rows) == 2
    assert is_finished(old / "stopped")


def test_predictions_are_arrays_and_a_table_on_request(old: Path, capsys) -> None:
    table, arrays = (layout.predictions(old / "vit", "train", suffix) for suffix in (".csv", ".npz"))
    assert main(["evaluate", str(old / "vit"), "--split", "train"]) == 0
    assert (arrays.is_file(), table.is_file()) == (True, False)
    assert main(["evaluate", str(old / "vit"), "--split", "train", "--csv"]) == 0
    assert table.read_text().count("\n") == 71
    capsys.readouterr()
    assert main(["evaluate", str(old / "model.onnx"), "--csv", "--data.path", str(old)]) == 2
    assert "--csv writes the predictions of a run" in capsys.readouterr().err
