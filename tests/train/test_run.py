"""Recipe -> run folder: what it has, what stops it, what it refuses."""

import csv
import functools
import io
import json
import math
import re
from types import SimpleNamespace

import lightning as L
import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import save_file
from tiny_training import RECIPE, change, weights

from mien import config
from mien.config import Model, Train
from mien.data import open_store
from mien.errors import DataError, MienError, MissingError, UsageError
from mien.evaluate.run_model import load_model
from mien.models import create_model
from mien.runs import read_recipe
from mien.runs.folder import RunFolder
from mien.train import callbacks, run, trainer
from mien.train.build import build_task, lay_out
from mien.train.task import Task

pytestmark = pytest.mark.usefixtures("shared_cache")


def test_a_run_folder_has_what_it_promises(tmp_path):
    folder = run.run(RECIPE, tmp_path / "run")
    env = json.loads((folder / "env.json").read_text())
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert read_recipe(folder) == RECIPE
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert tuple(rows[0]) == callbacks.COLUMNS
    assert all(math.isfinite(float(value)) for row in rows for value in row.values())
    assert float(rows[0]["seconds"]) < float(rows[2]["seconds"]) == env["seconds"]
    assert env["ln_classes"] == pytest.approx(math.log(7))
    assert env["initial_loss"] == pytest.approx(math.log(7), abs=0.01)
    assert env["initial_loss_images"] == 70
    assert env["store"]["images"]["train"] == 70
    assert len(RunFolder.open(folder).predictions()) == env["store"]["images"]["validation"]
    scores = json.loads((folder / "evaluation.json").read_text())["validation"]
    best = max(float(row["val_accuracy"]) for row in rows)
    assert scores["accuracy"] == pytest.approx(best, abs=1e-6)
    assert {path.name for path in (folder / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    model, labels, preprocessing = load_model(folder)
    assert model(torch.zeros(2, 1, 16, 16)).shape == (2, len(labels))
    assert (preprocessing.size, preprocessing.mean) == (16, 0.5)
    assert {path.name for path in folder.iterdir()} == {
        *("recipe.yaml", "env.json", "metrics.csv", "checkpoints", "model", "predictions.npz", "evaluation.json"),
        *("data.npz", "manifest.json"),
    }, "and no draft of a file"
    assert {path.name for path in (folder / "model").iterdir()} == {"config.json", "model.safetensors"}


def test_the_bar_shows_loss_accuracy_and_speed(tmp_path, monkeypatch):
    """Of an epoch so far; at its end that is the epoch's own accuracy."""
    terminal = Console(file=io.StringIO(), force_terminal=True, width=200)
    monkeypatch.setattr(callbacks, "console", lambda: terminal)
    states = []
    monkeypatch.setattr(callbacks.Progress, "update", lambda self, line, **fields: states.append(fields))
    monkeypatch.setattr(callbacks.Progress, "advance", lambda self, line: None)
    folder = run.run(change(train={"epochs": 1, "batch_size": 70}), tmp_path / "run")
    (row,) = csv.DictReader((folder / "metrics.csv").open())
    (shown,) = [fields for fields in states if "state" in fields]
    assert shown["description"] == "epoch 1"
    found = re.fullmatch(r"loss (\d\.\d{3}) acc (\d+\.\d)% [\d,]+ images/s", shown["state"])
    assert float(found[1]) == pytest.approx(float(row["train_loss"]), abs=6e-4)
    assert float(found[2]) == pytest.approx(100 * float(row["train_accuracy"]), abs=0.06)


def test_last_is_the_last_epoch_also_when_it_was_not_the_best(tmp_path):
    """At a rate of nothing, to float32, no loss is less than that of the first epoch."""
    train = Train(epochs=3, batch_size=35, lr=1e-30, schedule="constant", precision="fp32", monitor="loss")
    folder = run.run(RECIPE.model_copy(update={"train": train}), tmp_path / "run")
    epochs = {
        name: torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)["epoch"]
        for name in ("best", "last")
    }
    assert epochs == {"best": 0, "last": 2}


def test_the_validation_loss_counts_every_image_once(tmp_path, monkeypatch):
    """Also where the last batch is smaller than the others."""
    monkeypatch.setattr(trainer, "Batches", functools.partial(trainer.Batches, batch_size=11))
    folder = run.run(change(train={"epochs": 1, "warmup_epochs": 0}), tmp_path / "run")
    [row] = csv.DictReader((folder / "metrics.csv").open())
    scores = json.loads((folder / "evaluation.json").read_text())["validation"]
    assert scores["images"] % 11
    assert float(row["val_loss"]) == pytest.approx(scores["negative_log_likelihood"], abs=1e-5)
    assert float(row["val_calibration_error"]) == pytest.approx(scores["calibration_error"], abs=1e-5)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path):
    one, two = (weights(run.run(RECIPE, tmp_path / name)) for name in ("one", "two"))
    other = weights(run.run(change(seed=1), tmp_path / "other"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])


def test_a_run_is_never_overwritten_unless_asked(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    recipe = change(train={"epochs": 1})
    folder = run.run(recipe, tmp_path / "run")
    with pytest.raises(UsageError, match=r"run exists\. Choose another `out`"):
        run.run(recipe, folder)
    with monkeypatch.context() as patch:
        patch.setattr(config, "dump", full)
        with pytest.raises(MienError, match="No space left"):
            run.run(change(recipe, seed=5), folder, overwrite=True)
    assert read_recipe(folder).seed == recipe.seed
    assert weights(folder)
    run.run(change(recipe, seed=5), folder, overwrite=True)
    assert read_recipe(folder).seed == 5
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_full_disk_while_saving_says_what_to_do(tmp_path, monkeypatch):
    def full(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(L.Trainer, "save_checkpoint", full)
    with pytest.raises(MienError, match=r"No space left on device\). Free some space, then: `mien\.resume\("):
        run.run(RECIPE, tmp_path / "run")


def test_options_of_training(tmp_path):
    recipe = change(
        model={"name": "cnn_v2", "widths": (3, 5)},
        train={
            "optimizer": "sgd",
            "lr": 0.05,
            "sampler": "balanced",
            "class_weights": True,
            "early_stopping": 1,
            "monitor": "loss",
            "checkpoint_every": 1,
            "epochs": 2,
        },
    )
    folder = run.run(recipe, tmp_path / "run")
    assert {"epoch=000.ckpt", "epoch=001.ckpt"} <= {path.name for path in (folder / "checkpoints").iterdir()}


def test_early_stopping_stops(tmp_path):
    recipe = change(train={"epochs": 30, "early_stopping": 1, "lr": 1e-12, "ema": 0.0})
    folder = run.run(recipe, tmp_path / "run")
    assert json.loads((folder / "env.json").read_text())["epochs"] < 10


def test_a_moving_average_keeps_tables_of_places_and_counts():
    """A mean of equal whole numbers, taken in floats and cut off, falls below them."""
    recipe = change(model={"pos_embed": "relative"}, train={"ema": 0.998})
    model = create_model("vit", img_size=16, num_classes=7, **recipe.model.sizes())
    task = Task(recipe, model, None, np.full(7, 10))
    for _ in range(50):
        task.averaged.update_parameters(model)
    tables = {name: buffer for name, buffer in model.named_buffers() if not buffer.is_floating_point()}
    kept = dict(task.trained.named_buffers())
    assert len(tables) == 2
    assert all(torch.equal(kept[name], table) for name, table in tables.items())


def test_mixed_precision_with_clipped_gradients(tmp_path):
    folder = run.run(change(train={"precision": "bf16", "epochs": 1}), tmp_path / "run")
    assert weights(folder)["head.weight"].dtype == torch.float32


def test_a_stuck_run_warns(tmp_path):
    recipe = change(train={"epochs": 4, "lr": 1e-12, "ema": 0.0, "warmup_epochs": 0, "batch_size": 2})
    folder = run.run(recipe, tmp_path / "run")
    assert "ignores the input" in json.loads((folder / "env.json").read_text())["warnings"][0]


def test_a_bad_initialisation_warns(tmp_path):
    recipe = change(model=Model(name="shallow_vit", patch_size=8).model_dump(), train={"epochs": 1, "batch_size": 35})
    folder = run.run(recipe, tmp_path / "run")
    assert "initialisation is badly scaled" in json.loads((folder / "env.json").read_text())["warnings"][0]


@pytest.mark.parametrize("model", [{}, {"pos_embed": "none", "attention": "linformer", "landmarks": 4}])
def test_a_crop_that_the_model_cannot_take(tmp_path, model):
    with pytest.raises(UsageError, match="vit takes images of 16 pixels only"):
        run.run(change(augment={"crop": 12}, model=model), tmp_path / "run")


def test_no_run_folder(tmp_path):
    with pytest.raises(MissingError, match="is not a run folder"):
        run.resume(tmp_path)
    with pytest.raises(MissingError, match="has no finished model"):
        load_model(tmp_path)
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "recipe.yaml").touch()
    with pytest.raises(MissingError, match=r"frist is not a run folder: .* Did you mean '.*first'"):
        load_model(tmp_path / "frist")


def test_a_damaged_model_is_refused(tmp_path):
    folder = run.run(change(train={"epochs": 1}), tmp_path / "run")
    path = folder / "model" / "model.safetensors"
    (folder / "manifest.json").unlink()  # so that files may change
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match="is damaged"):
        load_model(folder)
    (folder / "model" / "config.json").write_text("{}")
    with pytest.raises(DataError, match=r"model\.safetensors is damaged"):
        load_model(folder)
    save_file({"head.bias": torch.zeros(7)}, path)
    with pytest.raises(DataError, match=r"config\.json is damaged: 'preprocessing'"):
        load_model(folder)


def test_a_recipe_that_cannot_be_built_leaves_no_folder_and_overwrites_none(tmp_path):
    folder = run.run(change(train={"epochs": 1}), tmp_path / "run")
    with pytest.raises(UsageError, match="must be divisible by patch_size"):
        run.run(change(model={"patch_size": 7}), folder, overwrite=True)
    assert (folder / "model" / "model.safetensors").exists()
    with pytest.raises(UsageError, match="must be divisible by patch_size"):
        run.run(change(model={"patch_size": 7}), tmp_path / "other")
    with pytest.raises(UsageError, match=r"too few for `train\.processes` 1 and `train\.accumulate_grad_batches` 1000"):
        run.run(change(train={"accumulate_grad_batches": 1000}), tmp_path / "other")
    normed = change(model={"head_hidden": (4,), "head_batch_norm": True}, augment={"mixup": 0}, train={"batch_size": 1})
    with pytest.raises(
        UsageError, match=r"the batch norms of vit learn from two or more\. Take a larger `train\.batch"
    ):
        run.run(normed, tmp_path / "other")
    with pytest.raises(UsageError, match=r"70 validation images are too few for `train\.processes` 71"):
        build_task(change(train={"processes": 71, "batch_size": 142}), open_store(RECIPE.data))
    assert not (tmp_path / "other").exists()


def test_what_needs_no_images_is_refused_before_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "open_store", lambda data: pytest.fail("the images were read"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.jpg").write_text("precious")
    with pytest.raises(UsageError, match="Choose another `out`"):
        run.run(RECIPE, tmp_path / "full")
    with pytest.raises(UsageError, match="must be divisible by patch_size"):
        run.run(change(model={"patch_size": 7}), tmp_path / "other")


def test_overwrite_deletes_runs_only(tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "mine.jpg").write_text("precious")
    with pytest.raises(UsageError, match="is no run folder, so `overwrite` leaves it alone"):
        run.run(RECIPE, tmp_path / "pictures", overwrite=True)
    assert (tmp_path / "pictures" / "mine.jpg").exists()


def test_a_diverged_run_is_an_error(tmp_path):
    recipe = change(train={"optimizer": "sgd", "lr": 1e30, "gradient_clip": 0.0, "warmup_epochs": 0, "ema": 0.0})
    with pytest.raises(MienError, match=r"diverged in epoch 1: .*Try a smaller `train.lr`"):
        run.run(recipe, tmp_path / "run")
    assert not (tmp_path / "run" / "evaluation.json").exists()


def test_evaluate_refuses_other_images(tmp_path):
    from mien.evaluate.split import evaluate

    folder = run.run(change(train={"epochs": 1}), tmp_path / "run")
    assert evaluate(folder).images == 70
    (folder / "manifest.json").unlink()  # so that files may change
    text = (folder / "recipe.yaml").read_text().replace("images: 70", "images: 77")
    (folder / "recipe.yaml").write_text(text)
    with pytest.raises(UsageError, match="trained on other images"):
        evaluate(folder)


def test_a_full_disk_while_saving_the_model_leaves_no_half_file(tmp_path, monkeypatch):
    from mien.pretrained import weight_files

    def full(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weight_files, "save_file", full)
    with pytest.raises(MienError, match=r"Saving the model to .* failed"):
        run.run(change(train={"epochs": 1}), tmp_path / "run")
    assert not list((tmp_path / "run" / "model").iterdir())


@pytest.mark.parametrize("wants", [False, True])
def test_convolutions_lie_in_memory_as_the_device_wants_them(monkeypatch, wants):
    """With their moving average; but not those of a model of one's own, which may .view() what they give."""
    monkeypatch.setattr(run.hardware, "wants_channels_last", lambda device, model: wants)
    for name, moved in (("resnet", wants), ("their_file:Net", False)):
        recipe = RECIPE.model_copy(update={"model": Model(name=name)})
        task = SimpleNamespace(recipe=recipe, model=torch.nn.Conv2d(3, 5, 3), trained=torch.nn.Conv2d(3, 5, 3))
        lay_out(task, "cpu")
        for network in (task.model, task.trained):
            assert network.weight.is_contiguous(memory_format=torch.channels_last) == moved
            assert network.weight.is_contiguous() != moved


@pytest.mark.parametrize("capability", ["AVX512", "AVX2"])
def test_narrow_networks_keep_their_layout_on_a_cpu(monkeypatch, capability):
    """torch 2.13 writes beyond its memory in the backward pass of narrow 1x1 convolutions with channels last."""
    wide, narrow = (create_model("resnet", widths=widths, layers=(1, 1)) for widths in ((16, 17), (15, 32)))
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert run.hardware.wants_channels_last("cpu", wide)
    assert not run.hardware.wants_channels_last("cpu", narrow)
    assert run.hardware.wants_channels_last("cuda", narrow)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    assert not run.hardware.wants_channels_last("cpu", wide)
