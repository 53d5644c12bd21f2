"""Runs that were interrupted or stopped, and go on; runs that have finished."""

import math

import pytest
import torch
from tiny_training import RECIPE, change, weights

from mien import config
from mien.config import Model
from mien.errors import MissingError, UsageError
from mien.runs.folder import RunFolder
from mien.runs.history import read_epochs
from mien.train import run

pytestmark = pytest.mark.usefixtures("shared_cache")


@pytest.mark.parametrize("model", [RECIPE.model, Model(name="cnn_v2", widths=(3, 5))])
@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", "plateau"])
def test_an_interrupted_run_ends_with_the_same_weights(tmp_path, interrupted, model, schedule):
    recipe = change(model=model.model_dump(), train={"schedule": schedule})
    whole = weights(run.run(recipe, tmp_path / "whole"))
    with interrupted():
        run.run(recipe, tmp_path / "part")
    assert len(read_epochs(tmp_path / "part")) == 1
    resumed = weights(run.resume(tmp_path / "part"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert len(read_epochs(tmp_path / "part")) == 3


def test_an_interrupted_run_lowers_its_rate_in_the_same_epochs(tmp_path, interrupted):
    """At a rate that changes next to nothing the loss does not fall, and plateau halves the rate every third epoch."""
    recipe = change(train={"schedule": "plateau", "lr": 1e-6, "epochs": 6, "ema": 0})
    run.run(recipe, tmp_path / "whole")
    with interrupted():
        run.run(recipe, tmp_path / "part")
    run.resume(tmp_path / "part")
    rates = {name: [row["lr"] for row in read_epochs(tmp_path / name)] for name in ("whole", "part")}
    assert rates["part"] == rates["whole"]
    assert rates["whole"][-1] < rates["whole"][0]


def test_a_run_of_an_older_version_without_calibration_errors_goes_on(tmp_path, interrupted):
    with interrupted():
        run.run(RECIPE, tmp_path / "run")
    folder = tmp_path / "run"
    (folder / "manifest.json").unlink()  # so that files may change
    lines = (folder / "metrics.csv").read_text().splitlines()
    (folder / "metrics.csv").write_text("".join(line.rpartition(",")[0] + "\n" for line in lines))
    run.resume(folder)
    rows = read_epochs(folder)
    assert ["val_calibration_error" in row for row in rows] == [False, True, True]
    history = RunFolder.open(folder).history["val_calibration_error"]
    assert math.isnan(history[0])
    assert history[1:] == [row["val_calibration_error"] for row in rows[1:]]


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    before = weights(run.run(RECIPE, tmp_path / "run"))
    after = weights(run.resume(tmp_path / "run"))
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_resuming_a_run_that_stopped_early_changes_nothing(tmp_path):
    settings = {"early_stopping": 1, "lr": 1e-12, "epochs": 9, "ema": 0}
    before = weights(run.run(change(train=settings), tmp_path / "run"))
    epochs = len(read_epochs(tmp_path / "run"))
    after = weights(run.resume(tmp_path / "run"))
    assert epochs == len(read_epochs(tmp_path / "run")) < 9
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_resume_refuses_other_images(tmp_path):
    folder = run.run(change(train={"epochs": 1}), tmp_path / "run")
    (folder / "manifest.json").unlink()  # so that files may change
    text = (folder / "recipe.yaml").read_text().replace("images: 70", "images: 77")
    (folder / "recipe.yaml").write_text(text)
    with pytest.raises(UsageError, match="trained on other images"):
        run.resume(folder)


def test_latest_is_the_newest_unfinished_run(tmp_path):
    for name, seed, finished in (("tiny-1-0", 0, True), ("mine", 0, False), ("tiny-3-1", 1, False)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "recipe.yaml").write_text(config.dump(change(seed=seed)))
        if finished:
            (tmp_path / name / "evaluation.json").write_text("{}")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "recipe.yaml").write_text("seed: [")
    assert run.latest("tiny", 0, tmp_path).name == "mine"
    with pytest.raises(MissingError, match="no unfinished run of tiny with seed 2"):
        run.latest("tiny", 2, tmp_path)
