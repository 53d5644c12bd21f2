"""Training that starts from somebody's weights: --model.init CHECKPOINT."""

import re
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

import mien
from mien import config
from mien.config import Data, Model, Recipe, Train
from mien.errors import UsageError
from mien.evaluate.run_model import load_model
from mien.models.vit import VisionTransformer
from mien.models.vit_sizes import VitSizes
from mien.runs import read_recipe
from mien.train import run

START = Recipe(
    name="start",
    data=Data(source="drawn_faces", images=70, size=16, mean=0.4, std=0.3),
    model=Model(name="vit", patch_size=4, embed_dim=16, depth=2, num_heads=2),
    train=Train(epochs=1, batch_size=35),
)
NEXT = {"name": "next", "data": {"source": "drawn_faces", "images": 70, "size": 24}, "train": {"epochs": 1, "lr": 1e-9}}


def vit(**sizes) -> VisionTransformer:
    return VisionTransformer(VitSizes(**sizes))


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def test_a_run_starts_from_another_run(tmp_path):
    start = run.run(START, tmp_path / "start")
    recipe = config.build(NEXT, {"model": {"init": str(start)}})
    folder = run.run(recipe, tmp_path / "next")
    written = read_recipe(folder)
    assert (written.model.name, written.model.patch_size, written.model.embed_dim) == ("vit", 4, 16)
    assert (written.data.mean, written.data.std) == (0.4, 0.3)
    before, after = (load_file(one / "model" / "model.safetensors") for one in (start, folder))
    torch.testing.assert_close(after["blocks.0.attn.qkv.weight"], before["blocks.0.attn.qkv.weight"])
    torch.testing.assert_close(after["head.weight"], before["head.weight"])  # the same seven classes: the same head
    assert after["pos_embed"].shape == (1, 1 + 36, 16)
    assert (folder / "model" / "model.safetensors").stat().st_mode & 0o777 == 0o644
    shutil.rmtree(start)
    _, labels, preprocessing = load_model(folder)
    assert (len(labels), preprocessing.size) == (7, 24)
    assert run.resume(folder) == folder  # goes on from its own checkpoint, not from the one that is gone


def test_other_sizes_than_the_checkpoint(tmp_path):
    torch.manual_seed(0)
    model = vit(img_size=16, patch_size=4, embed_dim=16, depth=2, num_heads=2, in_chans=3)
    save_file(model.state_dict(), tmp_path / "vit.safetensors")
    asked = {"init": str(tmp_path / "vit.safetensors"), "num_heads": 2}
    folder = run.run(config.build(NEXT, {"model": asked}), tmp_path / "grey")
    assert read_recipe(folder).data.mean == 0.5
    with pytest.raises(UsageError, match=r"was trained with depth 2, not 5\. Leave `model\.depth` out"):
        run.run(config.build(NEXT, {"model": asked | {"depth": 5}}), tmp_path / "deep")
    assert not (tmp_path / "deep").exists()


def test_images_of_another_shape_are_named(tmp_path):
    network = mien.from_pretrained(run.run(START, tmp_path / "start"))
    for shape in ((2, 3, 16, 16), (1, 16, 16)):
        with pytest.raises(UsageError, match=rf"Images are \(B, 1, H, W\) .*, given {re.escape(str(shape))}"):
            network(torch.zeros(shape))


def test_a_layer_that_names_a_checkpoint_leaves_the_network_to_it():
    own = {"name": "vit", "patch_size": 16, "embed_dim": 768, "drop_path_rate": 0.1}
    recipe = config.build({"model": own}, {"model": {"init": "runs/tiny"}})
    assert (recipe.model.patch_size, recipe.model.embed_dim, recipe.model.drop_path_rate) == (None, None, 0.1)
    assert recipe.model.checkpoint == "runs/tiny"
    assert recipe.model.sizes() == {"drop_path_rate": 0.1}
    scaled = config.build({"data": {"std": 0.25, "size": 64}}, {"model": {"init": "runs/tiny"}})
    assert (scaled.data.std, scaled.data.size) == (None, 64)  # the pixels' scale is the checkpoint's, too
    named = config.build({"model": own}, {"model": {"init": "torch"}})
    assert (named.model.checkpoint, named.model.sizes()["init"], named.model.patch_size) == (None, "torch", 16)
