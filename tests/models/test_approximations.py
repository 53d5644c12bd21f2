"""Approximations of attention: each against exact attention, against NumPy or by hand, and in a ViT."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from tiny_models import classifier, images
from torch import nn

import mien
from mien.errors import UsageError
from mien.explain.attention import relevance, weights
from mien.explain.attribution import attribute, methods_of
from mien.explain.capture import capture
from mien.models import count_flops, create_model
from mien.models.experimental.approximations import (
    Linformer,
    Nystrom,
    Performer,
    make_approximation,
    orthogonal_features,
    pseudo_inverse,
    segment_means,
)
from mien.models.experimental.attention import VariedAttention
from mien.models.parts.attention import explicit_attention
from mien.preprocessing import Preprocessing
from mien.pretrained import Classifier, to_hf
from mien.pretrained.own import save_folder

KINDS = ("nystrom", "performer", "linformer")
LABELS = ("ant", "bee", "cat", "dog", "elk")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def heads(tokens, size=1.0, width=8, dtype=torch.float32):
    q, k, v = torch.randn(3, 2, 3, tokens, width, dtype=dtype)
    return size * q, size * k, v


def error(approximation, q, k, v) -> float:
    return (approximation(q, k, v) - F.scaled_dot_product_attention(q, k, v)).abs().max().item()


def tiny(kind, **options):
    sizes = {"img_size": 12, "patch_size": 4, "in_chans": 2, "num_classes": 5, "embed_dim": 12, "depth": 2}
    model = create_model("vit", **{**sizes, "num_heads": 3, "attention": kind, "landmarks": 4, **options})
    nn.init.normal_(model.head.weight)
    return model


@pytest.mark.parametrize("tokens", [1, 2, 7, 37])
@pytest.mark.parametrize("size", [0.3, 3.0])
def test_nystrom_with_every_token_a_landmark_is_exact(tokens, size):
    """A A^+ A = A: what is left is the pseudo-inverse's error, which the iterations take away."""
    q, k, v = heads(tokens, size, dtype=torch.float64)
    assert error(Nystrom(tokens, tokens, iterations=40), q, k, v) < 1e-6
    assert error(Nystrom(tokens, tokens), q, k, v) < 0.1


def test_nystrom_of_equal_neighbours_needs_one_landmark_for_each_pair():
    """With each token there twice, the means of pairs are the tokens, and nothing is approximated."""
    q, k, v = (x.repeat_interleave(2, dim=2) for x in heads(5, dtype=torch.float64))
    assert error(Nystrom(5, 10, iterations=40), q, k, v) < 1e-6


def test_nystrom_with_one_landmark_by_hand():
    """One landmark has one weight, 1: all queries get what the mean query, (2 + 0) / 2 = 1, sees: keys 0 and ln 3."""
    q, k, v = torch.tensor([2.0, 0.0]), torch.tensor([0.0, math.log(3)]), torch.tensor([8.0, 4.0])
    found = Nystrom(1, 2)(*(x.reshape(1, 1, 2, 1) for x in (q, k, v)))
    assert found.flatten().tolist() == pytest.approx([0.25 * 8 + 0.75 * 4] * 2)


def test_linformer_with_the_identity_is_exact():
    assert error(Linformer(13, 13), *heads(13)) < 1e-6  # it starts there


def test_linformer_by_hand():
    """Queries and keys 0: every projected token counts the same, whatever it is made of."""
    linformer = Linformer(2, 3)
    assert linformer.project_k.tolist() == [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]
    linformer.project_v.data = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 4.0]])
    v = torch.tensor([1.0, 10.0, 100.0]).reshape(1, 1, 3, 1)
    found = linformer(torch.zeros(1, 1, 3, 1), torch.zeros(1, 1, 3, 1), v)
    assert found.flatten().tolist() == [(21 + 400) / 2] * 3


def test_performer_converges():
    """Four times the features, about half the root mean square error; below .006 with 8,192, of values of about 1."""
    q, k, v = heads(37, size=0.5)
    exact = F.scaled_dot_product_attention(q, k, v)
    draws = {m: [Performer(m, 8)(q, k, v) - exact for _ in range(4)] for m in (128, 512, 2048, 8192)}
    errors = [torch.stack(found).square().mean().sqrt().item() for found in draws.values()]
    assert all(more < 0.7 * fewer for fewer, more in itertools.pairwise(errors))
    assert errors[-1] < 0.006


def test_performer_by_hand():
    """d = 1, one feature w = 1: phi(x) = exp(x - x^2 / 2); the query's cancels, keys 0 and 1 weigh 1, sqrt(e)."""
    performer = Performer(1, 1)
    performer.features.fill_(1.0)
    q, k, v = torch.tensor([0.0, 3.0]), torch.tensor([0.0, 1.0]), torch.tensor([2.0, 7.0])
    found = performer(*(x.reshape(1, 1, 2, 1) for x in (q, k, v)))
    share = math.exp(0.5) / (1 + math.exp(0.5))
    assert found.flatten().tolist() == pytest.approx([2 + 5 * share] * 2)


def test_performer_survives_large_queries_and_keys():
    q, k, v = heads(37, size=300.0)
    found = Performer(16, 8)(q, k, v)
    assert found.isfinite().all()
    assert found.abs().max() <= v.abs().max() * (1 + 1e-5)  # a mean of values, always


def test_features_are_at_right_angles_and_gaussian():
    found = orthogonal_features(11, 4)
    gram = found[4:8] @ found[4:8].T
    torch.testing.assert_close(gram, gram.diagonal().diag(), rtol=0, atol=1e-5)
    many = orthogonal_features(4000, 5)
    torch.testing.assert_close(many.T @ many / 4000, torch.eye(5), rtol=0, atol=0.05)
    assert many.mean(dim=0).abs().max() < 0.05


def test_segments_by_hand():
    x = torch.tensor([[1.0, 3, 5, 7, 9, 11, 13]]).T
    assert segment_means(x, 3).flatten().tolist() == [3, 8, 12]  # three tokens, two and two
    assert segment_means(x, 1).flatten().tolist() == [7]
    assert torch.equal(segment_means(x, 7), x)


def test_pseudo_inverse_by_hand():
    """[[.75, .25], [.25, .75]] has the inverse [[1.5, -.5], [-.5, 1.5]]; a mean of two has itself."""
    matrix = torch.tensor([[[0.75, 0.25], [0.25, 0.75]], [[0.5, 0.5], [0.5, 0.5]]])
    expected = torch.tensor([[[1.5, -0.5], [-0.5, 1.5]], [[0.5, 0.5], [0.5, 0.5]]])
    torch.testing.assert_close(pseudo_inverse(matrix), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("landmarks", [1, 5, 31])
def test_pseudo_inverse_is_pinv(landmarks):
    """Softmax rows, some sharp and some not, in several matrices of different scales."""
    logits = torch.randn(3, 2, landmarks, landmarks, dtype=torch.float64) + 6 * torch.eye(landmarks)
    matrix = logits.softmax(dim=-1)
    torch.testing.assert_close(pseudo_inverse(matrix, 12), torch.linalg.pinv(matrix), rtol=1e-8, atol=1e-8)
    assert torch.equal(pseudo_inverse(matrix)[:1], pseudo_inverse(matrix[:1]))  # its neighbours do not matter


def test_pseudo_inverse_of_a_matrix_without_inverse():
    matrix = torch.randn(4, 5, dtype=torch.float64).softmax(dim=-1).repeat(2, 1)[:, :4].contiguous()  # rank 4, (8, 4)
    matrix = torch.cat([matrix, matrix], dim=1)  # (8, 8)
    matrix = matrix / matrix.sum(dim=-1, keepdim=True)
    torch.testing.assert_close(pseudo_inverse(matrix, 40), torch.linalg.pinv(matrix, rtol=1e-9), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("landmarks", "tokens"), [(1, 1), (5, 7), (7, 37), (13, 53)])
def test_any_length(kind, landmarks, tokens):
    approximation = make_approximation(kind, landmarks, tokens, head_dim=8)
    q, k, v = heads(tokens)
    found = approximation(q, k, v)
    assert found.shape == (2, 3, tokens, 8)
    assert found.isfinite().all()
    torch.testing.assert_close(approximation(q[:1], k[:1], v[:1]), found[:1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_the_functions_own(kind):
    approximation = make_approximation(kind, 3, 5, head_dim=2).double()
    q, k, v = (x[:1, :1].requires_grad_() for x in heads(5, width=2, dtype=torch.float64))
    assert torch.autograd.gradcheck(approximation, (q, k, v))


@pytest.mark.parametrize("kind", KINDS)
def test_everything_learns_in_a_vit(kind):
    model = tiny(kind, global_pool="seq")
    model(torch.randn(3, 2, 12, 12)).square().sum().backward()
    idle = [name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert idle == []
    assert not any("features" in name for name, _ in model.named_parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_a_vit_answers_the_same_again_and_after_saving(kind, tmp_path):
    model, x = tiny(kind).eval(), torch.randn(3, 2, 12, 12)
    expected = model(x)
    assert torch.equal(model(x), expected)
    with explicit_attention(model):
        assert torch.equal(model(x), expected)
    sizes = {"img_size": 12, "patch_size": 4, "in_chans": 2, "num_classes": 5, "embed_dim": 12, "depth": 2}
    sizes |= {"num_heads": 3, "attention": kind, "landmarks": 4}
    save_folder(tmp_path, model, "vit", sizes, LABELS, Preprocessing(size=12, channels=2))
    torch.testing.assert_close(mien.from_pretrained(tmp_path)(x), expected)


def test_with_as_many_landmarks_as_tokens_the_vits_agree():
    exact, x = tiny("exact", landmarks=None).eval(), torch.randn(3, 2, 12, 12)
    for kind in ("nystrom", "linformer"):
        model = tiny(kind, landmarks=10).eval()
        model.load_state_dict(exact.state_dict(), strict=False)  # a linformer keeps the projections it starts with
        for block in model.blocks:
            block.attn.approximation.iterations = 20
        torch.testing.assert_close(model(x), exact(x), rtol=0.01, atol=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_stays_near(kind):
    """Exponents and the pseudo-inverse stay in fp32; the latter still magnifies what bf16 rounds before it."""
    model, x = tiny(kind).eval(), torch.randn(3, 2, 12, 12)
    with torch.autocast("cpu", torch.bfloat16):
        found = model(x).float()
    assert (found - model(x)).abs().max() < 0.1 * model(x).abs().max()


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_says_what_the_model_says(kind, tmp_path):
    import onnxruntime

    from mien.tracing import trace

    model = tiny(kind, depth=1).eval()
    trace(model, Preprocessing(size=12, channels=2), tmp_path / "m.onnx")
    x = torch.randn(3, 2, 12, 12)
    found = onnxruntime.InferenceSession(tmp_path / "m.onnx").run(None, {"images": x.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(found), model(x).detach(), rtol=1e-4, atol=1e-4)


def test_long_sequences_cost_less():
    """Of one layer on 1,025 tokens, all but the projections and the MLP falls from N * N to N * m."""
    sizes = {"img_size": 32, "patch_size": 1, "num_classes": 2, "embed_dim": 16, "depth": 1, "num_heads": 2}
    cost = {kind: count_flops(create_model("vit", **sizes, attention=kind), 32, 1) for kind in ("exact", *KINDS)}
    exact = 4 * 1025**2 * 16
    assert cost["exact"] - cost["linformer"] == exact - 4 * 1025 * 32 * 16 - 2 * 2 * 1025 * 32 * 16
    assert all(cost["exact"] - cost[kind] > 0.8 * exact for kind in KINDS)


def opened(kind) -> Classifier:
    """The tiny ViT of the other tests, with approximate attention."""
    exact = classifier("vit")
    sizes = exact.sizes | {"attention": kind, "landmarks": 4}
    model = create_model("vit", **sizes)
    model.load_state_dict(exact.model.state_dict(), strict=False)
    return Classifier(model.eval(), "vit", sizes, exact.labels, exact.preprocessing)


def test_there_are_no_weights_to_explain():
    model, x = opened("performer"), images("vit")
    text = "Performer attention has no weights: .* integrated_gradients"
    for call in (weights, relevance):
        with pytest.raises(UsageError, match=text):
            call(model, x)
    with pytest.raises(UsageError, match=text):
        attribute(model, x, "rollout")
    with capture(model) as trace:
        model(x)
    assert "blocks.2.attn" in trace
    assert trace.attention_weights == []
    with pytest.raises(UsageError, match=f"Nothing called 'blocks.0.attn.weights' was captured. {text}"):
        trace["blocks.0.attn.weights"]
    with pytest.raises(UsageError, match=r"'blocks.1.atn' was captured\. Did you mean 'blocks.1.attn'\?"):
        trace["blocks.1.atn"]


@pytest.mark.parametrize("kind", KINDS)
def test_all_else_is_explained(kind):
    import numpy as np

    model = opened(kind)
    assert methods_of(model) == ("grad_cam", "integrated_gradients", "smooth_gradients", "occlusion", "saliency")
    picture = np.random.default_rng(0).integers(0, 256, (21, 21), np.uint8)
    found = mien.explain(model, picture, ["integrated_gradients", "saliency"])
    assert found.attention is None
    assert found.attention_logits is None
    assert found.positions is not None
    assert found.maps["integrated_gradients"].std() > 0
    assert any("2 heads" in step.text for step in found.walk)


@pytest.mark.parametrize("kind", KINDS)
def test_hugging_faces_format_refuses_it(kind, tmp_path):
    with pytest.raises(UsageError, match="it has approximate attention"):
        to_hf.save(tiny(kind), tmp_path, LABELS, Preprocessing(size=12, channels=2))


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ({"attention": "nistrom"}, "attention 'nistrom' is not known; there are exact, nystrom, performer, linformer"),
        ({"attention": "exact"}, r"landmarks \(=4\) do nothing in exact attention; take 'nystrom', "),
        ({"attention": "nystrom", "landmarks": 11}, r"landmarks \(=11\) from 1 to the number of tokens, here 10"),
        ({"attention": "linformer", "landmarks": None}, r"landmarks \(=32\) from 1 to the number of tokens, here 10"),
        ({"attention": "nystrom", "landmarks": 0}, r"landmarks \(=0\): Input should be greater than or equal to 1\."),
        ({"attention": "performer", "landmarks": 0}, r"landmarks \(=0\): Input should be greater than or equal to 1\."),
        ({"attention": "performer", "embed_dim": 2}, r"channels a head \(=0\) of at least 1"),
        ({"attention": "linformer", "embed_dim": 13}, r"embed_dim \(=13\) must be divisible"),
        ({"attention": "nystrom", "reattention": True}, "Nystrom attention has no weights for reattention to change"),
        ({"attention": "performer", "local_attention": True}, "weights for local_attention to change. Take attention"),
        ({"attention": "linformer", "pos_embed": "relative", "reattention": True}, "for relative positions, reattent"),
    ],
)  # fmt: skip
def test_refuses_what_does_not_go_together(sizes, text):
    with pytest.raises(UsageError, match=text):
        tiny(**{"kind": sizes.pop("attention"), **sizes})


def test_a_linformer_has_one_length():
    with pytest.raises(ValueError, match=r"made for 5 tokens and got 7\."):
        VariedAttention(8, 2, approximation=Linformer(2, 5))(torch.randn(1, 7, 8))
