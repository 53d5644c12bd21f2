"""Pretraining without labels: a run, resumed, shared, its page, and a classifier that starts from it."""

import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import mien
from mien import config
from mien.cli import main
from mien.config import Augment, Data, Model, Pretrain, Recipe, Train
from mien.data import open_store
from mien.errors import UsageError
from mien.runs.folder import RunFolder, is_finished
from mien.train import callbacks, run
from mien.train.build import build_model
from mien.train.masked_task import Filling

RECIPE = Recipe(
    name="filling",
    device="cpu",
    data=Data(source="drawn_faces", images=70, size=16),
    model=Model(name="vit", patch_size=4, embed_dim=16, depth=2, num_heads=2, drop_path_rate=0.1),
    augment=Augment(hflip=0.5, rotate=10),
    train=Train(epochs=2, batch_size=14, ema=0.5, lr=3e-3, gradient_clip=1.0, precision="fp32"),
    pretrain=Pretrain(method="mae", mask_ratio=0.5, decoder_dim=32, decoder_depth=1),
)


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("LOCAL_RANK", raising=False)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        return run.run(RECIPE, tmp_path_factory.mktemp("filling") / "run")


def change(recipe=RECIPE, **sections):
    return config.build(recipe.model_dump(), sections)


def weights(folder):
    return load_file(folder / "model" / "model.safetensors")


def losses(folder):
    return [float(row["val_loss"]) for row in csv.DictReader((folder / "metrics.csv").open())]


def test_a_run_lowers_the_loss_and_keeps_the_encoder(finished):
    env = json.loads((finished / "env.json").read_text())
    rows = list(csv.DictReader((finished / "metrics.csv").open()))
    assert losses(finished)[-1] < losses(finished)[0] < env["initial_loss"]
    assert list(rows[0]) == [name for name in callbacks.COLUMNS if not name.endswith(("accuracy", "calibration_error"))]
    assert env["best_epoch"] == 1 + int(np.argmin(losses(finished)))
    assert not {"ln_classes", "ignorant_loss"} & set(env)
    assert not (finished / "evaluation.json").exists()
    assert not [name for name in weights(finished) if "head" in name or "decoder" in name or "encoder" in name]
    settings = json.loads((finished / "model" / "config.json").read_text())
    assert (settings["sizes"]["num_classes"], settings["labels"]) == (0, [])
    assert is_finished(finished)


def test_simmim_with_a_conv_stem_lowers_the_loss(tmp_path):
    changed = {"model": {"stem": "conv"}, "pretrain": {"method": "simmim", "mask_ratio": 0.6}}
    folder = run.run(change(**changed), tmp_path / "run")
    assert losses(folder)[-1] < losses(folder)[0]


def test_an_interrupted_run_ends_with_the_same_weights(finished, tmp_path, interrupted):
    with interrupted():
        run.run(RECIPE, tmp_path / "part")
    assert not is_finished(tmp_path / "part")
    whole, resumed = weights(finished), weights(run.resume(tmp_path / "part"))
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert losses(tmp_path / "part") == losses(finished)


def test_two_processes_pretrain_as_one_does(tmp_path):
    """As in test_run: with SGD, whose steps do not blow up rounding; the masks of both are those of one."""
    still = {"model": {"drop_path_rate": 0.0}, "train": {"optimizer": "sgd", "lr": 0.1, "ema": 0.0}}
    (tmp_path / "recipe.yaml").write_text(config.dump(change(**still)))
    for processes in (1, 2):
        flags = ["--config", str(tmp_path / "recipe.yaml"), "--train.processes", str(processes)]
        out = ["--out", str(tmp_path / f"by{processes}")]
        subprocess.run([sys.executable, "-m", "mien", "run", *flags, *out], check=True)
    one, two = weights(tmp_path / "by1"), weights(tmp_path / "by2")
    assert max((one[name] - two[name]).abs().max().item() for name in one) < 1e-5
    assert losses(tmp_path / "by1") == pytest.approx(losses(tmp_path / "by2"), abs=1e-5)


def test_masks_follow_from_seed_and_step():
    store = open_store(RECIPE.data)

    def filling(recipe):
        return Filling(recipe, build_model(recipe, store), store.preprocessing, 20)

    one, two, other = (filling(recipe) for recipe in (RECIPE, RECIPE, change(seed=1)))
    assert torch.equal(one.validation_masks, two.validation_masks)
    assert not torch.equal(one.validation_masks, other.validation_masks)


def test_a_classifier_starts_from_the_encoder(finished, tmp_path, monkeypatch):
    recipe = config.build(RECIPE.model_dump(), {"pretrain": {"method": "none"}}, {"model": {"init": str(finished)}})
    checkpoint = run.read_checkpoint(recipe)
    recipe = run.with_sizes_of(checkpoint, recipe)
    model, found = build_model(recipe, open_store(recipe.data), checkpoint), weights(finished)
    known = model.state_dict()
    assert set(known) - set(found) == {"head.weight", "head.bias"}
    assert all(torch.equal(known[name], found[name]) for name in found)
    folder = run.run(recipe, tmp_path / "run")
    assert (folder / "evaluation.json").exists()
    assert "head.weight" in weights(folder)


def test_pretraining_goes_on_from_a_classifier_or_another_encoder(finished, tmp_path):
    recipe = change(train={"epochs": 1})
    for start in (finished, run.run(change(recipe, pretrain={"method": "none"}), tmp_path / "classifier")):
        folder = run.run(change(recipe, model={"init": str(start)}), tmp_path / f"from-{start.name}")
        assert set(weights(folder)) == set(weights(finished))


def test_the_encoder_says_that_it_has_no_head(finished):
    with pytest.raises(UsageError, match=r"has no head of its own\. Say how many classes there are: num_classes=7"):
        mien.from_pretrained(finished)
    assert mien.from_pretrained(finished, num_classes=3)(torch.zeros(2, 1, 16, 16)).shape == (2, 3)
    assert mien.from_pretrained(finished, num_classes=0)(torch.zeros(2, 1, 16, 16)).shape == (2, 16)


@pytest.mark.parametrize(
    "words", [["evaluate"], ["evaluate", "--robustness"], ["export"], ["explain"], ["report", "--explain"], ["compare"]]
)
def test_commands_that_need_a_head_say_what_to_do(finished, words, capsys, tmp_path):
    from PIL import Image

    Image.new("L", (16, 16)).save(tmp_path / "photo.png")
    other = shutil.copytree(finished, tmp_path / "other")
    more = {"explain": [str(tmp_path / "photo.png")], "compare": [str(other)]}.get(words[0], [])
    assert main([words[0], str(finished), *more, *words[1:]]) == 2
    said = capsys.readouterr().err
    assert "was pretrained without labels (pretrain.method mae): it has no head" in said
    assert f"mien run RECIPE --model.init {finished}" in said


def test_the_command_ends_with_the_next_step_and_a_page(tmp_path, capsys):
    (tmp_path / "recipe.yaml").write_text(config.dump(change(train={"epochs": 1})))
    assert main(["run", "--config", str(tmp_path / "recipe.yaml"), "--out", str(tmp_path / "run")]) == 0
    printed = capsys.readouterr()
    assert f"{tmp_path / 'run'}  validation loss" in printed.out
    assert f"Next, with labels: mien run RECIPE --model.init {tmp_path / 'run'}" in printed.err
    page = (tmp_path / "run" / "report.html").read_text()
    assert "learned to fill in 50% of an image" in page
    assert "What it fills in" in page
    assert "pretrain.mask_ratio" in page
    assert "accuracy by epoch" not in page


def test_pictures_keep_what_was_visible(finished):
    made = RunFolder.open(finished).reconstructions()
    assert {name: value.shape for name, value in made.items()} == dict.fromkeys(
        ("image", "visible", "filled"), (8, 1, 16, 16)
    )
    same = made["image"] == made["filled"]
    grey = made["visible"] == 128  # the mean, in the place of what was masked
    assert 0.45 < grey.mean() < 0.6
    assert same[~grey].all()
    assert not same[grey].all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"train": {"label_smoothing": 0.1}}, r"so train.label_smoothing 0.1 would do nothing. Leave it at 0.0"),
        ({"augment": {"mixup": 0.4}}, "augment.mixup 0.4 would do nothing"),
        ({"train": {"trainable": "head"}}, "train.trainable head would do nothing. Leave it at all"),
        ({"distill": {"teachers": ("runs/a",)}}, "distill.teachers"),
        ({"augment": {"crop": 12}}, "augment.crop 12: pretraining masks the patches of whole images"),
        ({"model": {"name": "resnet"}}, "masks the patches of a ViT, and model 'resnet' has none"),
        ({"pretrain": {"mask_ratio": 1.0}}, "pretrain.mask_ratio: Input should be less than 1"),
        ({"pretrain": {"method": "mea"}}, "pretrain.method: Input should be 'none', 'mae' or 'simmim'"),
        ({"pretrain": {"decoder_dim": 48}}, "pretrain.decoder_dim: Input should be a multiple of 32"),
        ({"model": {"stem": "conv"}}, "pretrain.method mae: MAE's encoder must not see .* Take simmim"),
        ({"pretrain": {"mask_ratio": 0.99}}, "pretrain.method mae: mask_ratio 0.99 leaves 0 of 16 patches visible"),
    ],
)
def test_settings_that_do_not_fit(settings, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        run.run(change(**settings), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_sweep_over_pretraining_is_refused(tmp_path):
    from mien.config.sweep_plan import make_plan
    from mien.train.sweep import check

    plan = make_plan(None, None, [RECIPE.model_dump(mode="json")], {"seed": "0,1"})
    with pytest.raises(UsageError, match="a sweep ranks its runs by accuracy, and pretraining has none"):
        check(plan)
