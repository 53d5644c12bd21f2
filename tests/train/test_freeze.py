"""What trains when: by name, in the network, in whole runs, resumed and shared, and in the report."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from mien import config
from mien.cli import main
from mien.config import Data, Model, Recipe, Train
from mien.errors import UsageError
from mien.models import create_model
from mien.models.protocol import block_names
from mien.report import run_page, write_report
from mien.runs import read_recipe
from mien.runs.folder import RunFolder
from mien.runs.history import read_epochs
from mien.train import callbacks, freeze, run
from mien.train.build import build_model
from mien.train.optimizers import make_optimizer

VIT = {"img_size": 8, "patch_size": 4, "embed_dim": 8, "depth": 3, "num_heads": 2}
RECIPE = Recipe(
    name="tiny",
    data=Data(source="drawn_faces", images=70, size=16),
    model=Model(name="vit", patch_size=4, embed_dim=16, depth=3, num_heads=2, drop_rate=0.1, drop_path_rate=0.1),
    train=Train(epochs=4, batch_size=14, ema=0.9, weight_decay=0.1, precision="fp32"),
)
CNN = {"name": "resnet", "widths": (3, 5, 7), "layers": (1, 1, 1)}


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    torch.manual_seed(0)


def change(recipe=RECIPE, **sections):
    return config.build(recipe.model_dump(), sections)


def weights(folder):
    return load_file(folder / "model" / "model.safetensors")


def start(recipe):
    """The weights that a run of the recipe starts from."""
    from mien.data import open_store

    return build_model(recipe, open_store(recipe.data)).state_dict()


def changed(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


def checkpoint(folder, epoch):
    return torch.load(folder / "checkpoints" / f"epoch={epoch - 1:03d}.ckpt", weights_only=True)


# --- by name


def test_blocks_are_named_from_the_image_to_the_head():
    assert block_names(create_model("vit", **VIT)) == ["blocks.0", "blocks.1", "blocks.2"]
    assert block_names(create_model("resnet")) == ["layer1", "layer2", "layer3", "layer4"]
    assert block_names(create_model("lenet")) == []


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [""]),
        ({"trainable": "head"}, ["head"]),
        ({"trainable": "last_blocks", "last_blocks": 2}, ["blocks.1", "blocks.2", "norm", "pre_logits", "head"]),
        ({"trainable": "attention"}, ["blocks.0.attn", "blocks.1.attn", "blocks.2.attn", "head"]),
    ],
)
def test_what_trains(settings, expected):
    assert freeze.trained(create_model("vit", **VIT), Train(**settings), epoch=1) == expected


def test_gradual_unfreezing_opens_blocks_in_turn():
    settings = Train(epochs=6, unfreeze={2: 2, 5: [0, 1]})
    model = create_model("resnet")
    assert freeze.trained(model, settings, 1) == ["fc"]
    for epoch in (2, 4):
        assert freeze.trained(model, settings, epoch) == ["layer3", "drop", "fc"]
    assert freeze.trained(model, settings, 5) == ["layer1", "layer2", "layer3", "drop", "fc"]


def test_both_heads_of_a_distilled_model_train():
    model = create_model("vit", **VIT, distilled=True)
    assert freeze.trained(model, Train(trainable="head"), 1) == ["head", "head_dist"]


# --- in the network


def test_frozen_parts_are_in_eval_mode_and_have_no_gradient():
    model = create_model("vit", **VIT, drop_rate=0.5, drop_path_rate=0.5, stem="conv", head_hidden=(5,))
    freeze.freeze(model, Train(trainable="last_blocks", last_blocks=1), epoch=1)
    training = {name for name, module in model.named_modules() if module.training}
    assert {"blocks.2", "blocks.2.attn.proj_drop", "blocks.2.drop_path", "norm", "head", "head.2"} <= training
    assert not any(name.startswith(("blocks.0", "blocks.1", "patch_embed", "pos_drop")) for name in training)
    live = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert {name.split(".")[0] for name in live} == {"blocks", "norm", "head"}
    assert all(name.startswith("blocks.2.") for name in live if name.startswith("blocks"))
    freeze.freeze(model, Train(), epoch=1)
    assert all(module.training for module in model.modules())


def test_batch_norms_keep_their_statistics_and_train_their_weights():
    model = create_model(**CNN)
    freeze.freeze(model, Train(freeze_batch_norm=True), epoch=1)
    norms = freeze.batch_norms(model)
    assert norms
    assert not any(norm.training for norm in norms)
    assert all(norm.weight.requires_grad and norm.bias.requires_grad for norm in norms)
    assert model.training
    before = [norm.running_mean.clone() for norm in norms]
    model(torch.randn(2, 1, 16, 16))
    assert all(torch.equal(norm.running_mean, mean) for norm, mean in zip(norms, before, strict=True))


def test_fixed_positions_stay_fixed():
    model = create_model("vit", **VIT, pos_embed="sincos2d")
    for settings in (Train(), Train(trainable="last_blocks", last_blocks=3), Train(trainable="attention")):
        freeze.freeze(model, settings, epoch=1)
        assert not model.pos_embed.requires_grad


def test_frozen_parts_cost_no_optimizer_state_until_they_train():
    model = create_model("vit", **VIT, init="torch")
    settings = Train(epochs=2, unfreeze={2: 2})
    freeze.freeze(model, settings, epoch=2)
    optimizer = make_optimizer(model, settings)
    groups = [len(group["params"]) for group in optimizer.param_groups]
    for epoch in (1, 2):
        freeze.freeze(model, settings, epoch)
        optimizer.zero_grad()
        model(torch.randn(3, 1, 8, 8)).logsumexp(1).sum().backward()
        optimizer.step()
        live = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
        assert {id(parameter) for parameter in optimizer.state} == live
        assert [len(group["params"]) for group in optimizer.param_groups] == groups
    assert len({state["step"].item() for state in optimizer.state.values()}) == 2  # the head is one step ahead


# --- layer-wise learning rates


def test_layer_decay_by_hand():
    """Head and norm 1, the last block the factor, ..., the stem lowest: factor ** (depth + 1)."""
    rates = freeze.rates(create_model("vit", **VIT), 0.5)
    expected = {
        "head.bias": 1,
        "norm.weight": 1,
        "blocks.2.norm1.weight": 0.5,
        "blocks.1.mlp.fc1.weight": 0.25,
        "blocks.0.attn.qkv.bias": 0.125,
        "patch_embed.proj.weight": 0.0625,
        "cls_token": 0.0625,
        "pos_embed": 0.0625,
    }
    assert {name: rates[name] for name in expected} == expected
    rates = freeze.rates(create_model("resnet"), 0.5)
    assert [rates[name] for name in ("fc.weight", "layer4.0.bn1.bias", "conv1.weight")] == [1, 0.5, 0.5**5]
    assert set(freeze.rates(create_model("lenet"), 1.0).values()) == {1.0}


def test_layer_decay_makes_groups_and_the_first_has_the_full_rate():
    model = create_model("vit", **VIT)
    optimizer = make_optimizer(model, Train(lr=0.5, layer_decay=0.5, weight_decay=0.25))
    rates = freeze.rates(model, 0.5)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for group in optimizer.param_groups:
        assert {0.5 * rates[names[id(parameter)]] for parameter in group["params"]} == {group["lr"]}
    assert optimizer.param_groups[0]["lr"] == 0.5
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(names)
    assert len(make_optimizer(model, Train()).param_groups) == 2


@pytest.mark.parametrize("schedule", ["constant", "cosine", "one_cycle", "plateau"])
def test_layer_decay_with_every_schedule(tmp_path, schedule):
    """The rates of the groups keep their ratio, and metrics.csv shows the head's."""
    recipe = change(train={"epochs": 2, "layer_decay": 0.5, "schedule": schedule, "checkpoint_every": 1, "lr": 0.001})
    folder = run.run(recipe, tmp_path / "run")
    groups = checkpoint(folder, 1)["optimizer_states"][0]["param_groups"]
    top = groups[0]["lr"]
    assert read_epochs(folder)[0]["lr"] == pytest.approx(top)
    assert sorted({round(group["lr"] / top, 3) for group in groups}) == [0.062, 0.125, 0.25, 0.5, 1.0]
    assert (top == 0.001) == (schedule in ("constant", "plateau"))


# --- whole runs


def test_attention_alone_trains(tmp_path):
    recipe = change(train={"trainable": "attention", "epochs": 2})
    found = changed(start(recipe), weights(run.run(recipe, tmp_path / "run")))
    assert found
    assert all(".attn." in name or name.startswith("head.") for name in found)
    assert {name.split(".")[1] for name in found if ".attn." in name} == {"0", "1", "2"}


def test_last_blocks_leave_the_batch_norms_of_the_others_alone(tmp_path):
    recipe = change(model=CNN, train={"trainable": "last_blocks", "last_blocks": 1, "epochs": 2})
    found = changed(start(recipe), weights(run.run(recipe, tmp_path / "run")))
    assert {name.split(".")[0] for name in found} == {"layer3", "fc"}
    assert "layer3.0.bn1.running_mean" in found


def test_gradual_unfreezing_epoch_by_epoch(tmp_path):
    recipe = change(train={"unfreeze": {2: 2, 4: [0]}, "checkpoint_every": 1, "ema": 0.0, "schedule": "one_cycle"})
    folder = run.run(recipe, tmp_path / "run")
    states = {epoch: checkpoint(folder, epoch) for epoch in (1, 2, 3, 4)}
    models = {0: start(recipe)}
    for epoch, state in states.items():
        models[epoch] = {name.removeprefix("model."): tensor for name, tensor in state["state_dict"].items()}
    moved = {
        epoch: {".".join(name.split(".")[:2]) for name in changed(models[epoch - 1], models[epoch] | {})}
        for epoch in states
    }
    head, last = {"head.weight", "head.bias"}, {"norm.weight", "norm.bias", "blocks.2"}
    assert [moved[epoch] for epoch in (1, 2, 3, 4)] == [
        head, head | last, head | last, head | last | {"blocks.0"}
    ]  # fmt: skip
    kept = [len(states[epoch]["optimizer_states"][0]["state"]) for epoch in (1, 2, 3, 4)]
    assert kept == [2, 2 + 2 + 12, 2 + 2 + 12, 2 + 2 + 24]
    rates = [row["lr"] for row in read_epochs(folder)]
    plain = run.run(change(train={"ema": 0.0, "schedule": "one_cycle"}), tmp_path / "plain")
    assert rates == [row["lr"] for row in read_epochs(plain)]


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle", "plateau"])
@pytest.mark.parametrize(
    ("train", "stopped"),
    [({"unfreeze": {2: 2, 3: 1}}, 1), ({"unfreeze": {2: 2, 3: 1}, "layer_decay": 0.7}, 2), ({"trainable": "head"}, 2)],
)
def test_an_interrupted_run_ends_with_the_same_weights(tmp_path, monkeypatch, schedule, train, stopped):
    model = {"head_hidden": (7,), "head_drop_rate": 0.2, "head_batch_norm": True}
    recipe = change(model=model, train={**train, "schedule": schedule, "warmup_epochs": 1})
    whole = weights(run.run(recipe, tmp_path / "whole"))

    def stop(self, trainer, task, batch, index):
        if (trainer.current_epoch, index) == (stopped, 2):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.Display, "on_train_batch_start", stop, raising=False)
        with pytest.raises(KeyboardInterrupt):
            run.run(recipe, tmp_path / "part")
    assert len(read_epochs(tmp_path / "part")) == stopped
    resumed = weights(run.resume(tmp_path / "part"))
    assert changed(whole, resumed) == set()


def test_early_stopping_with_a_schedule(tmp_path):
    recipe = change(train={"epochs": 30, "early_stopping": 1, "lr": 1e-12, "ema": 0.0, "unfreeze": {25: 0}})
    folder = run.run(recipe, tmp_path / "run")
    epochs = json.loads((folder / "env.json").read_text())["epochs"]
    assert epochs < 10
    shown = run_page.trained(RunFolder.open(folder))
    assert shown["first"] == shown["last"] == "1.13%"


def test_two_processes_unfreeze_as_one_does(tmp_path):
    still = {"drop_rate": 0.0, "drop_path_rate": 0.0}
    settings = {"epochs": 3, "batch_size": 28, "optimizer": "sgd", "lr": 0.5, "unfreeze": {2: 2, 3: [1]}}
    recipe = change(model=still, train=settings)
    one = weights(run.run(recipe, tmp_path / "one"))
    (tmp_path / "tiny.yaml").write_text(config.dump(recipe))
    command = [sys.executable, "-m", "mien", "run", "--config", str(tmp_path / "tiny.yaml"), "--train.processes=2"]
    subprocess.run([*command, "--out", str(tmp_path / "two"), "--device", "cpu"], check=True)
    two = weights(tmp_path / "two")
    assert max((one[name] - two[name]).abs().max().item() for name in one) < 1e-5


# --- errors, before anything is written


@pytest.mark.parametrize(
    ("model", "train", "text"),
    [
        ({}, {"unfreeze": {2: 3}}, r"names block 3 in epoch 2, but vit has 3 blocks, 0 to 2\.$"),
        ({}, {"unfreeze": {2: [0, -1]}}, "names block -1 in epoch 2"),
        (CNN, {"unfreeze": {1: 11}}, "names block 11 in epoch 1, but resnet has 3 blocks, 0 to 2"),
        ({}, {"unfreeze": {5: 0}}, r"epoch 5, but the run has epochs 1 to 4\. Take the entry out, or change train.epo"),
        ({}, {"unfreeze": {0: 0}}, "names epoch 0, but the run has epochs 1 to 4"),
        (
            {},
            {"trainable": "last_blocks", "last_blocks": 4},
            r"last_blocks 4: vit has 3 blocks, 0 to 2\. Give a number",
        ),
        ({}, {"trainable": "last_blocks"}, r"last_blocks 0: vit has 3 blocks, 0 to 2\. Give a number from 1 to 3"),
        ({}, {"last_blocks": 2}, "last_blocks 2 does nothing without train.trainable last_blocks"),
        ({}, {"unfreeze": {2: 0}, "trainable": "head"}, "Leave train.trainable at 'all', not 'head'"),
        (
            {"name": "lenet"},
            {"trainable": "head"},
            r"train.trainable head needs a model with blocks, and 'lenet' has n",
        ),
        ({"name": "lenet"}, {"unfreeze": {2: 0}}, "train.unfreeze needs a model with blocks.*Take a vit or a resnet"),
        ({"name": "lenet"}, {"layer_decay": 0.75}, "train.layer_decay 0.75 needs a model with blocks"),
        ({}, {"freeze_batch_norm": True}, "train.freeze_batch_norm does nothing: vit has no batch norm"),
        (CNN, {"trainable": "attention"}, "'resnet' has no attention to train. Take a vit"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, model, train, text):
    recipe = change(model=model, train=train)
    with pytest.raises(UsageError, match=text):
        run.run(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_model_of_ones_own_needs_a_classifier():
    model = nn.Module()
    model.layer1 = nn.Linear(2, 2)
    with pytest.raises(UsageError, match="needs a model with blocks"):
        freeze.check(model, change(train={"trainable": "head"}))
    freeze.check(model, RECIPE)


def test_settings_as_they_are_written(tmp_path, monkeypatch):
    recipe = config.build({"train": {"unfreeze": "{2: 11, 4: [9, 10]}"}})
    assert recipe.train.unfreeze == {2: 11, 4: (9, 10)}
    (tmp_path / "recipe.yaml").write_text(config.dump(recipe))
    assert read_recipe(tmp_path) == recipe
    assert config.build(recipe.model_dump(), {"train": {"unfreeze": {3: 1}}}).train.unfreeze == {3: 1}
    with pytest.raises(UsageError, match=r"train\.unfreeze\.2\.int: Input should be a valid integer.*given 'x'"):
        config.build({"train": {"unfreeze": {2: "x"}}})
    with pytest.raises(UsageError, match=r"train\.layer_decay: Input should be greater than 0"):
        config.build({"train": {"layer_decay": 0}})


def test_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    command = ["run", "folder_vit", "--data.source", "drawn_faces", "--data.images", "70", "--data.size", "16"]
    command += ["--model.patch_size", "8", "--train.epochs", "3"]
    assert main([*command, "--train.unfreeze", "{1: 0, 4: 1}"]) == 2
    assert "train.unfreeze names epoch 4, but the run has epochs 1 to 3." in capsys.readouterr().err
    assert main([*command, "--train.unfreeze", "[1"]) == 2
    assert "train.unfreeze=[1 is no YAML value." in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


# --- what is kept and shown of it


def test_history_counts_parameters():
    model = create_model("vit", **VIT)
    rows = freeze.history(model, Train(epochs=3, unfreeze={3: 1}))
    sizes = {
        part: sum(p.numel() for p in model.get_submodule(part).parameters()) for part in ("blocks.1", "norm", "head")
    }
    total = sum(p.numel() for p in model.parameters())
    assert [row.epoch for row in rows] == [1, 2, 3]
    assert [row.share for row in rows] == pytest.approx(
        [sizes["head"] / total] * 2 + [sum(sizes.values()) / total], abs=1e-6
    )
    assert rows[0].parts == {"stem": 0, "blocks.0": 0, "blocks.1": 0, "blocks.2": 0, "head": 1}
    assert rows[2].parts == rows[0].parts | {"blocks.1": 1}
    first, last = (f"{100 * rows[i].share:.3g}%" for i in (0, 2))
    expected = f"trained share of the parameters: {first} from epoch 1, {last} from epoch 3"
    assert freeze.describe(rows) == expected
    assert freeze.history(model, Train()) == []


def test_a_part_without_parameters_has_no_share():
    model = Blocks()
    assert freeze.history(model, Train(trainable="head", epochs=1))[0].parts == {"blocks.0": 0, "head": 1}


class Blocks(nn.Module):
    """An own network: nothing stands before its blocks, and one of them is an activation."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
        self.head = nn.Linear(4, 2)

    def get_classifier(self):
        return self.head


def test_history_of_attention_is_a_share_of_each_block():
    model = create_model("vit", **VIT)
    attention = sum(p.numel() for p in model.blocks[0].attn.parameters())
    share = attention / sum(p.numel() for p in model.blocks[0].parameters())
    row = freeze.history(model, Train(trainable="attention", epochs=1))[0]
    assert row.parts["blocks.2"] == pytest.approx(share, abs=1e-6)


def test_the_report_draws_what_was_trained_when(tmp_path):
    folder = run.run(change(train={"unfreeze": {3: 2}}), tmp_path / "run")
    assert [row["epoch"] for row in json.loads((folder / "env.json").read_text())["trained"]] == [1, 2, 3, 4]
    page = write_report(folder).read_text(encoding="utf-8")
    assert "What was trained when" in page
    for text in ("block 2", "stem", "head"):
        assert f">{text}</text>" in page
    plain = write_report(run.run(change(train={"epochs": 1}), tmp_path / "plain")).read_text(encoding="utf-8")
    assert "What was trained when" not in plain
