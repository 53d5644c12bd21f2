"""VTFF: each part against numbers worked out by hand, the whole against the published sizes."""

import math

import numpy as np
import pytest
import torch

from mien import config, pretrained
from mien.errors import UsageError
from mien.evaluate.run_model import load_model
from mien.explain.capture import capture
from mien.export import export
from mien.models import count_parameters, create_model, list_models
from mien.models.protocol import block_names
from mien.models.vtff import VTFF, LocalBinaryPattern, SelectiveFusion
from mien.models.vtff_sizes import VTFFSizes
from mien.recipes import load
from mien.runtime import Network
from mien.train import freeze, run

TINY = {"img_size": 14, "widths": (3, 5), "layers": (1, 1), "embed_dim": 22, "depth": 3, "num_heads": 2}
PUBLISHED = {"img_size": 224, "in_chans": 3, "stem": "conv7x7", "widths": (64, 128, 256, 512), "layers": (2, 2, 2, 2)}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def pattern(rows, channels=1) -> list[list[int]]:
    image = torch.tensor(rows, dtype=torch.float32).expand(1, channels, -1, -1)
    return (LocalBinaryPattern()(image)[0, 0] * 255).round().int().tolist()


def test_binary_pattern_of_3_x_3_by_hand():
    """Around 5, clockwise from the top left: 6, 5, 2, 1, 7, 8, 9, 4 -> bits 0, 1, 4, 5 and 6, as 5 >= 5 counts."""
    assert pattern([[6, 5, 2], [4, 5, 1], [9, 8, 7]])[1][1] == 1 + 2 + 16 + 32 + 64


def test_binary_pattern_of_4_x_4_and_its_border_by_hand():
    """1 to 16 row by row: inside, what is right and below is brighter, bits 3 to 6. The border goes on beyond itself.

    Above 2 lies another 2, so bits 1 to 6; 1 is the darkest; 16 has itself to the right, below, and between them.
    """
    found = pattern([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16]])
    assert [found[1][1], found[1][2], found[2][1], found[2][2]] == [8 + 16 + 32 + 64] * 4
    assert (found[0][1], found[0][0], found[3][3]) == (2 + 4 + 8 + 16 + 32 + 64, 255, 8 + 16 + 32)


def test_binary_pattern_sees_neither_light_nor_contrast_nor_rounding():
    image = torch.randint(0, 256, (2, 1, 13, 17)) / 255
    lbp = LocalBinaryPattern()
    assert torch.equal(lbp(image), lbp((image - 0.5) / 0.25))
    assert torch.equal(lbp(torch.ones(1, 1, 5, 5) + 1e-6 * torch.randn(1, 1, 5, 5)), torch.ones(1, 1, 5, 5))


def test_binary_pattern_of_colour_is_that_of_its_luma():
    assert pattern([[6, 5, 2], [4, 5, 1], [9, 8, 7]], channels=3) == pattern([[6, 5, 2], [4, 5, 1], [9, 8, 7]])
    image = torch.zeros(1, 3, 3, 3)
    image[0, 2], image[0, 1, 1, 1] = 0.9, 0.2  # luma 0.1026 all over, and 0.22 in the middle
    assert LocalBinaryPattern()(image)[0, 0, 1, 1] == 0


def by_hand(kind: str) -> tuple[SelectiveFusion, torch.Tensor, torch.Tensor]:
    """Two channels of one place, whose gates stand still: g = (ln 3, 0), l = ln 3, X_C = (1, 2), X_L = (3, -4)."""
    fusion = SelectiveFusion(2, kind).eval()
    for gate, value in ((fusion.everywhere, torch.tensor([math.log(3), 0.0])), (fusion.here, math.log(3))):
        gate[-1].weight.data.zero_()
        gate[-1].bias.data[:] = value
    return fusion, torch.tensor([1.0, 2.0]).reshape(1, 2, 1, 1), torch.tensor([3.0, -4.0]).reshape(1, 2, 1, 1)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("F", [3 * 0.9 + 1 * 0.1, -4 * 0.75 + 2 * 0.25]),  # sigmoid(2 ln 3) = 9 / 10, sigmoid(ln 3) = 3 / 4
        ("P", [3 * 1.5 - 1 * 0.5, -4 * 1.25 - 2 * 0.25]),  # 3 / 4 + 3 / 4, 1 / 2 + 3 / 4
        ("S", [1 * sigmoid(1.5) + 3 * sigmoid(-0.5), 2 * sigmoid(1.25) - 4 * sigmoid(-0.25)]),
    ],
)
def test_fusion_by_hand(kind, expected):
    fusion, image, lbp = by_hand(kind)
    assert fusion(image, lbp).flatten().tolist() == pytest.approx(expected)


def test_what_the_gates_see_by_hand():
    """One channel, two places. U = 2 X_L + 3 X_C = (8, -2); its mean is 3.

    Overall: relu(3) * 1 = 3. Local: relu(U) * 0.5 = (4, 0). In eval mode a fresh batch norm divides by sqrt(1 + eps).
    """
    fusion = SelectiveFusion(1).eval()
    for layer, weight in (
        (fusion.lbp, 2.0), (fusion.image, 3.0), (fusion.everywhere[0], 1.0), (fusion.everywhere[3], 1.0),
        (fusion.here[0], 1.0), (fusion.here[3], 0.5),
    ):  # fmt: skip
        layer.weight.data.fill_(weight)
    image, lbp = torch.tensor([[[[2.0, 0.0]]]]), torch.tensor([[[[1.0, -1.0]]]])
    gates = [sigmoid(3 + 4), sigmoid(3 + 0)]
    expected = [gates[0] * 1 + (1 - gates[0]) * 2, gates[1] * -1]
    assert fusion(image, lbp).flatten().tolist() == pytest.approx(expected, rel=1e-4)


def test_fusion_f_is_a_mean_of_both():
    image, lbp = torch.randn(3, 7, 5, 5), torch.randn(3, 7, 5, 5)
    found = SelectiveFusion(7)(image, lbp)
    assert ((found >= torch.minimum(image, lbp)) & (found <= torch.maximum(image, lbp))).all()
    torch.testing.assert_close(SelectiveFusion(7)(image, image), image)


@pytest.mark.parametrize("fusion", ["F", "P", "S"])
@pytest.mark.parametrize(("stem", "img_size", "grid"), [("conv3x3", 22, 11), ("conv7x7", 40, 5)])
def test_shapes(fusion, stem, img_size, grid):
    sizes = TINY | {"img_size": img_size, "stem": stem, "fusion": fusion, "widths": (5, 17), "layers": (2, 1)}
    sizes |= {"in_chans": 3, "num_classes": 11}
    model = create_model("vtff", **sizes)
    images = torch.randn(3, 3, img_size, img_size)
    assert model.forward_features(images).shape == (3, 1 + grid**2, 22)
    assert model(images).shape == (3, 11)
    assert model.forward_head(model.forward_features(images), pre_logits=True).shape == (3, 22)


def test_words_lie_row_by_row_behind_the_class_token():
    """A change at the far right of the first row of places changes word 7 of 49 most, before any block."""
    model = VTFF(VTFFSizes(**TINY)).eval()
    image = torch.zeros(1, 1, 14, 14)
    with capture(model) as before:
        model(image)
    image[..., :2, 12:] = 1.0
    with capture(model) as after:
        model(image)
    assert (after["pos_drop"] - before["pos_drop"]).norm(dim=2)[0].argmax() == 7
    assert torch.equal(after["pos_drop"][:, 0], before["pos_drop"][:, 0])


def test_both_branches_count():
    model = VTFF(VTFFSizes(**TINY)).eval()
    image = torch.rand(2, 1, 14, 14)
    answer = model(image)
    for branch in (model.image_branch, model.lbp_branch):
        weight = branch.conv1.weight.data.clone()
        branch.conv1.weight.data.zero_()
        assert not torch.allclose(model(image), answer, atol=1e-5)
        branch.conv1.weight.data.copy_(weight)


@pytest.mark.parametrize(("depth", "millions"), [(4, 51.8), (8, 80.1)])
def test_published_sizes(depth, millions):
    model = create_model("vtff", **PUBLISHED, embed_dim=768, num_heads=8, depth=depth)
    assert count_parameters(model) / 1e6 == pytest.approx(millions, abs=0.05)
    assert (model.tokens.grid, model.blocks[0].mlp.fc1.out_features) == (7, 3072)


def test_the_recipe_is_small():
    recipe, _ = load("fer2013_vtff")
    assert count_parameters(create_model("vtff", **recipe.model.sizes())) == 2_292_113


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ({"in_chans": 2}, r"in_chans \(=2\) must be 1 \(grey\) or 3 \(RGB\)"),
        ({"img_size": 50}, r"img_size \(=50\) must be divisible by 8, the side of a word"),
        ({"img_size": 48, "stem": "conv7x7"}, r"img_size \(=48\) must be divisible by 32"),
        ({"img_size": 7}, r"img_size \(=7\) is too small for 4 stages"),
        ({"embed_dim": 130}, r"embed_dim \(=130\) must be divisible by num_heads \(=4\)"),
        ({"fusion": "A"}, r"fusion 'A' is not known; there are F, P, S"),
        ({"stem": "conv9x9"}, r"stem 'conv9x9' is not known"),
        ({"layers": (1, 1)}, r"widths .* and layers .* must be equally long"),
        ({"head_drop_rate": 0.5}, "needs head_hidden"),
    ],
)
def test_refuses_sizes_that_do_not_fit(sizes, text):
    with pytest.raises(UsageError, match=text):
        create_model("vtff", **sizes)


def test_it_is_a_model_like_the_others():
    assert "vtff" in list_models()
    model = VTFF(VTFFSizes(**TINY))
    assert block_names(model) == ["blocks.0", "blocks.1", "blocks.2"]
    rates = freeze.rates(model, 0.5)
    assert (rates["image_branch.layer1.0.conv1.weight"], rates["fusion.lbp.weight"]) == (0.0625, 0.0625)
    assert (rates["blocks.2.attn.qkv.weight"], rates["norm.weight"], rates["head.weight"]) == (0.5, 1, 1)


def test_a_checkpoint_in_grey_for_colour_and_larger_pictures():
    sizes = {**TINY, "num_classes": 5}
    model = VTFF(VTFFSizes(**sizes)).eval()
    checkpoint = pretrained.Checkpoint("vtff", {**sizes, "in_chans": 1}, model.state_dict(), "ours")
    grey = torch.randint(0, 256, (2, 1, 14, 14)) / 255
    colour = checkpoint.build(in_chans=3).eval()
    torch.testing.assert_close(colour(grey.expand(-1, 3, -1, -1)), model(grey), rtol=1e-4, atol=1e-5)
    assert checkpoint.build(img_size=26)(torch.zeros(2, 1, 26, 26)).shape == (2, 5)


@pytest.mark.parametrize(("fusion", "channels"), [("F", 1), ("S", 3)])
def test_an_exported_run_answers_as_in_torch(tmp_path, monkeypatch, fusion, channels):
    """At batch sizes other than the traced one, 2; `export` itself compares all validation images."""
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    settings = {
        "data": {"source": "drawn_faces", "images": 70, "size": 14, "channels": channels},
        "model": {"name": "vtff", **{key: value for key, value in TINY.items() if key != "img_size"}, "fusion": fusion},
        "train": {"epochs": 1, "batch_size": 35, "precision": "fp32"},
    }
    folder = run.run(config.build(settings), tmp_path / "run")
    assert export(folder, weights="fp32").difference < 1e-5
    model, _, preprocessing = load_model(folder)
    network = Network.open(folder)
    for count in (1, 5):
        pixels = np.random.default_rng(count).integers(0, 256, (count, channels, 14, 14), dtype=np.uint8)
        scaled = preprocessing.scale(pixels.astype(np.float32) / 255)
        expected = model(torch.from_numpy(scaled)).detach().numpy()
        np.testing.assert_allclose(network.run(scaled), expected, rtol=1e-4, atol=1e-5)
