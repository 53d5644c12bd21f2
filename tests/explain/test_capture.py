import math

import pytest
import torch
from tiny_models import SIZES, VITS, classifier, images, network

from mien.errors import UsageError
from mien.explain.capture import capture, evaluating
from mien.models.parts.attention import Attention, explicit_attention


def hooks(model) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


@pytest.mark.parametrize("kind", SIZES)
def test_the_prediction_is_the_same_bit_for_bit(kind):
    model, x = network(kind), images(kind)
    before = model(x)
    with capture(model) as trace:
        inside = model(x)
    assert torch.equal(before, inside)
    assert torch.equal(before, model(x))
    assert hooks(model) == 0
    leaves = {name for name, module in model.named_modules() if name and not list(module.children())}
    explicit_only = {name for name in leaves if name.endswith(".attend")}
    assert leaves - explicit_only <= set(trace)


@pytest.mark.parametrize("kind", VITS)
def test_attention_beside_the_forward_pass_is_what_explicit_attention_computes(kind):
    model, x = network(kind), images(kind)
    with explicit_attention(model):
        before = model(x)
        with capture(model) as trace:
            assert torch.equal(model(x), before)
    attended = [trace[name] for name in trace if name.partition("@")[0].endswith(".attend")]
    assert len(attended) == len(trace.attention_weights) == SIZES[kind].get("depth", 2)
    for explicit, beside, logits in zip(attended, trace.attention_weights, trace.attention_logits, strict=True):
        assert torch.equal(explicit, beside)
        torch.testing.assert_close(logits.softmax(-1), beside)
        assert not torch.allclose(beside, torch.full_like(beside, 1 / beside.shape[-1]), atol=0.01)


def test_logits_are_queries_times_keys_by_hand():
    """One head of width 4, q = 2 x and k = x: tokens (1, 0, 0, 0) and (1, 1, 0, 0) give 2 x x^T / sqrt(4) = x x^T."""
    attention = Attention(embed_dim=4, num_heads=1, qkv_bias=False)
    attention.qkv.weight.data = torch.cat([2 * torch.eye(4), torch.eye(4), torch.eye(4)])
    with capture(attention) as trace:
        attention(torch.tensor([[[1.0, 0, 0, 0], [1.0, 1, 0, 0]]]))
    assert trace["logits"].tolist() == [[[[1.0, 1.0], [1.0, 2.0]]]]
    share = math.e / (1 + math.e)
    assert trace["weights"].flatten().tolist() == pytest.approx([0.5, 0.5, 1 - share, share])


def test_names_come_in_the_order_of_execution():
    model = network("vit")
    with capture(model) as trace:
        model(images("vit"))
    names = list(trace)
    order = ["patch_embed", "pos_drop", "blocks.0.norm1", "blocks.0.attn.qkv", "blocks.0.attn.logits"]
    order += ["blocks.0.attn.weights", "blocks.0.attn", "blocks.0", "blocks.1", "blocks.2", "blocks", "norm", "head"]
    assert [name for name in names if name in order] == order
    assert trace["blocks.1"].shape == (3, 10, 20)
    assert trace["blocks.1.attn.logits"].shape == (3, 2, 10, 10)
    assert len(trace) == len(names)


def test_a_module_that_is_called_again_is_numbered():
    model, x = network("shallow_vit"), images("shallow_vit")
    with capture(model) as trace:
        model(x)
    assert torch.equal(trace["block@2"].flatten(1) @ model.head.weight.T, trace["head"])
    assert torch.equal(model.block(trace["block"]), trace["block@2"])
    assert trace["block.attn.weights@2"].shape == (3, 3, 4, 4)
    assert not torch.equal(trace["block.attn.weights"], trace["block.attn.weights@2"])
    assert "block@3" not in trace


def test_a_later_in_place_operation_does_not_reach_what_was_captured():
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU(inplace=True))
    model[0].weight.data.fill_(-1.0)
    model[0].bias.data.zero_()
    with capture(model) as trace:
        model(torch.ones(1, 3))
    assert trace["0"].tolist() == [[-3.0, -3.0]]
    assert trace["1"].tolist() == [[0.0, 0.0]]


def test_an_unknown_name_and_the_nearest():
    model = network("vit")
    with capture(model) as trace:
        model(images("vit"))
    with pytest.raises(
        UsageError, match=r"Nothing called 'blocks.1.atn' was captured\. Did you mean 'blocks.1.attn'\?"
    ):
        trace["blocks.1.atn"]
    with (
        capture(model) as empty,
        pytest.raises(UsageError, match=r"Nothing called 'x' was captured\. There are none\."),
    ):
        empty["x"]


def test_hooks_are_removed_after_an_error():
    model = network("vit")
    with pytest.raises(RuntimeError), capture(model):
        model(torch.zeros(1, 2, 3, 3))
    assert hooks(model) == 0


def test_names_of_a_classifier_are_its_networks():
    model = classifier("cnn_v2")
    with capture(model) as trace:
        model(images("cnn_v2"))
    assert "features.0" in trace
    assert "model.features.0" not in trace


def test_evaluating_leaves_every_module_as_it_was():
    model = network("cnn_v2").train()
    model.features[1].eval()
    with evaluating(model):
        assert not any(module.training for module in model.modules())
    assert model.training
    assert model.features[2].training
    assert not model.features[1].training
