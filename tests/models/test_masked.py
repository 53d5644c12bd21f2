"""MAE and SimMIM: patches and masks by hand, what the encoder sees, and the losses beside Hugging Face's."""

import math

import pytest
import torch

from mien.models import create_model
from mien.models.masked import MaskedAutoencoder, SimMIM, moments, patchify, unpatchify
from mien.pretrained.checkpoint import rename
from mien.pretrained.from_hf import NAMES, fuse_attention

SIZES = {"img_size": 12, "patch_size": 3, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 0}


def encoder(**sizes):
    torch.manual_seed(0)
    return create_model("vit", **SIZES | sizes)


def stream(seed=0):
    return torch.Generator().manual_seed(seed)


def images(count=3, channels=1, side=12):
    return torch.randn(count, channels, side, side, generator=stream(7))


def test_patchify_by_hand_and_back():
    image = torch.arange(2 * 4 * 4.0).reshape(1, 2, 4, 4)  # channel 1 is channel 0 + 16
    patches = patchify(image, 2)
    assert patches.shape == (1, 4, 8)
    assert patches[0, 1].tolist() == [2, 18, 3, 19, 6, 22, 7, 23]  # top right, a pixel's channels together
    assert torch.equal(unpatchify(patches, 2, 2), image)
    colour = images(2, 3, 15)
    assert torch.equal(unpatchify(patchify(colour, 5), 5, 3), colour)


@pytest.mark.parametrize(("ratio", "visible"), [(0.75, 4), (0.6, 6), (0.5, 8), (0.01, 15)])
def test_a_mask_leaves_the_same_number_visible_in_every_image(ratio, visible):
    masked = SimMIM(encoder(), ratio).draw(5, stream())
    assert (masked.shape, masked.dtype) == ((5, 16), torch.bool)
    assert (~masked).sum(dim=1).tolist() == [visible] * 5
    assert len({tuple(row) for row in masked.tolist()}) > 1


def test_masks_follow_from_the_stream():
    model = SimMIM(encoder(), 0.5)
    assert torch.equal(model.draw(4, stream(1)), model.draw(4, stream(1)))
    assert not torch.equal(model.draw(4, stream(1)), model.draw(4, stream(2)))


def test_each_patch_is_masked_as_often():
    shares = SimMIM(encoder(), 0.75).draw(4000, stream()).float().mean(dim=0)
    assert (shares - 0.75).abs().max() < 0.03


def test_mae_loss_by_hand():
    """A decoder that says 0 of a patch (0, 0, 0, 4): mean 1, unbiased variance 4, so (1 + 1 + 1 + 9) / 4 / 4."""
    model = MaskedAutoencoder(encoder(img_size=4, patch_size=2), 0.5, decoder_dim=32)
    torch.nn.init.zeros_(model.decoder_pred.weight)
    image = torch.tensor([[0.0, 0, 5, 5], [0, 4, 5, 5], [1, 2, 0, 0], [3, 4, 0, 0]])[None, None]
    first = torch.tensor([[True, False, False, False]])
    assert model(image, first).item() == pytest.approx(12 / 16, abs=1e-5)
    two = torch.tensor([[True, True, False, False]])  # the second is flat: its normalised pixels are 0
    assert model(image, two).item() == pytest.approx(12 / 32, abs=1e-5)


def test_simmim_loss_by_hand():
    model = SimMIM(encoder(img_size=4, patch_size=2), 0.5)
    torch.nn.init.zeros_(model.decoder.weight)
    torch.nn.init.constant_(model.decoder.bias, 1.0)
    image = torch.tensor([[0.0, 0, 5, 5], [0, 4, 5, 5], [1, 2, 0, 0], [3, 4, 0, 0]])[None, None]
    masked = torch.tensor([[True, False, True, False]])
    assert model(image, masked).item() == pytest.approx(((1 + 1 + 1 + 3) / 4 + (0 + 1 + 2 + 3) / 4) / 2)


def test_a_patch_normalised_has_mean_0_and_variance_1():
    patches = patchify(images(), 3)
    mean, deviation = moments(patches)
    done = (patches - mean) / deviation
    torch.testing.assert_close(done.var(dim=2), torch.ones(3, 16), atol=1e-4, rtol=0)
    torch.testing.assert_close(done.mean(dim=2), torch.zeros(3, 16), atol=1e-5, rtol=0)
    assert torch.isfinite(moments(torch.ones(1, 1, 9))[1]).all()


@pytest.mark.parametrize("pool", ["token", "avg", "flatten"])
@pytest.mark.parametrize("positions", ["learn", "learn2d", "sincos2d", "none"])
def test_the_encoder_sees_the_visible_tokens_and_no_other(pool, positions):
    model = MaskedAutoencoder(encoder(global_pool=pool, pos_embed=positions), 0.75, decoder_dim=32).eval()
    seen = []
    model.encoder.blocks[0].register_forward_hook(lambda _, inputs, output: seen.append(inputs[0].shape))
    masked = model.draw(3, stream())
    whole = images()
    loss = model(whole, masked)
    assert seen == [(3, 4 + (pool == "token"), 16)]
    predicted = model.predict(whole, masked)
    torch.testing.assert_close(model.predict(model.hide(whole, masked), masked), predicted)
    assert math.isfinite(loss.item())


@pytest.mark.parametrize("sizes", [{}, {"distilled": True}, {"global_pool": "avg", "shared_blocks": True}])
def test_with_nothing_masked_mae_encodes_as_the_vit_does(sizes):
    network = encoder(**sizes).eval()
    model = MaskedAutoencoder(network, 0.0, decoder_dim=32).eval()
    kept = torch.arange(16).expand(3, -1)
    torch.testing.assert_close(model.encode(images(), kept), network.forward_features(images()))


@pytest.mark.parametrize("sizes", [{}, {"patch_size": 4, "stem": "conv"}, {"patch_shift": True}, {"patch_norm": True}])
def test_simmim_sees_nothing_of_masked_pixels(sizes):
    model = SimMIM(encoder(**sizes), 0.6).eval()
    masked = model.draw(3, stream())
    other = torch.where(masked[..., None], 9.0, patchify(images(), model.patch_size))
    torch.testing.assert_close(
        model.predict(unpatchify(other, model.patch_size, 1), masked), model.predict(images(), masked)
    )
    assert (model.mask_token is None) == ("stem" in sizes or "patch_shift" in sizes)


@pytest.mark.parametrize("kind", [MaskedAutoencoder, SimMIM])
def test_filling_leaves_visible_patches_alone(kind):
    model = kind(encoder(in_chans=3), 0.5).eval()
    masked, colour = model.draw(2, stream()), images(2, 3)
    filled, hidden = (patchify(made(colour, masked), 3) for made in (model.fill, model.hide))
    for made in (filled, hidden):
        assert torch.equal(made[~masked], patchify(colour, 3)[~masked])
    assert not hidden[masked].any()
    assert not torch.isclose(filled[masked], patchify(colour, 3)[masked]).all()


@pytest.mark.parametrize("kind", [MaskedAutoencoder, SimMIM])
@pytest.mark.parametrize("sizes", [{"global_pool": "seq"}, {"representation_size": 5}, {"distilled": True}])
def test_every_parameter_that_trains_has_a_gradient(kind, sizes):
    """Else several processes would wait for it."""
    model = kind(encoder(**sizes), 0.5)
    model(images(), model.draw(3, stream())).backward()
    assert not [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]


@pytest.mark.parametrize(
    ("sizes", "ratio", "message"),
    [
        ({"patch_size": 4, "stem": "conv"}, 0.5, "stem 'conv' the tokens .* Take simmim"),
        ({"patch_shift": True}, 0.5, "must not see a masked pixel"),
        ({"pos_embed": "relative"}, 0.5, "pos_embed 'relative' is made for all patches.* Take simmim"),
        ({"reattention": True}, 0.5, "reattention is made for all patches.* Take simmim"),
        ({"attention": "linformer", "landmarks": 5}, 0.5, "attention 'linformer' is made for all patches"),
        (
            {"attention": "nystrom", "landmarks": 11},
            0.5,
            "11 landmarks, and MAE's encoder sees 9 tokens. Lower model.landmarks",
        ),
        ({}, 0.95, "mask_ratio 0.95 leaves 0 of 16 patches visible; two are needed"),
    ],
)
def test_what_mae_cannot_mask_is_refused(sizes, ratio, message):
    with pytest.raises(ValueError, match=message):
        MaskedAutoencoder(encoder(**sizes), ratio)


def test_mae_equals_that_of_transformers():
    """The same weights, the same noise: their masks, predictions and loss."""
    transformers = pytest.importorskip("transformers")
    settings = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    theirs = transformers.ViTMAEForPreTraining(
        transformers.ViTMAEConfig(
            **settings, image_size=12, patch_size=3, num_channels=3, mask_ratio=0.75, norm_pix_loss=True,
            layer_norm_eps=1e-6, decoder_hidden_size=32, decoder_num_attention_heads=1, decoder_num_hidden_layers=1,
            decoder_intermediate_size=128,
        )
    ).eval()  # fmt: skip
    model = MaskedAutoencoder(encoder(in_chans=3), 0.75, decoder_dim=32, decoder_depth=1).eval()
    model.load_state_dict(ours(theirs.state_dict()))
    colour = images(5, 3)
    noise = torch.rand(5, 16, generator=stream(3))
    with torch.no_grad():
        expected = theirs(colour, noise=noise)
        masked = model.draw(5, stream(3))
        assert torch.equal(masked, expected.mask.bool())
        torch.testing.assert_close(model.predict(colour, masked), expected.logits, atol=1e-5, rtol=1e-5)
        assert model(colour, masked).item() == pytest.approx(expected.loss.item(), abs=1e-5)


def ours(weights):
    """The weights of transformers' ViTMAEForPreTraining under our names."""
    encoder = {name[len("vit.") :]: value for name, value in weights.items() if name.startswith("vit.")}
    decoder = {name[len("decoder.") :]: value for name, value in weights.items() if name.startswith("decoder.")}
    layers = {name.removeprefix("decoder_"): value for name, value in decoder.items() if "layers" in name}
    rest = {name: value for name, value in decoder.items() if "layers" not in name}
    named = [("encoder.", encoder), ("decoder_", layers), ("", rest)]
    return {
        before + name: value
        for before, part in named
        for name, value in fuse_attention(rename(part, NAMES), "transformers").items()
    }
