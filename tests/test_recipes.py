"""Every recipe parses, states its promise, and trains two steps."""

import re
from importlib.util import find_spec

import pytest
from two_steps import train_two_steps

from mien.errors import MissingError, UsageError
from mien.models import TIMM, count_parameters, create_model
from mien.recipes import load, names

EXPECTED = {
    "quickstart",
    "fer2013_lenet",
    "fer2013_lenet_flips",
    "fer2013_shallow_vit",
    "fer2013_shallow_vit_scaled_init",
    "fer2013_cnn_v1",
    "fer2013_cnn_v2",
    "fer2013_cnn_v2_balanced",
    "fer2013_vit_scratch_naive",
    "fer2013_vit_scratch",
    "fer2013_resnet",
    "fer2013_vtff",
    "folder_vit",
    "folder_cnn",
    "tiny_imagenet_vit",
    "tiny_imagenet_vit_small",
    "fer2013_from_tiny_imagenet",
    "fer2013_vit_b16_linear_probe",
    "fer2013_vit_b16_last_blocks",
    "fer2013_vit_b16_attention_only",
    "fer2013_vit_b16_finetune",
    "fer2013_vit_mlp_head",
    "fer2013_vit_deep_head",
    "fer2013_vit_gradual",
    "fer2013_vit_gradual_balanced",
    "fer2013_vit_gradual_balanced_bn",
    "fer2013_resnet18_pretrained",
    "dogs_vs_cats_vit_head_only",
    "dogs_vs_cats_vit_full",
}
# Not run, and no measured step to reckon from.
TIMELESS = {"fer2013_resnet18_pretrained", "tiny_imagenet_vit", "folder_timm"}


def test_all_recipes_are_there():
    assert set(names()) >= EXPECTED


@pytest.mark.parametrize("name", names())
def test_a_recipe_is_a_promise(name):
    recipe, promise = load(name)
    assert recipe.name.startswith(name)
    for word in ("Source", "Command", "Result"):
        assert f"\n{word} " in promise, f"{name}'s docstring does not state its {word}"
    assert f"mien run {name}" in promise


@pytest.mark.parametrize("name", sorted(set(names()) - TIMELESS))
def test_a_recipe_says_how_long_it_takes(name):
    assert re.search(r"\d s\b|seconds|minutes?\b|hours", load(name)[1]), name


@pytest.mark.parametrize("name", names())
def test_every_recipe_trains_two_steps(name, tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    if load(name)[0].model.name.startswith(TIMM) and find_spec("timm") is None:
        pytest.skip("it needs the extra timm; tests/parity/test_timm_networks.py trains it, beside timm")
    assert (train_two_steps(name, tmp_path / "run") / "model" / "model.safetensors").stat().st_size > 1000


def test_fer2013_resnet_keeps_its_size():
    recipe, _ = load("fer2013_resnet")
    assert count_parameters(create_model("resnet", **recipe.model.sizes())) <= 5.2e6


def test_unknown_recipe(tmp_path):
    (tmp_path / "recipe.yaml").write_text("name: mine")
    with pytest.raises(UsageError, match=rf"{tmp_path} is a run, not a recipe\. To go on with it: mien run"):
        load(str(tmp_path))
    with pytest.raises(UsageError, match="There is no run folder runs/nope, and recipes have no '/'"):
        load("runs/nope")
    with pytest.raises(UsageError, match=r"Unknown recipe 'fer2013_lenett'\. Did you mean 'fer2013_lenet'\?"):
        load("fer2013_lenett")


def test_a_recipe_of_your_own(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text('"""Mine."""\nfrom mien.config import Recipe\nrecipe = Recipe(name="mine")\n')
    recipe, promise = load(str(path))
    assert (recipe.name, promise) == ("mine", "Mine.")
    path.write_text("recipe = 3")
    with pytest.raises(UsageError, match="defines no 'recipe = Recipe"):
        load(str(path))
    with pytest.raises(MissingError, match="no such recipe file"):
        load(str(tmp_path / "none.py"))


def test_what_the_ladder_measured_stays_when_the_quickstart_changes():
    recipe = load("drawn_faces_vit")[0]
    assert (recipe.model.global_pool, recipe.train.epochs) == ("avg", 10)
