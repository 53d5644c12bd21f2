"""What sits on a backbone, and how the two backbones that take a head give it away."""

import pytest
import torch
from torch import nn

from mien.errors import UsageError
from mien.models import count_parameters, create_model
from mien.models.parts.heads import make_head

VIT = {"img_size": 15, "patch_size": 5, "embed_dim": 12, "depth": 2, "num_heads": 3}
RESNET = {"img_size": 11, "widths": (3, 5), "layers": (1, 2)}


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def kinds(head):
    return [type(layer).__name__ for layer in head]


def test_a_plain_head_is_one_linear_layer():
    head = make_head(11, 3)
    assert type(head) is nn.Linear
    assert head.weight.shape == (3, 11)


def test_the_heads_of_the_fourth_report():
    """768-512-256-7 and 768-512-256-128-64-7, ReLU and dropout .5 after each hidden layer."""
    head = make_head(768, 7, (512, 256), drop_rate=0.5)
    assert kinds(head) == ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    assert count_parameters(head) == 769 * 512 + 513 * 256 + 257 * 7
    assert {layer.p for layer in head if isinstance(layer, nn.Dropout)} == {0.5}
    deep = make_head(768, 7, (512, 256, 128, 64))
    assert [layer.out_features for layer in deep if isinstance(layer, nn.Linear)] == [512, 256, 128, 64, 7]


def test_batch_norm_comes_before_relu():
    head = make_head(5, 3, (4,), batch_norm=True, drop_rate=0.5)
    assert kinds(head) == ["Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear"]


def test_an_mlp_head_by_hand():
    head = make_head(2, 1, (2,)).eval()
    head[0].weight.data, head[0].bias.data = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0.0, -5.0])
    head[-1].weight.data, head[-1].bias.data = torch.tensor([[2.0, 3.0]]), torch.tensor([0.25])
    assert head(torch.tensor([[1.5, 4.0]])).item() == 2 * 1.5 + 3 * 0 + 0.25


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ({"head_batch_norm": True}, "head_batch_norm needs head_hidden, the widths of the head's hidden layers"),
        ({"head_drop_rate": 0.5}, r"head_drop_rate \(=0.5\) needs head_hidden"),
        ({"representation_size": 5, "distilled": True}, "no representation_size"),
    ],
)
def test_settings_without_effect_are_refused(sizes, text):
    with pytest.raises(UsageError, match=text):
        create_model("vit", **sizes)


def test_a_model_without_such_a_head_says_so():
    with pytest.raises(UsageError, match="Model 'lenet' has no size 'head_hidden'"):
        create_model("lenet", head_hidden=(5,))


@pytest.mark.parametrize(("name", "sizes", "head"), [("vit", VIT, "head"), ("resnet", RESNET, "fc")])
def test_models_build_their_head_with_it(name, sizes, head):
    plain = create_model(name, **sizes)
    assert {f"{head}.weight", f"{head}.bias"} <= set(plain.state_dict())
    rich = create_model(name, **sizes, head_hidden=(7, 5), head_batch_norm=True, head_drop_rate=0.5)
    assert kinds(getattr(rich, head)) == kinds(make_head(1, 7, (7, 5), True, 0.5))
    assert rich.get_classifier() is getattr(rich, head)
    images = torch.randn(3, 1, sizes["img_size"], sizes["img_size"])
    assert rich(images).shape == (3, 7)


def test_only_a_linear_head_starts_at_zero():
    assert not create_model("vit", **VIT).head.weight.any()
    logits = create_model("vit", **VIT, head_hidden=(7,))(torch.randn(2, 1, 15, 15))
    assert (logits[0] != logits[1]).all()  # an MLP of zeros would never learn


@pytest.mark.parametrize(
    ("name", "sizes", "shape"),
    [
        ("vit", VIT, (12,)),
        ("vit", VIT | {"global_pool": "avg"}, (12,)),
        ("vit", VIT | {"global_pool": "flatten"}, (9 * 12,)),
        ("vit", VIT | {"representation_size": 5}, (5,)),
        ("vit", VIT | {"distilled": True, "head_hidden": (5,)}, (2, 12)),
        ("resnet", RESNET, (5,)),
    ],
)
def test_the_head_on_pooled_features_is_the_model(name, sizes, shape):
    model = create_model(name, **sizes, **({"init": "torch"} if name == "vit" else {})).eval()
    images = torch.randn(3, 1, sizes["img_size"], sizes["img_size"])
    pooled = model.forward_head(model.forward_features(images), pre_logits=True)
    assert pooled.shape == (3, *shape)
    torch.testing.assert_close(model.get_classifier()(pooled), model(images))


def test_the_head_that_is_given_away_shares_its_weights():
    model = create_model("vit", **VIT, distilled=True)
    names = {id(parameter) for parameter in model.get_classifier().parameters()}
    assert names == {id(part) for head in (model.head, model.head_dist) for part in head.parameters()}
