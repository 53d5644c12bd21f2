import math

import numpy as np
import pytest
import torch
from tiny_models import CNNS, SIZES, VITS, classifier, images, network
from torch import nn

from mien.errors import UsageError
from mien.explain.attention import (
    Tokens,
    mean_attention_distance,
    relevance,
    rollout,
    to_map,
    tokens_of,
    weights,
)
from mien.models.vit import VisionTransformer
from mien.models.vit_sizes import VitSizes


@pytest.mark.parametrize("kind", VITS)
def test_weights_of_every_layer(kind):
    tokens, model = tokens_of(network(kind)), network(kind).train()
    found = weights(model, images(kind))
    count = tokens.prefix + tokens.grid**2
    assert found.shape == (SIZES[kind].get("depth", 2), 3, SIZES[kind]["num_heads"], count, count)
    np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-5)
    assert model.training


def test_tokens_of_every_vision_transformer():
    assert tokens_of(network("vit")) == Tokens(1, 3, 7, "token")
    assert tokens_of(network("vit_distilled")) == Tokens(2, 3, 7, "token")
    assert tokens_of(network("vit_conv")) == Tokens(1, 3, 8, "token")
    assert tokens_of(classifier("vit_avg")) == Tokens(0, 3, 7, "avg")
    assert tokens_of(network("vtff")) == Tokens(1, 7, 2, "token")
    assert tokens_of(network("shallow_vit")) == Tokens(0, 2, 11, "flatten")


@pytest.mark.parametrize("kind", CNNS)
def test_a_cnn_has_no_attention(kind):
    for call in (weights, relevance):
        with pytest.raises(UsageError, match=r"has no attention over patches\. Take a Vision Transformer"):
            call(network(kind), images(kind))


def test_attention_distance_by_hand():
    """Four patches of 7 pixels; neighbours lie 7 apart, corners 7 sqrt(2). Even attention: (0 + 7 + 7 + 9.9) / 4."""
    even, here, across = np.full((4, 4), 0.25), np.eye(4), np.eye(4)[::-1]
    found = mean_attention_distance(np.stack([even, here, across])[None, None], patch_size=7, prefix=0)
    np.testing.assert_allclose(found, [[(14 + 7 * math.sqrt(2)) / 4, 0, 7 * math.sqrt(2)]])


def test_attention_distance_leaves_prefix_tokens_out():
    """Half of each row goes to the class token; the other half, made whole, to the patch across."""
    matrix = np.zeros((5, 5))
    matrix[:, 0] = 0.5
    matrix[1:, 1:] = 0.5 * np.eye(4)[::-1]
    found = mean_attention_distance(matrix[None, None, None], patch_size=3, prefix=1)
    np.testing.assert_allclose(found, [[3 * math.sqrt(2)]])


def test_rollout_by_hand():
    """Two tokens, two layers, two heads.

    Layer 1: heads [[1, 0], [0, 1]] and [[0, 1], [1, 0]], so the mean is [[.5, .5], [.5, .5]], and half of that with
    half the identity [[.75, .25], [.25, .75]].
    Layer 2: both heads [[.2, .8], [1, 0]], with identity [[.6, .4], [.5, .5]].
    Product [[.6, .4], [.5, .5]] [[.75, .25], [.25, .75]] = [[.45 + .10, .15 + .30], [.375 + .125, .125 + .375]].
    """
    first = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]]], float)
    second = np.array([[[0.2, 0.8], [1, 0]]] * 2)
    found = rollout(np.stack([first, second])[:, None])
    np.testing.assert_allclose(found, [[[0.55, 0.45], [0.5, 0.5]]])


class TwoTokens(VisionTransformer):
    """One layer, one head, two patches side by side; q = k = 0, so that A = [[.5, .5], [.5, .5]]; v = x.

    The head sees 3 z_0 - 2 z_1 of the two tokens' outputs z = A x.
    """

    def __init__(self) -> None:
        super().__init__(VitSizes(img_size=2, patch_size=1, embed_dim=1, depth=1, num_heads=1, global_pool="avg"))
        attention = self.blocks[0].attn
        attention.qkv = nn.Linear(1, 3, bias=False)
        attention.qkv.weight.data = torch.tensor([[0.0], [0.0], [1.0]])
        attention.proj = nn.Identity()

    def forward(self, x):
        z = self.blocks[0].attn(x.flatten(2).transpose(1, 2))[:, :, 0]  # (B, 1, 1, 2) -> (B, 2, 1) -> (B, 2)
        return torch.stack([3 * z[:, 0] - 2 * z[:, 1], torch.zeros(len(x))], dim=1)


def test_relevance_by_hand():
    """x = (4, 1): y = 3 (A x)_0 - 2 (A x)_1, dy/dA = [[3 * 4, 3 * 1], [-2 * 4, -2 * 1]] = [[12, 3], [-8, -2]].

    relu(dy/dA * A) = [[6, 1.5], [0, 0]], R = I + that times I = [[7, 1.5], [0, 1]].
    """
    found = relevance(TwoTokens().eval(), torch.tensor([[[[4.0, 1.0]]]]), 0)
    np.testing.assert_allclose(found, [[[7, 1.5], [0, 1]]])


def test_relevance_of_two_layers_by_hand():
    """The same attention twice: z = A A x = (2.5, 2.5) for x = (4, 1). y = 3 z_0 - 2 z_1 = (3, -2) z.

    Second layer, whose input is (2.5, 2.5): dy/dA = [[7.5, 7.5], [-5, -5]], with A: [[3.75, 3.75], [0, 0]].
    First layer: what reaches it is (3, -2) A = (.5, .5), dy/dA = [[2, .5], [2, .5]], with A: [[1, .25], [1, .25]].
    R = I + first = [[2, .25], [1, 1.25]]; second R = [[3.75 * 3, 3.75 * 1.5], [0, 0]] is added to it.
    """

    class Twice(TwoTokens):
        def forward(self, x):
            attention = self.blocks[0].attn
            z = attention(attention(x.flatten(2).transpose(1, 2)))[:, :, 0]
            return torch.stack([3 * z[:, 0] - 2 * z[:, 1], torch.zeros(len(x))], dim=1)

    found = relevance(Twice().eval(), torch.tensor([[[[4.0, 1.0]]]]), [0])
    np.testing.assert_allclose(found, [[[13.25, 5.875], [1, 1.25]]])


@pytest.mark.parametrize("kind", VITS)
def test_relevance_of_real_models(kind):
    model, x = network(kind), images(kind)
    found, other = relevance(model, x, 0), relevance(model, x, 1)
    assert found.shape == weights(model, x)[0, :, 0].shape
    assert (found >= 0).all()
    assert not np.allclose(found, other)
    assert all(parameter.grad is None for parameter in model.parameters())
    with torch.no_grad():  # whoever calls it, it finds its gradients
        np.testing.assert_array_equal(relevance(model, x, 0), found)


def test_to_map_takes_what_the_head_sees():
    matrix = np.arange(100.0).reshape(1, 10, 10)
    np.testing.assert_array_equal(to_map(matrix, network("vit")), matrix[:, 0, 1:].reshape(1, 3, 3))
    patches = matrix[:, :9, :9]
    for kind in ("vit_avg", "vit_flatten"):
        np.testing.assert_allclose(to_map(patches, network(kind)), patches.mean(axis=1).reshape(1, 3, 3))
    two = np.arange(121.0).reshape(1, 11, 11)
    np.testing.assert_allclose(to_map(two, network("vit_distilled")), two[:, :2, 2:].mean(axis=1).reshape(1, 3, 3))


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (5, r"Class 5 is not one of the model's 5 \(0 to 4\)"),
        ([0, 1, -1], r"Class -1 is not one of the model's 5"),
        ([0, 1], r"targets have the shape \(2,\)\. Give one class, or one for each of 3\."),
    ],
)
def test_targets_that_are_none(targets, message):
    with pytest.raises(UsageError, match=message):
        relevance(network("vit"), images("vit"), targets)
