import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mien.errors import UsageError
from mien.models import create_model
from mien.models.parts.attention import Attention, explicit_attention
from mien.models.parts.blocks import Block, DropPath
from mien.models.parts.patch_embed import PatchEmbed, normalise_patches
from mien.models.parts.positions import sincos_positions
from mien.models.vit import VisionTransformer
from mien.models.vit_sizes import VitSizes


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def vit(**sizes) -> VisionTransformer:
    return VisionTransformer(VitSizes(**sizes))


def test_attention_is_torchs_scaled_dot_product():
    attention = Attention(embed_dim=21, num_heads=3)
    x = torch.randn(2, 5, 21)
    q, k, v = attention.qkv(x).reshape(2, 5, 3, 3, 7).permute(2, 0, 3, 1, 4)
    expected = attention.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2, 5, 21))
    torch.testing.assert_close(attention(x), expected)


def test_attention_by_hand():
    """Two tokens, one head of width 1, q = k = v = x: the weights are softmax(x x^T)."""
    attention = Attention(embed_dim=1, num_heads=1, qkv_bias=False, project=False)
    attention.qkv.weight.data.fill_(1.0)
    out = attention(torch.tensor([[[0.0], [1.0]]]))
    assert out[0, 0].item() == pytest.approx(0.5)  # logits 0, 0
    assert out[0, 1].item() == pytest.approx(math.e / (1 + math.e))  # logits 0, 1


def test_fused_and_explicit_attention_agree_and_explicit_shows_its_weights():
    model = VisionTransformer(
        VitSizes(img_size=14, patch_size=7, in_chans=3, num_classes=5, embed_dim=22, depth=3, num_heads=2)
    )
    model.head.weight.data.normal_()
    x = torch.randn(2, 3, 14, 14)
    seen = []
    model.blocks[1].attn.attend.register_forward_hook(lambda module, inputs, output: seen.append(output))
    fused = model(x)
    assert seen == []
    with explicit_attention(model):
        torch.testing.assert_close(model(x), fused, rtol=1e-5, atol=1e-5)
    assert seen[0].shape == (2, 2, 5, 5)
    torch.testing.assert_close(seen[0].sum(-1), torch.ones(2, 2, 5))
    assert not any(module.explicit for module in model.modules() if isinstance(module, Attention))


@pytest.mark.parametrize(("dtype", "learns", "explicit"), [("bf16", True, 1), ("bf16", False, 0), ("fp32", True, 0)])
def test_attention_that_learns_in_bf16_on_a_cpu_is_explicit(dtype, learns, explicit):
    attention = Attention(embed_dim=6, num_heads=2)
    seen = []
    attention.attend.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == "bf16"), torch.set_grad_enabled(learns):
        attention(torch.randn(2, 5, 6))
    assert len(seen) == explicit


@pytest.mark.parametrize("pre_norm", [True, False])
def test_block_is_torchs_encoder_layer(pre_norm):
    block = Block(embed_dim=22, num_heads=2, mlp_ratio=3.0, pre_norm=pre_norm).eval()
    reference = nn.TransformerEncoderLayer(
        22, 2, 66, dropout=0.0, activation="gelu", layer_norm_eps=1e-6, batch_first=True, norm_first=pre_norm
    ).eval()
    names = {
        "self_attn.in_proj_weight": "attn.qkv.weight",
        "self_attn.in_proj_bias": "attn.qkv.bias",
        "self_attn.out_proj.weight": "attn.proj.weight",
        "self_attn.out_proj.bias": "attn.proj.bias",
        "linear1.weight": "mlp.fc1.weight",
        "linear1.bias": "mlp.fc1.bias",
        "linear2.weight": "mlp.fc2.weight",
        "linear2.bias": "mlp.fc2.bias",
    }
    theirs = {names.get(key, key): value for key, value in reference.state_dict().items()}
    block.load_state_dict(theirs)
    x = torch.randn(2, 7, 22)
    torch.testing.assert_close(block(x), reference(x), rtol=1e-5, atol=1e-5)


def test_patches_run_row_by_row():
    embed = PatchEmbed(img_size=6, patch_size=3, in_chans=1, embed_dim=1)
    embed.proj.weight.data.fill_(1.0)
    embed.proj.bias.data.zero_()
    image = torch.arange(4.0).repeat_interleave(3).reshape(2, 6).repeat_interleave(3, dim=0)  # quadrants 0 1 / 2 3
    assert embed(image[None, None])[0, :, 0].tolist() == [0.0, 9.0, 18.0, 27.0]


def test_conv_stem_gives_as_many_tokens():
    assert PatchEmbed(24, 8, 1, 40, "conv")(torch.randn(2, 1, 24, 24)).shape == (2, 9, 40)


@pytest.mark.parametrize("pool", ["token", "avg"])
@pytest.mark.parametrize("positions", ["learn", "sincos2d", "none"])
@pytest.mark.parametrize("stem", ["patch", "conv"])
def test_shapes(pool, positions, stem):
    model = VisionTransformer(
        VitSizes(
            img_size=12,
            patch_size=4,
            in_chans=3,
            num_classes=5,
            embed_dim=28,
            depth=2,
            num_heads=7,
            global_pool=pool,
            pos_embed=positions,
            stem=stem,
            representation_size=11,
        )
    )
    assert model(torch.randn(2, 3, 12, 12)).shape == (2, 5)
    assert model.forward_features(torch.randn(2, 3, 12, 12)).shape == (2, 9 + (pool == "token"), 28)


def test_starts_at_a_uniform_guess():
    logits = vit(num_classes=5)(torch.randn(2, 1, 48, 48))
    assert torch.equal(logits, torch.zeros(2, 5))


def test_official_initialisation_sees_each_projection_on_its_own():
    model = vit(embed_dim=192)
    bound = math.sqrt(6 / (192 + 192))
    assert 0.95 * bound < model.blocks[0].attn.qkv.weight.abs().max() <= bound


def test_official_initialisation_of_patches_is_a_truncated_lecun_normal():
    torch.manual_seed(0)
    weight = VisionTransformer(
        VitSizes(patch_size=8, embed_dim=1152)
    ).patch_embed.proj.weight  # 73,728 numbers of fan-in 64
    assert weight.std().item() == pytest.approx(1 / 8, rel=0.01)
    bound = 2 / 8 / 0.87962566103423978
    assert 0.99 * bound < weight.abs().max().item() <= bound * (1 + 1e-6)


def test_sincos_positions_by_hand():
    positions = sincos_positions(grid_size=2, embed_dim=8)  # omega = 1, 1e-4
    x1_y0 = [math.sin(1), math.sin(1e-4), math.cos(1), math.cos(1e-4), 0, 0, 1, 1]
    assert positions[1].tolist() == pytest.approx(x1_y0)
    assert positions.shape == (4, 8)


def test_positions_tell_where_a_patch_is():
    """Swapping two patches changes the answer with positions, and does not without."""
    x = torch.randn(1, 1, 8, 8)
    swapped = x.roll(4, dims=2)
    for kind, same in (("none", True), ("learn", False), ("sincos2d", False)):
        model = VisionTransformer(
            VitSizes(img_size=8, patch_size=4, embed_dim=16, depth=1, num_heads=2, pos_embed=kind)
        )
        model.head.weight.data.normal_()
        assert torch.allclose(model(x), model(swapped), atol=1e-5) == same, kind


def test_drop_path_keeps_the_mean_and_drops_whole_images():
    drop = DropPath(0.25).train()
    out = drop(torch.ones(4000, 3))
    assert out.unique().tolist() == pytest.approx([0.0, 4 / 3])
    assert torch.equal(out[:, 0], out[:, 2])
    assert out.mean().item() == pytest.approx(1.0, abs=0.05)
    assert torch.equal(drop.eval()(torch.ones(5)), torch.ones(5))


@pytest.mark.parametrize(
    ("sizes", "text"),
    [
        ({"embed_dim": 10, "num_heads": 3}, r"embed_dim \(=10\) must be divisible by num_heads \(=3\)"),
        (
            {"img_size": 50, "patch_size": 8},
            r"divisible by patch_size \(=8\): `img_size` 48 or 56\.",
        ),
        ({"stem": "conv", "patch_size": 6}, "power of two, not 6"),
        ({"pos_embed": "sincos2d", "embed_dim": 6, "num_heads": 3}, "multiple of 4"),
        ({"pos_embed": "polar"}, "'polar' is not known"),
        ({"init": "random"}, "'random' is not known"),
    ],
)
def test_refuses_sizes_that_do_not_fit(sizes, text):
    with pytest.raises(UsageError, match=text):
        create_model("vit", **sizes)


def test_patch_norm_sees_neither_light_nor_contrast():
    """Each patch of its own brightness and contrast gives the same tokens."""
    embed = PatchEmbed(img_size=6, patch_size=3, in_chans=2, embed_dim=5, norm=True)
    x = torch.randn(2, 2, 6, 6) * 10
    gain = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).repeat_interleave(3, 0).repeat_interleave(3, 1)
    torch.testing.assert_close(embed(x), embed(x * gain + 7 * gain), rtol=1e-3, atol=1e-3)


def test_normalised_patches_by_hand():
    x = torch.tensor([[[[1.0, 3.0, 5.0, 5.0]]]]).expand(1, 1, 2, 4)  # two 2x2 patches; the second is flat
    expected = torch.tensor([-1.0, 1.0, 0.0, 0.0])
    torch.testing.assert_close(normalise_patches(x, 2)[0, 0, 0], expected, rtol=0, atol=1e-3)


def test_a_head_on_all_tokens_knows_their_places():
    model = VisionTransformer(
        VitSizes(img_size=15, patch_size=5, embed_dim=12, depth=1, num_heads=3, global_pool="flatten")
    )
    tokens = torch.randn(2, 9, 12)
    torch.nn.init.normal_(model.head.weight)
    assert model.head.in_features == 9 * 12
    assert model.forward_head(tokens).shape == (2, 7)
    assert not torch.allclose(model.forward_head(tokens), model.forward_head(tokens.flip(1)))


def test_a_distilled_model_averages_two_heads():
    model = vit(img_size=15, patch_size=5, embed_dim=12, depth=1, num_heads=3, distilled=True)
    torch.nn.init.normal_(model.head.weight)
    tokens = torch.randn(2, 11, 12)
    expected = (model.head(tokens[:, 0]) + model.head_dist(tokens[:, 1])) / 2
    torch.testing.assert_close(model.forward_head(tokens), expected)
    assert model(torch.randn(2, 1, 15, 15)).shape == (2, 7)
    with pytest.raises(ValueError, match="distilled needs global_pool 'token'"):
        vit(global_pool="avg", distilled=True)


def test_a_conv_stem_of_several_convolutions_a_halving():
    """Two for each halving of a patch of 4: 3 -> 5, 5 -> 5 (stride 2), 5 -> 7, 7 -> 7 (stride 2), then 1x1."""
    model = vit(
        img_size=12, patch_size=4, embed_dim=8, depth=1, num_heads=2, in_chans=3, stem="conv", stem_convs=2,
        stem_widths=(5, 7),)  # fmt: skip
    convolutions = [m for m in model.patch_embed.stem if isinstance(m, nn.Conv2d)]
    shapes = [(m.in_channels, m.out_channels, m.stride[0]) for m in convolutions]
    assert shapes == [(3, 5, 1), (5, 5, 2), (5, 7, 1), (7, 7, 2)]
    assert model.patch_embed(torch.rand(2, 3, 12, 12)).shape == (2, 9, 8)
    with pytest.raises(ValueError, match=r"stem_widths \(=\(5,\)\) must name 2 widths"):
        vit(img_size=12, patch_size=4, stem="conv", stem_widths=(5,))
