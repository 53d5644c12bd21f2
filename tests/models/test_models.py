import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mien.errors import UsageError
from mien.models import count_flops, count_parameters, create_model, list_models
from mien.models.resnet import BasicBlock, SqueezeExcitation


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize(("channels", "classes"), [(1, 5), (3, 11)])
def test_every_model_maps_images_to_logits_and_learns(name, channels, classes):
    model = create_model(name, img_size=32, in_chans=channels, num_classes=classes)
    logits = model(torch.randn(3, channels, 32, 32))
    assert logits.shape == (3, classes)
    logits.logsumexp(1).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters() if parameter.requires_grad)


def test_list_models_takes_a_pattern():
    assert list_models("*vit*") == ["shallow_vit", "vit"]


def test_own_class_by_its_path():
    assert isinstance(create_model("torch.nn:Flatten", start_dim=2), nn.Flatten)


@pytest.mark.parametrize(
    ("name", "sizes", "text"),
    [
        ("vitt", {}, r"Unknown model 'vitt'\. Did you mean 'vit'\?"),
        ("lenet", {"dept": 3}, "Model 'lenet' has no size 'dept'. It has img_size, in_chans, num_classes"),
        ("vit", {"dept": 3}, "Did you mean 'depth'"),
        ("lenet", {"img_size": 12}, r"img_size \(=12\) is too small"),
        ("resnet", {"layers": (1,)}, "must be equally long"),
        ("no.such:Model", {}, "cannot be imported"),
    ],
)
def test_errors_name_the_nearest_choice(name, sizes, text):
    with pytest.raises(UsageError, match=text):
        create_model(name, **sizes)


def test_reported_parameter_counts():
    assert count_parameters(create_model("lenet")) == 61_451
    assert count_parameters(create_model("shallow_vit")) == 8192 + 128 + 3072 + 64 + 896


def test_flops_by_hand():
    """LeNet: two per multiply-add of each convolution and linear layer."""
    convolutions = 28 * 28 * 6 * 25 + 10 * 10 * 16 * 6 * 25
    linears = 400 * 120 + 120 * 84 + 84 * 7
    model = create_model("lenet").train()
    assert count_flops(model, img_size=32, in_chans=1) == 2 * (convolutions + linears)
    assert model.training


def test_flops_count_fused_attention():
    tokens, width = 37, 192
    block = 2 * tokens * (3 * width**2 + width**2 + 8 * width**2) + 2 * 2 * tokens**2 * width
    patches = 2 * 36 * 64 * width
    model = create_model("vit", depth=2)
    assert count_flops(model, 48, 1) == patches + 2 * block + 2 * width * 7


def test_lenet_feature_maps_have_the_reported_shapes():
    model = create_model("lenet")
    maps = [model.features[:stop](torch.zeros(1, 1, 32, 32)).shape[1:] for stop in (1, 4)]
    assert maps == [(6, 28, 28), (16, 10, 10)]


def test_cnn_v2_ends_in_2304_features():
    assert create_model("cnn_v2").classifier.in_features == 2304


class TestShallowViT:
    def loss(self, init, seed):
        torch.manual_seed(seed)
        model = create_model("shallow_vit", init=init)
        return F.cross_entropy(model(torch.rand(64, 1, 32, 32) * 2 - 1), torch.randint(0, 7, (64,))).item()

    def test_as_reported_starts_far_above_ln_7_and_scaled_at_ln_7(self):
        for seed in range(3):
            assert self.loss("report", seed) > 3 * math.log(7)
            assert self.loss("scaled", seed) == pytest.approx(math.log(7), abs=0.05)

    def test_the_block_is_shared(self):
        deep, shallow = create_model("shallow_vit", depth=5), create_model("shallow_vit", depth=1)
        assert count_parameters(deep) == count_parameters(shallow)

    def test_patches_are_cut_as_a_convolution_would(self):
        model = create_model("shallow_vit", img_size=10, patch_size=5, in_chans=3, embed_dim=8, num_heads=2, depth=0)
        x = torch.randn(2, 3, 10, 10)
        kernel = model.embed.weight.reshape(8, 3, 5, 5)  # (D, C*p*p) -> (D, C, p, p)
        expected = F.conv2d(x, kernel, stride=5).flatten(2).transpose(1, 2) + model.pos_embed
        torch.testing.assert_close(model.forward_features(x), expected, rtol=1e-4, atol=1e-5)

    @pytest.mark.parametrize("sizes", [{"img_size": 33}, {"init": "zeros"}])
    def test_refuses(self, sizes):
        with pytest.raises(UsageError):
            create_model("shallow_vit", **sizes)


class TestResNet:
    def test_identity_block_adds_its_input(self):
        block = BasicBlock(5, 5, 1, squeeze_excitation=False).eval()
        block.bn2.weight.data.zero_()
        x = torch.rand(2, 5, 7, 7)
        torch.testing.assert_close(block(x), x)

    def test_each_later_stage_halves_the_side(self):
        model = create_model("resnet", img_size=24, widths=(3, 5, 7), layers=(1, 2, 1))
        assert model.forward_features(torch.zeros(2, 1, 24, 24)).shape == (2, 7, 6, 6)

    @pytest.mark.parametrize(("stem", "side"), [("conv3x3", 24), ("conv5x5", 12), ("conv7x7", 6)])
    def test_stems_keep_halve_and_quarter_the_side(self, stem, side):
        model = create_model("resnet", img_size=24, widths=(3,), layers=(1,), stem=stem)
        assert model.forward_features(torch.zeros(2, 1, 24, 24)).shape == (2, 3, side, side)
        assert model.sizes.reduction == 24 // side

    def test_takes_images_of_another_side(self):
        assert create_model("resnet", widths=(3, 5), layers=(1, 1))(torch.zeros(2, 1, 40, 40)).shape == (2, 7)

    def test_squeeze_excitation_by_hand(self):
        gate = SqueezeExcitation(2)
        for layer in (gate.fc1, gate.fc2):
            layer.weight.data.zero_()
            layer.bias.data.zero_()
        x = torch.rand(1, 2, 3, 3)
        torch.testing.assert_close(gate(x), x / 2)  # sigmoid(0)

    def test_squeeze_excitation_is_an_option(self):
        with_gates = create_model("resnet", squeeze_excitation=True)
        assert sum(isinstance(module, SqueezeExcitation) for module in with_gates.modules()) == 4
        assert not any(isinstance(module, SqueezeExcitation) for module in create_model("resnet").modules())


def test_cnn_v2_pools_what_relu_gives():
    """It does so in another order, which gives the same values; here in the order of the report."""
    model = create_model("cnn_v2", widths=(3, 5, 7)).eval()
    images = x = torch.randn(2, 1, 48, 48)
    parts = list(model.features)
    for conv, norm in [(a, b) for a, b in itertools.pairwise(parts) if isinstance(a, nn.Conv2d)]:
        x = F.max_pool2d(norm(conv(x)).relu(), 2)
    torch.testing.assert_close(model(images), model.classifier(x.flatten(1)))
