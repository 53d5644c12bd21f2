from pathlib import Path

import numpy as np
import pytest
import torch
from captum.attr import (
    IntegratedGradients,
    LayerAttribution,
    LayerGradCam,
    LayerGradientXActivation,
    Occlusion,
    Saliency,
)
from PIL import Image
from tiny_models import CNNS, SIZES, VITS, classifier, images, network
from torch import nn

from mien.errors import UsageError
from mien.explain.attribution import COPIES, NOISE, attribute, default_layer, is_empty, methods_of
from mien.pretrained import from_pretrained

FOR_ALL = ("grad_cam", "integrated_gradients", "smooth_gradients", "occlusion", "saliency")


def test_methods_of_every_kind():
    for kind in CNNS:
        assert methods_of(network(kind)) == FOR_ALL
    for kind in VITS:
        assert methods_of(network(kind)) == (*FOR_ALL, "rollout", "relevance")
    assert methods_of(classifier("vit")) == methods_of(network("vit"))


@pytest.mark.parametrize("kind", SIZES)
def test_a_map_of_every_method_and_model_that_leaves_the_model_as_it_was(kind):
    model, x = network(kind, in_chans=3).train(), images(kind, in_chans=3)
    model.head.eval() if hasattr(model, "head") else None
    training = [module.training for module in model.modules()]
    state = {name: value.clone() for name, value in model.state_dict().items()}
    for method in methods_of(model):
        found = attribute(model, x, method)
        assert found.shape == (3, *x.shape[2:])
        assert found.dtype == np.float32
        assert np.isfinite(found).all()
        assert found.std() > 0, method
    assert [module.training for module in model.modules()] == training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not x.requires_grad
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("kind", CNNS)
def test_grad_cam_of_a_cnn_is_captums(kind):
    model, x, targets = network(kind), images(kind), torch.tensor([0, 3, 1])
    layer = model.get_submodule(default_layer(model, x))
    maps = LayerGradCam(model, layer).attribute(x, targets, relu_attributions=True)
    expected = LayerAttribution.interpolate(maps, x.shape[2:], "bilinear")[:, 0].detach().numpy()
    assert expected.max() > 1e-3
    np.testing.assert_allclose(attribute(model, x, "grad_cam", targets), expected, atol=1e-4)


def test_grad_cam_where_the_head_reads_each_token_has_a_gradient_of_its_own_for_each():
    model, x, targets = network("vit_flatten"), images("vit_flatten"), torch.tensor([0, 3, 1])
    tokens = LayerGradientXActivation(model, model.norm).attribute(x, targets).sum(dim=2)  # (B, N, D) -> (B, N)
    torch.testing.assert_close(tokens.sum(dim=1), (model(x) - model.head.bias)[range(3), targets])  # they are the logit
    expected = LayerAttribution.interpolate(tokens.relu().reshape(3, 1, 3, 3), x.shape[2:], "bilinear")[:, 0]
    assert expected.max() > 1e-3
    np.testing.assert_allclose(attribute(model, x, "grad_cam", targets), expected.detach(), atol=1e-5)


def test_grad_cam_of_the_hybrid_that_ships_shows_something():
    """By the mean gradient, what the last attention reads spoke against the class everywhere in 48 of 50 faces."""
    model = from_pretrained("mien:vit")
    with Image.open(Path(__file__).parents[2] / "docs" / "pictures" / "astronaut.jpg") as photo:
        side = min(photo.size) // 3
        left, top = photo.width * 2 // 5, photo.height // 20
        pixels = model.preprocessing.pixels(photo.crop((left, top, left + side, top + side)).convert("L"))
    image = model.preprocessing.scale(pixels[None].astype(np.float32) / 255)
    (found,) = attribute(model, image, "grad_cam")
    assert not is_empty(found)
    assert found.max() > 0


@pytest.mark.parametrize("kind", ["cnn_v2", "vit_avg"])
def test_gradients_and_occlusion_are_captums(kind):
    model, x, targets = network(kind, in_chans=3), images(kind, in_chans=3), [4, 0, 0]
    wanted, side = torch.tensor(targets), round(x.shape[-1] / 8)
    step = side // 2
    expected = {
        "integrated_gradients": IntegratedGradients(model).attribute(x, 0, wanted, n_steps=32).sum(1),
        "saliency": Saliency(model).attribute(x, wanted).amax(1),
        "occlusion": Occlusion(model).attribute(x, (3, side, side), (3, step, step), 0, wanted).mean(1),
    }
    for method, value in expected.items():
        np.testing.assert_allclose(attribute(model, x, method, targets), value.detach(), atol=1e-4, err_msg=method)


def test_smooth_gradients_are_those_of_a_straight_model_but_for_the_noise():
    """Of a linear model the map is weight x pixel, so with noise it is the same on average, and the same every time."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(31 * 31, 3))
    x = images("cnn_v2", 2)[:, :, :1, :1].expand(-1, -1, 31, 31) + 1
    smooth, plain = (attribute(model, x, name, 1) for name in ("smooth_gradients", "integrated_gradients"))
    np.testing.assert_array_equal(smooth, attribute(model, x, "smooth_gradients", 1))
    np.testing.assert_allclose(smooth, plain, atol=1e-5)  # a flat image has no range, so there is no noise
    ranges = torch.tensor([1.0, 3.0]).reshape(2, 1, 1, 1)
    x = ranges * torch.rand(2, 1, 31, 31, generator=torch.Generator().manual_seed(7))
    extent = (x.amax((1, 2, 3)) - x.amin((1, 2, 3))).numpy()[:, None, None]
    smooth, plain = (attribute(model, x, name, 1) for name in ("smooth_gradients", "integrated_gradients"))
    added = (smooth - plain) / extent  # weight x the mean noise of the copies, the same for every image
    np.testing.assert_allclose(added[0], added[1], atol=1e-6)
    weight = model[1].weight[1].detach().numpy()
    share = np.sqrt((added[0] ** 2).mean() / (weight**2).mean())
    assert share == pytest.approx(NOISE / np.sqrt(COPIES), rel=0.15)


def test_many_images_are_explained_a_few_at_a_time_alike():
    model, x = network("vit_avg"), images("vit_avg", 35)
    whole = attribute(model, x, "relevance")
    np.testing.assert_allclose(whole[33:], attribute(model, x[33:].numpy(), "relevance"), rtol=1e-4)


def test_a_map_does_not_depend_on_the_images_beside_it():
    model, x = network("lenet"), images("lenet")
    whole = attribute(model, x, "smooth_gradients", 1)
    np.testing.assert_allclose(whole[2:], attribute(model, x[2:], "smooth_gradients", 1), atol=1e-5)


class Quadrant(nn.Module):
    """Two maps, the input and its negative, pooled: class 0 is the mean of the first."""

    def __init__(self):
        super().__init__()
        self.maps = nn.Conv2d(1, 2, 1, bias=False)
        self.maps.weight.data = torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)

    def forward(self, x):
        return self.maps(x).mean((2, 3))


def test_grad_cam_by_hand():
    """dy_0/dmap_0 = 1 / 4 in each of four places, dy_0/dmap_1 = 0: the map is relu(x / 4)."""
    x = torch.tensor([[[[4.0, -8.0], [0.0, 2.0]]]])
    np.testing.assert_allclose(attribute(Quadrant(), x, "grad_cam", 0, "maps"), [[[1, 0], [0, 0.5]]])
    np.testing.assert_allclose(attribute(Quadrant(), x, "grad_cam", 1, "maps"), [[[0, 2], [0, 0]]])


def test_grad_cam_lays_tokens_out_without_the_prefix():
    """Only patch (0, 2) of 3 x 3 is unlike the others in what reaches the head: the map's highest place is there."""
    model = network("vit_avg", depth=1)
    model.blocks[0].norm1.weight.data.fill_(1.0)
    x = torch.zeros(1, 1, 21, 21)
    x[:, :, :7, 14:] = 3.0
    model.pos_embed.data.zero_()
    maps = [attribute(model, x, "grad_cam", target, "patch_embed")[0] for target in range(5)]
    found = max(maps, key=lambda map_: map_[3, 17])  # of the class that the patch speaks for most
    assert np.unravel_index(found.argmax(), found.shape)[0] < 7
    assert np.unravel_index(found.argmax(), found.shape)[1] >= 14
    prefixed = network("vit")
    assert attribute(prefixed, images("vit"), "grad_cam", layer="blocks.1").shape == (3, 21, 21)


def test_occlusion_finds_the_only_pixels_that_matter():
    class Corner(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, x):
            return torch.stack([self.scale * x[:, 0, -5:, :5].sum((1, 2)), 0 * x.sum((1, 2, 3))], dim=1)

    found = attribute(Corner(), torch.ones(1, 1, 23, 23), "occlusion")[0]
    assert found[-5:, :5].min() > 0
    assert found[:15].max() == found[:, 8:].max() == 0


def test_default_layers():
    found = {kind: default_layer(network(kind), images(kind)) for kind in SIZES}
    assert found == {
        "vit": "blocks.2.norm1",
        "vit_avg": "blocks.1.norm1",
        "vit_relative": "blocks.1.norm1",
        "vit_seq": "blocks.0.norm1",  # shared: its last call is what counts
        "vit_flatten": "norm",  # what the head reads, each token with weights of its own
        "vit_conv": "blocks.1.norm1",
        "vit_distilled": "blocks.1.norm1",
        "shallow_vit": "block",
        "vtff": "blocks.2.norm1",
        "lenet": "features.4",
        "cnn_v1": "features.4",
        "cnn_v2": "features.10",
        "resnet": "layer2",
    }
    for depth, layer in (
        (2, "blocks.0"),
        (1, "pos_drop"),
    ):  # post-norm: the block before the last attention
        pooled = network("vit_flatten", depth=depth, global_pool="avg")
        assert default_layer(pooled, images("vit_flatten")) == layer


@pytest.mark.parametrize(
    ("kind", "method", "layer", "message"),
    [
        ("cnn_v2", "rollout", None, r"CnnV2 has no method 'rollout'\. There are grad_cam, integrated_gradients"),
        ("vit", "gradcam", None, r"no method 'gradcam'\. Did you mean 'grad_cam'\? There are .*, relevance\."),
        ("resnet", "grad_cam", "layer9", r"ResNet has no layer 'layer9'\. Did you mean 'layer\d'\? There are conv1"),
        ("cnn_v2", "grad_cam", "classifier", r"'classifier' gives \(3, 5\), which has no place in the image\."),
        ("cnn_v2", "saliency", "features.0", r"'saliency' has no layer to choose; only grad_cam has\."),
    ],
)  # fmt: skip
def test_what_a_model_does_not_have(kind, method, layer, message):
    with pytest.raises(UsageError, match=message):
        attribute(network(kind), images(kind), method, layer=layer)


def test_a_layer_that_the_answer_does_not_depend_on():
    model = network("cnn_v2")
    model.idle = nn.Conv2d(1, 1, 1)
    x = images("cnn_v2")
    with pytest.raises(UsageError, match=r"does not depend on layer 'idle' by a gradient\. Name another\."):
        attribute(model, x, "grad_cam", layer="idle")  # it is never called
    model.features.register_forward_pre_hook(lambda module, inputs: (model.idle(inputs[0]), None)[1])
    with pytest.raises(UsageError, match=r"does not depend on layer 'idle' by a gradient\. Name another\."):
        attribute(model, x, "grad_cam", layer="idle")


def test_no_gradient_reaches_a_binary_pattern():
    with pytest.raises(UsageError, match=r"does not depend on layer 'lbp' by a gradient\. Name another\."):
        attribute(network("vtff"), images("vtff"), "grad_cam", layer="lbp")


def test_images_of_another_shape():
    with pytest.raises(UsageError, match=r"images have the shape \(21, 21\)\. Give scaled ones, \(B, C, H, W\)\."):
        attribute(network("vit"), np.zeros((21, 21)), "saliency")


def test_a_model_without_maps_has_no_grad_cam():
    model = nn.Sequential(nn.Flatten(), nn.Linear(49, 5))
    with pytest.raises(UsageError, match=r"Sequential has no method 'grad_cam'\. There are .*occlusion"):
        attribute(model, torch.randn(2, 1, 7, 7), "grad_cam")
