"""The hybrid: a Vision Transformer whose tokens are the maps of a residual network's stages."""

from __future__ import annotations

import pytest
import torch

from mien import config, pretrained, recipes
from mien.errors import DataError, UsageError
from mien.models import create_model
from mien.models.masked import MaskedAutoencoder
from mien.models.protocol import steps_of
from mien.pretrained import stem
from mien.pretrained.checkpoint import Checkpoint
from mien.train import run

IMAGE = {"img_size": 12, "in_chans": 1, "num_classes": 3}
STAGES = {"widths": (5, 7, 11), "layers": (1, 1, 1)}
HYBRID = {
    "stem": "resnet", "stem_widths": (5, 7, 11), "patch_size": 4, "embed_dim": 6, "depth": 2, "num_heads": 2,
    "global_pool": "flatten",
}  # fmt: skip


def hybrid(**changes):
    return create_model("vit", **IMAGE, **HYBRID | changes).eval()


def trained_resnet(**changes) -> tuple[torch.nn.Module, Checkpoint]:
    """A ResNet whose batch norms have seen something, and its checkpoint."""
    torch.manual_seed(1)
    sizes = IMAGE | STAGES | changes
    network = create_model("resnet", **sizes)
    network.train()(torch.randn(13, sizes["in_chans"], 12, 12))
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    return network.eval(), Checkpoint("resnet", sizes, weights, "runs/resnet")


def test_a_token_for_each_place_of_the_last_maps():
    model = hybrid()
    assert model(torch.randn(2, 1, 12, 12)).shape == (2, 3)
    assert (model.tokens.grid, model.tokens.patch_size, model.tokens.prefix) == (3, 4, 0)
    assert model.patch_embed.backbone(torch.randn(2, 1, 12, 12)).shape == (2, 11, 3, 3)


def test_its_stem_starts_as_the_trained_network_sees():
    resnet, checkpoint = trained_resnet()
    model = hybrid()
    images = torch.randn(3, 1, 12, 12)
    fresh = model.blocks[0].attn.qkv.weight.clone()
    assert not torch.allclose(model.patch_embed.backbone(images), resnet.forward_features(images))
    stem.load(checkpoint, model)
    assert torch.equal(model.patch_embed.backbone(images), resnet.forward_features(images))
    maps = resnet.forward_features(images)
    assert torch.equal(model.patch_embed(images)[:, 4], model.patch_embed.proj(maps)[:, :, 1, 1])  # place 4 of 3 x 3
    assert torch.equal(model.blocks[0].attn.qkv.weight, fresh)


def test_its_stem_may_be_the_first_stages_alone():
    resnet, checkpoint = trained_resnet()
    model = hybrid(stem_widths=(5, 7), patch_size=2)
    stem.load(checkpoint, model)
    images = torch.randn(2, 1, 12, 12)
    whole = resnet.layer2(resnet.layer1(torch.relu(resnet.bn1(resnet.conv1(images)))))
    assert torch.equal(model.patch_embed.backbone(images), whole)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"widths": (5, 8, 11)}, r"stages of widths \(5, 8, 11\), the stem \(5, 7, 11\): `model.stem_widths` 5,8,11"),
        ({"layers": (2, 2, 2)}, r"\(2, 2, 2\) blocks in its stages, the stem \(1, 1, 1\): `model.stem_convs` 2"),
        ({"layers": (2, 1, 1)}, r"\(2, 1, 1\) blocks in its stages, .*, which takes as many in each"),
        (
            {"squeeze_excitation": True},
            "squeeze-excitation; `model.stem` resnet takes a resnet with stem conv3x3 alone",
        ),
        ({"widths": (5, 7), "layers": (1, 1), "stem": "conv5x5"}, "stem conv5x5; `model.stem` resnet takes"),
    ],
)
def test_other_stages_are_refused(changes, said):
    _, checkpoint = trained_resnet(**changes)
    with pytest.raises(UsageError, match=f"^runs/resnet has {said}"):
        stem.load(checkpoint, hybrid())


def test_a_missing_tensor_is_named():
    _, checkpoint = trained_resnet()
    del checkpoint.weights["layer1.0.conv1.weight"]
    with pytest.raises(DataError, match=r"it lacks layer1\.0\.conv1\.weight"):
        stem.load(checkpoint, hybrid())


def test_a_hybrid_starts_from_a_resnet_or_a_hybrid_alone():
    recipe = recipes.load("fer2013_hybrid")[0]
    hybrids = Checkpoint("vit", {"stem": "resnet"}, {}, "runs/hybrid")
    assert not stem.starts(hybrids, "vit", recipe.model.sizes())
    for sizes in ({}, {"stem": "conv"}):
        with pytest.raises(UsageError, match=r"runs/vit holds a vit, but `model\.stem` resnet starts from"):
            stem.starts(Checkpoint("vit", sizes, {}, "runs/vit"), "vit", recipe.model.sizes())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"patch_size": 8}, r"the 3 stages of stem 'resnet' \(stem_widths\) make tokens of 4 pixels: patch_size 4"),
        ({"img_size": 14}, r"img_size \(=14\) must be divisible by patch_size \(=4\)"),
        ({"patch_shift": True}, "patch_shift and stem 'resnet' are two ways"),
        ({"patch_norm": True}, "patch_norm and stem 'resnet' are two ways"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(changes, said):
    with pytest.raises(UsageError, match=said):
        create_model("vit", **IMAGE | HYBRID | changes)


def test_masked_pixels_would_be_seen():
    with pytest.raises(ValueError, match="with stem 'resnet' the tokens"):
        MaskedAutoencoder(hybrid(pos_embed="learn"))


def test_its_steps_name_the_stages():
    model = hybrid()
    trace = {}
    for name, module in model.named_modules():
        module.register_forward_hook(lambda _, __, out, name=name: trace.setdefault(name, out))
    model(torch.randn(1, 1, 12, 12))
    embedding = next(step for step in steps_of(model, trace) if step.name == "embedding")
    # conv1, two convolutions a stage, and the two shortcuts' own
    assert embedding.text.startswith("The stages of a residual network (9 convolutions) and a last one turn each patch")
    assert embedding.shape == (9, 6)


def test_a_recipe_keeps_its_hybrid_beside_a_checkpoint():
    recipe = recipes.load("fer2013_hybrid")[0]
    found = config.build(recipe.model_dump(), {"model": {"init": "runs/resnet"}})
    assert found.model.checkpoint == "runs/resnet"
    assert found.model.sizes() == recipe.model.sizes()
    plain = config.build(recipes.load("fer2013_vit_best")[0].model_dump(), {"model": {"init": "runs/vit"}})
    assert "stem" not in plain.model.sizes()


def test_stem_and_checkpoint_given_together_keep_the_recipes_sizes():
    recipe = recipes.load("fer2013_vit_best")[0]
    found = config.build(recipe.model_dump(), {"model": {"stem": "resnet", "init": "runs/resnet"}})
    assert found.model.sizes()["embed_dim"] == recipe.model.sizes()["embed_dim"] == 128


def test_a_run_starts_from_a_resnets_goes_on_and_starts_another(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    data = {"source": "drawn_faces", "images": 70, "size": 12}
    train = {"epochs": 1, "batch_size": 35, "precision": "fp32"}
    resnet = config.build({"name": "cnn", "data": data, "train": train, "model": {"name": "resnet", **STAGES}})
    run.run(resnet, tmp_path / "cnn")
    sizes = HYBRID | {"name": "vit", "init": str(tmp_path / "cnn")}
    vit = config.build(
        {
            "name": "hybrid",
            "data": data,
            "train": train | {"lr": 1e-9, "optimizer": "sgd", "weight_decay": 0.0},
            "model": sizes,
        }
    )
    run.run(vit, tmp_path / "vit")
    stages = pretrained.read(tmp_path / "cnn").weights
    weights = pretrained.read(tmp_path / "vit").weights
    name = "layer3.0.conv2.weight"
    torch.testing.assert_close(weights[f"patch_embed.backbone.{name}"], stages[name])  # hardly trained: as it came
    run.run(vit.with_(model={"init": str(tmp_path / "vit")}), tmp_path / "again")
    name = "blocks.0.attn.qkv.weight"
    torch.testing.assert_close(pretrained.read(tmp_path / "again").weights[name], weights[name])
