"""Run folders read back, whole and in pieces."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from fake_runs import picture_names, write_run

from mien.errors import DataError, MissingError
from mien.evaluate.metrics import score, scores_of
from mien.runs import Env, RunFolder, read_recipe
from mien.runs.folder import WAYS_OUT
from mien.runs.history import read_epochs


@pytest.fixture
def run(tmp_path: Path) -> Path:
    names, labels = picture_names()
    return write_run(tmp_path / "tiny-20260304-0", names=names, labels=labels, epochs=3)


def test_a_whole_run(run: Path) -> None:
    folder = RunFolder.open(run)
    assert folder.recipe.name == "tiny"
    assert folder.env.parameters == 2_713_007
    assert folder.history["epoch"] == [1, 2, 3]
    assert folder.history["seconds"] == [2.5, 5, 7.5]
    scores = scores_of(folder)
    assert scores is not None
    assert scores.correct == folder.predictions().correct.sum()
    assert scores_of(folder, "test") is None
    assert folder.test_reads == []


def test_a_sweep_is_no_run_and_names_its_page_and_runs(run: Path) -> None:
    (run.parent / "sweep.json").write_text("{}")
    with pytest.raises(
        MissingError, match=r"is a sweep, not a run; its page is .*sweep\.html\. Runs in it: .*tiny-2026"
    ):
        RunFolder.open(run.parent)


def test_a_run_that_was_stopped_early(run: Path) -> None:
    for name in ("env.json", "metrics.csv", "evaluation.json", "predictions.csv"):
        (run / name).unlink()
    folder = RunFolder.open(run)
    assert (folder.env, folder.history, scores_of(folder)) == (Env(), {}, None)
    with pytest.raises(MissingError, match=r"has not finished\. Finish it with: `mien\.resume\('.*tiny-20260304-0'\)"):
        folder.predictions()


def test_scores_follow_from_predictions_where_they_were_not_saved(run: Path) -> None:
    (run / "evaluation.json").unlink()
    folder = RunFolder.open(run)
    assert scores_of(folder) == score(folder.predictions())


def test_a_metric_that_was_not_measured_is_nan(run: Path) -> None:
    (run / "metrics.csv").write_text("epoch,seconds,val_loss\n1,2.5,\n2,5,nan\n3,7.5,1.25\n")
    found = RunFolder.open(run).history["val_loss"]
    assert [math.isnan(value) for value in found] == [True, True, False]


def test_damaged_files_are_named(run: Path) -> None:
    (run / "metrics.csv").write_text("epoch,seconds\n1,2.5\n2,x\n")
    with pytest.raises(DataError, match=r"metrics\.csv is damaged: could not convert string to float: 'x'"):
        _ = RunFolder.open(run).history
    with pytest.raises(DataError, match=r"metrics\.csv is damaged"):
        read_epochs(run)


@pytest.mark.parametrize("name", WAYS_OUT)
@pytest.mark.parametrize(("content", "problem"), [("{", "Expecting property name"), ("7", "it holds no (dict|list)")])
def test_damaged_records_are_named_with_a_way_out(run: Path, name: str, content: str, problem: str) -> None:
    (run / name).write_text(content)
    folder = RunFolder.open(run)
    way_out = WAYS_OUT[name].format(run=str(run))
    with pytest.raises(DataError, match=rf"{name} is damaged: {problem}.*\. {re.escape(way_out)}"):
        _ = {
            "env.json": lambda: folder.env,
            "evaluation.json": lambda: folder.scores,
            "robustness.json": lambda: folder.robustness,
            "test_reads.json": lambda: folder.test_reads,
        }[name]()


def test_no_run_folder_names_the_nearest(run: Path) -> None:
    with pytest.raises(MissingError, match=r"tiny-20260304-1 is not a run folder: there is no such folder\. Did you"):
        RunFolder.open(run.with_name("tiny-20260304-1"))
    empty = run.with_name("empty")
    empty.mkdir()
    with pytest.raises(MissingError, match=r"empty is not a run folder: it has no recipe\.yaml"):
        RunFolder.open(empty)


def test_read_recipe_wants_a_run(tmp_path):
    with pytest.raises(MissingError, match="is not a run folder"):
        read_recipe(tmp_path)
