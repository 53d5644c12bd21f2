"""Curves and pictures of a run in TensorBoard, MLflow and Weights & Biases."""

import shutil
import sys
from pathlib import Path

import pytest

from mien import config
from mien.cli import main
from mien.config import Data, Model, Recipe, Train
from mien.errors import MissingError, SettingError
from mien.runs import RunFolder, manifest, read_recipe
from mien.train import run

RECIPE = Recipe(
    name="tiny",
    data=Data(source="drawn_faces", images=70, size=16),
    model=Model(name="lenet"),
    train=Train(epochs=2, batch_size=35, precision="fp32"),
)


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def logged(tmp_path, interrupted, logger) -> Path:
    """A run that was interrupted after its first epoch, resumed, and then moved; whose files are whole."""
    recipe = RECIPE.with_(train={"logger": logger})
    with interrupted():
        run.run(recipe.with_(train={"batch_size": 10}), tmp_path / "run")
    run.resume(tmp_path / "run")
    moved = shutil.move(tmp_path / "run", tmp_path / "moved")
    assert manifest.problems(moved) == []
    assert RunFolder.open(moved).scores
    assert {path.name for path in tmp_path.iterdir()} == {"moved"}, "and nothing lies elsewhere"
    return moved


def test_tensorboard_has_curves_and_pictures(tmp_path, interrupted):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = logged(tmp_path, interrupted, "tensorboard")
    found = events.EventAccumulator(str(folder / "tensorboard")).Reload()
    assert {"train_loss", "val_accuracy", "lr-AdamW/pg1", "accuracy"} <= set(found.Tags()["scalars"])
    assert len(found.Scalars("val_accuracy")) == 2
    assert set(found.Tags()["images"]) == {"confusion_matrix", "surest_mistakes"}
    (picture,) = found.Images("confusion_matrix")
    assert min(picture.width, picture.height) > 300


def test_mlflow_has_one_run_with_curves_and_pictures(tmp_path, interrupted, monkeypatch):
    tracking = pytest.importorskip("mlflow.tracking")
    monkeypatch.chdir(tmp_path)
    folder = logged(tmp_path, interrupted, "mlflow")
    client = tracking.MlflowClient(f"sqlite:///{folder / 'mlflow' / 'mlflow.db'}")
    (found,) = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert found.info.run_name == "run"
    assert found.data.params["train.optimizer"] == "adamw"
    assert {"train_loss", "val_accuracy", "accuracy"} <= found.data.metrics.keys()
    assert len(client.get_metric_history(found.info.run_id, "val_accuracy")) == 2
    pictures = {path.name for path in (folder / "mlflow" / "artifacts").rglob("*.png")}
    assert pictures == {"confusion_matrix.png", "surest_mistakes.png"}


def test_wandb_stays_offline_and_has_pictures(tmp_path, interrupted, monkeypatch):
    pytest.importorskip("wandb")
    monkeypatch.chdir(tmp_path)
    folder = logged(tmp_path, interrupted, "wandb")
    starts = list((folder / "wandb").glob("offline-run-*"))
    assert len({path.name.rpartition("-")[2] for path in starts}) == 1, "both starts are one run"
    pictures = {path.name.partition("_")[0] for path in (folder / "wandb").rglob("*.png")}
    assert pictures == {"confusion", "surest"}


@pytest.mark.parametrize("logger", ["tensorboard", "mlflow", "wandb"])
def test_a_logger_that_is_not_installed(tmp_path, monkeypatch, capsys, logger):
    monkeypatch.setitem(sys.modules, logger, None)
    with pytest.raises(MissingError, match=rf"^`train\.logger` {logger} needs the '{logger}' extra: pip install"):
        run.run(RECIPE.with_(train={"logger": logger}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "recipe.yaml").write_text(config.dump(RECIPE))
    assert main(["run", "--config", str(tmp_path / "recipe.yaml"), "--train.logger", logger]) == 3
    assert f"--train.logger {logger} needs the '{logger}' extra" in capsys.readouterr().err


@pytest.mark.parametrize(("value", "logger"), [(True, "tensorboard"), ("true", "tensorboard"), (False, "none")])
def test_a_recipe_of_mien_02_says_tensorboard(tmp_path, value, logger):
    assert config.build({"train": {"tensorboard": value}}).train.logger == logger
    assert config.build({"train": {"tensorboard": value}}, {"train": {"logger": "wandb"}}).train.logger == "wandb"
    text = config.dump(RECIPE).replace("  logger: none\n", f"  tensorboard: {str(value).lower()}\n")
    assert "logger" not in text
    (tmp_path / "recipe.yaml").write_text(text)
    assert read_recipe(tmp_path).train.logger == logger
    with pytest.raises(SettingError, match=r"Unknown key 'train\.tensorbord'"):
        config.build({"train": {"tensorbord": True}})
