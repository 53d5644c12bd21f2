"""What a Vision Transformer may have beyond the paper's: each against a value by hand or another implementation."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mien.errors import UsageError
from mien.explain.attention import relevance
from mien.explain.capture import capture
from mien.models import count_parameters, create_model
from mien.models.experimental.attention import Reattention, VariedAttention
from mien.models.experimental.shifted_patches import ShiftedPatches
from mien.models.parts.attention import Attention, explicit_attention
from mien.models.parts.blocks import LayerScale
from mien.models.parts.heads import SequencePool
from mien.models.parts.positions import RelativePositions, RowsAndColumns, relative_index
from mien.models.vit import VisionTransformer
from mien.models.vit_sizes import VitSizes
from mien.preprocessing import Preprocessing
from mien.pretrained import to_hf

OPTIONS = [
    {"global_pool": "seq"},
    {"pos_embed": "learn2d"},
    {"pos_embed": "relative", "global_pool": "avg"},  # the last block's would teach a class token, of no place, nothing
    {"layer_scale": 0.1},
    {"shared_blocks": True},
    {"patch_shift": True},
    {"local_attention": True},
    {"reattention": True},
    {"pos_embed": "relative", "local_attention": True, "reattention": True, "global_pool": "seq", "patch_shift": True},
]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def vit(**sizes) -> VisionTransformer:
    return VisionTransformer(VitSizes(**sizes))


def tiny(**options) -> VisionTransformer:
    sizes = {"img_size": 12, "patch_size": 4, "in_chans": 2, "num_classes": 5, "embed_dim": 12, "depth": 2}
    model = vit(**{**sizes, "num_heads": 3, **options})
    nn.init.normal_(model.head.weight)
    return model


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_fused_and_explicit_agree_and_everything_learns(options):
    model, x = tiny(**options), torch.randn(3, 2, 12, 12)
    model(x).square().sum().backward()
    idle = [name for name, parameter in model.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert idle == []
    model.eval()
    fused = model(x)
    with explicit_attention(model):
        torch.testing.assert_close(model(x), fused, rtol=1e-4, atol=1e-5)


def test_explanations_see_what_the_softmax_sees():
    model = tiny(pos_embed="relative", local_attention=True, shared_blocks=True, depth=3, reattention=True).eval()
    with capture(model) as trace:
        model(torch.randn(2, 2, 12, 12))
    assert len(trace.attention_weights) == 3
    assert torch.equal(trace["blocks.0.attn.attend@2"], trace["blocks.0.attn.weights@2"])
    assert not trace["blocks.0.attn.weights"].diagonal(dim1=2, dim2=3).any()
    assert torch.equal(trace["blocks@3"], trace["blocks.0@3"])
    assert relevance(model, torch.randn(2, 2, 12, 12)).shape == (2, 10, 10)


def test_hugging_faces_format_refuses_the_options(tmp_path):
    model = tiny(pos_embed="relative", layer_scale=0.1, shared_blocks=True, local_attention=True, reattention=True)
    text = "relative positions, layer scale, shared blocks, local attention, re-attention"
    with pytest.raises(UsageError, match=text):
        to_hf.save(model, tmp_path, tuple("abcde"), Preprocessing(size=12, channels=2))


TOGETHER = [
    {"pos_embed": "learn2d", "layer_scale": 0.1, "shared_blocks": True},
    {"pos_embed": "relative", "local_attention": True},
    OPTIONS[-1],
]


@pytest.mark.parametrize("options", TOGETHER, ids=str)
def test_an_export_says_what_the_model_says(options, tmp_path):
    import onnxruntime

    from mien.tracing import trace

    model = tiny(**options).eval()
    trace(model, Preprocessing(size=12, channels=2), tmp_path / "m.onnx")
    x = torch.randn(3, 2, 12, 12)
    found = onnxruntime.InferenceSession(tmp_path / "m.onnx").run(None, {"images": x.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(found), model(x).detach(), rtol=1e-4, atol=1e-4)


def test_sequence_pooling_by_hand():
    """Scores 0 and ln 3: a quarter of the first token and three of the second."""
    pool = SequencePool(1)
    pool.score.weight.data.fill_(1.0)
    tokens = torch.tensor([[[0.0], [3.0]]]).log1p() * torch.tensor(3.0).log() / torch.tensor(4.0).log()  # 0, ln 3
    assert pool(tokens).item() == pytest.approx(0.75 * torch.tensor(3.0).log().item())


def test_a_row_and_a_column_make_a_place():
    positions = RowsAndColumns(grid_size=3, embed_dim=4, prefix=1)
    found = positions()
    assert found.shape == (1, 10, 4)
    assert not found[0, 0].any()
    assert torch.equal(found[0, 1 + 3 * 2 + 1], torch.cat([positions.rows[2], positions.columns[1]]))


def test_offsets_by_hand():
    """Patches 0 1 / 2 3: from patch 0 to itself is (0, 0), from 3 to 0 (1, 1), from 0 to 3 (-1, -1)."""
    index = relative_index(2)
    assert (index.diagonal() == 4).all()  # row 1, column 1 of a table of 3 x 3
    assert (index[3, 0], index[0, 3], index[0, 1]) == (8, 0, 3)


def test_relative_positions_are_swins():
    swin = pytest.importorskip("transformers.models.swin.modeling_swin")
    theirs = swin.SwinRelativePositionBias(2, (3, 3))
    ours = RelativePositions(grid_size=3, num_heads=2, prefix=0)
    theirs.relative_position_bias_table.data = ours.table.data
    assert torch.equal(ours(), theirs()[0])


def test_prefix_tokens_have_no_relative_position():
    positions = RelativePositions(grid_size=2, num_heads=3, prefix=1)
    bias = positions()
    assert not bias[:, 0].any()
    assert not bias[:, :, 0].any()
    assert torch.equal(bias[:, 4, 1], positions.table[8])


def test_relative_positions_reach_the_weights():
    """Without queries, the weights are the softmax of the bias alone."""
    positions = RelativePositions(grid_size=2, num_heads=1, prefix=0)
    attention = Attention(2, 1, qkv_bias=False, project=False, relative=positions)
    attention.qkv.weight.data[:2] = 0.0
    x = torch.randn(1, 4, 2)
    value = x @ attention.qkv.weight[4:].T
    torch.testing.assert_close(attention(x), positions().softmax(dim=-1) @ value)


def test_layer_scale_by_hand():
    assert LayerScale(2, 0.5)(torch.tensor([[[2.0, 4.0]]])).tolist() == [[[1.0, 2.0]]]
    names = dict(tiny(layer_scale=1e-4).named_parameters())
    assert {"blocks.0.ls1.gamma", "blocks.1.ls2.gamma"} <= names.keys()
    assert names["blocks.1.ls2.gamma"].unique().tolist() == pytest.approx([1e-4])


def test_shared_blocks_are_one_block_many_times():
    shared, one = tiny(shared_blocks=True, depth=3).eval(), tiny(depth=1).eval()
    assert count_parameters(shared) == count_parameters(one)
    one.load_state_dict(shared.state_dict())
    x = torch.randn(2, 2, 12, 12)
    tokens = one.pos_drop(torch.cat([one.cls_token.expand(2, -1, -1), one.patch_embed(x)], dim=1) + one.pos_embed)
    for _ in range(3):
        tokens = one.blocks[0](tokens)
    torch.testing.assert_close(shared.forward_features(x), one.norm(tokens))


def test_shifted_patches_move_by_half_a_patch():
    shifted = ShiftedPatches(in_chans=1, patch_size=4)
    shifted.norm = nn.Identity()
    x = torch.arange(64.0).reshape(1, 1, 8, 8)
    found = shifted(x)
    assert found.shape == (1, 5, 8, 8)
    assert torch.equal(found[:, :1], x)
    assert torch.equal(found[0, 1, 2:, 2:], x[0, 0, :-2, :-2])  # down and right
    assert torch.equal(found[0, 4, :-2, :-2], x[0, 0, 2:, 2:])  # up and left
    assert not found[0, 1, :2].any()


def test_local_attention_by_hand():
    """Of two tokens, each sees the other alone; of three, one scale for each head sharpens what is left."""
    attention = VariedAttention(1, 1, qkv_bias=False, project=False, local=True)
    attention.qkv.weight.data.fill_(1.0)
    assert attention(torch.tensor([[[2.0], [5.0]]])).flatten().tolist() == [5.0, 2.0]
    attention.logit_scale.data.fill_(2.0)
    x = torch.tensor([[[1.0], [0.5], [2.0]]])
    share = F.softmax(torch.tensor([2 * 0.5, 2 * 2.0]), dim=0)
    assert attention(x)[0, 0].item() == pytest.approx((share @ torch.tensor([0.5, 2.0])).item())


def test_reattention_is_a_mixture_of_heads():
    mixing = Reattention(2).eval()
    weights = torch.rand(3, 2, 4, 4)
    torch.testing.assert_close(mixing(weights), weights / (1 + mixing.norm.eps) ** 0.5)  # starts as the identity
    mixing.mix.weight.data[:, :, 0, 0] = torch.tensor([[0.0, 1.0], [2.0, 0.0]])
    expected = torch.stack([weights[:, 1], 2 * weights[:, 0]], dim=1)
    torch.testing.assert_close(mixing(weights), expected / (1 + mixing.norm.eps) ** 0.5)


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ({"global_pool": "max"}, "global_pool 'max' is not known; there are token, avg, flatten, seq"),
        ({"patch_shift": True, "stem": "conv"}, "patch_shift and stem 'conv' are two ways"),
        ({"patch_shift": True, "patch_norm": True}, "patch_shift and patch_norm are two ways"),
        ({"patch_shift": True, "patch_size": 1}, "patch_size of at least 2, not 1"),
        ({"reattention": True, "num_heads": 1}, r"num_heads \(=1\) must be at least 2"),
        ({"pos_embed": "learn2d", "embed_dim": 9}, r"embed_dim \(=9\) must be even"),
        ({"local_attention": True, "patch_size": 12, "global_pool": "avg"}, "needs two tokens or more"),
    ],
)
def test_refuses_what_does_not_go_together(sizes, text):
    with pytest.raises(UsageError, match=text):
        create_model("vit", **{"img_size": 12, "patch_size": 4, "embed_dim": 12, "depth": 2, "num_heads": 3, **sizes})
