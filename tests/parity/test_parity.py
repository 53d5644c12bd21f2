"""Models of the reference libraries with random weights, saved in their own formats and loaded by mien: equal logits.

Small sizes always, ViT-B/16 and ResNet-34 under the marker 'full_size', which .ci/run also runs.
"""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.testing import assert_close

from mien import pretrained
from mien.preprocessing import Preprocessing
from mien.pretrained import to_hf

HOW = "the reference libraries are not installed: .ci/run does it, apart from mien's own (CONTRIBUTING.md)"
torchvision = pytest.importorskip("torchvision", reason=HOW)
timm = pytest.importorskip("timm", reason=HOW)
transformers = pytest.importorskip("transformers", reason=HOW)

SMALL = {"width": 24, "depth": 2, "heads": 3, "patch": 5, "side": 15}
BASE = {"width": 768, "depth": 12, "heads": 12, "patch": 16, "side": 224}
SIZES = [pytest.param(SMALL, id="small"), pytest.param(BASE, id="b16", marks=pytest.mark.full_size)]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def randomised(model):
    """Every tensor random, so that no part of a model is still zero or one and goes untested."""
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.randn_like(value) * 0.05 + (1.0 if "running_var" in name else 0.0))
            value.abs_() if "running_var" in name else value
    return model.eval()


def pixels(sizes, channels=3):
    return torch.randn(2, channels, sizes["side"], sizes["side"])


def agree(theirs, ours, images):
    with torch.no_grad():
        expected, found = theirs(images), ours.eval()(images)
    assert expected.std() > 1e-3
    assert_close(found, expected, rtol=0, atol=1e-5 * max(1.0, float(expected.abs().max())))


def timm_vit(sizes, **more):
    keys = {"width": "embed_dim", "depth": "depth", "heads": "num_heads", "patch": "patch_size", "side": "img_size"}
    return randomised(
        timm.models.VisionTransformer(**{keys[key]: value for key, value in sizes.items()}, num_classes=11, **more)
    )


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_timm(tmp_path, sizes, suffix):
    theirs = timm_vit(sizes)
    path = tmp_path / f"weights{suffix}"
    (torch.save if suffix == ".pth" else save_file)(theirs.state_dict(), path)
    checkpoint = pretrained.read(path, num_heads=sizes["heads"])
    agree(theirs, checkpoint.build(), pixels(sizes))
    assert len(checkpoint.weights) == len(theirs.state_dict()) == 8 + 12 * sizes["depth"]


@pytest.mark.parametrize("sizes", SIZES)
def test_deit_with_its_second_token(tmp_path, sizes):
    from timm.models.deit import VisionTransformerDistilled

    theirs = randomised(
        VisionTransformerDistilled(
            img_size=sizes["side"],
            patch_size=sizes["patch"],
            embed_dim=sizes["width"],
            depth=sizes["depth"],
            num_heads=sizes["heads"],
            num_classes=11,
        )
    )
    torch.save({"model": theirs.state_dict()}, tmp_path / "deit.pth")
    checkpoint = pretrained.read(tmp_path / "deit.pth", num_heads=sizes["heads"])
    agree(theirs, checkpoint.build(), pixels(sizes))
    assert checkpoint.mean == (0.485, 0.456, 0.406)


def hf_config(sizes, kind=transformers.ViTConfig):
    return kind(
        hidden_size=sizes["width"],
        num_hidden_layers=sizes["depth"],
        num_attention_heads=sizes["heads"],
        intermediate_size=4 * sizes["width"],
        image_size=sizes["side"],
        patch_size=sizes["patch"],
        num_labels=11,
        layer_norm_eps=1e-6,
    )


@pytest.mark.parametrize("sizes", SIZES)
def test_hugging_face_folder(tmp_path, sizes):
    theirs = randomised(transformers.ViTForImageClassification(hf_config(sizes)))
    theirs.save_pretrained(tmp_path)
    checkpoint = pretrained.read(tmp_path)
    agree(lambda x: theirs(x).logits, checkpoint.build(), pixels(sizes))
    assert checkpoint.labels == tuple(f"LABEL_{i}" for i in range(11))


def test_hugging_face_names_in_memory(tmp_path):
    theirs = randomised(transformers.ViTForImageClassification(hf_config(SMALL)))
    save_file(theirs.state_dict(), tmp_path / "memory.safetensors")
    agree(lambda x: theirs(x).logits, pretrained.read(tmp_path / "memory.safetensors", 3).build(), pixels(SMALL))


def test_hugging_face_deit(tmp_path):
    theirs = randomised(transformers.DeiTForImageClassificationWithTeacher(hf_config(SMALL, transformers.DeiTConfig)))
    theirs.save_pretrained(tmp_path)
    agree(lambda x: theirs(x).logits, pretrained.read(tmp_path).build(), pixels(SMALL))


def test_hugging_face_backbone_with_its_pooler(tmp_path):
    theirs = randomised(transformers.ViTModel(hf_config(SMALL)))
    theirs.save_pretrained(tmp_path)
    ours = pretrained.read(tmp_path).build(num_classes=3).eval()
    images = pixels(SMALL)
    with torch.no_grad():
        assert_close(ours.pre_logits(ours.forward_features(images)[:, 0]), theirs(images).pooler_output)


@pytest.mark.parametrize("sizes", SIZES)
def test_back_to_hugging_face(tmp_path, sizes):
    ours = randomised(pretrained.read(_saved(timm_vit(sizes), tmp_path / "x.safetensors"), sizes["heads"]).build())
    labels = tuple(f"class {i}" for i in range(11))
    to_hf.save(ours, tmp_path / "hf", labels, Preprocessing(size=sizes["side"], channels=3))
    theirs = transformers.ViTForImageClassification.from_pretrained(tmp_path / "hf").eval()
    agree(lambda x: theirs(x).logits, ours, pixels(sizes))
    assert theirs.config.id2label[3] == "class 3"


def _saved(model, path):
    save_file(model.state_dict(), path)
    return path


@pytest.mark.parametrize("sizes", SIZES)
def test_torchvision(tmp_path, sizes):
    theirs = randomised(
        torchvision.models.VisionTransformer(
            image_size=sizes["side"],
            patch_size=sizes["patch"],
            num_layers=sizes["depth"],
            num_heads=sizes["heads"],
            hidden_dim=sizes["width"],
            mlp_dim=4 * sizes["width"],
            num_classes=11,
            representation_size=13 if sizes is SMALL else None,
        )
    )
    torch.save(theirs.state_dict(), tmp_path / "vit.pth")
    agree(theirs, pretrained.read(tmp_path / "vit.pth", sizes["heads"]).build(), pixels(sizes))


def as_npz(model, path, heads, prefix="", kind="vision_transformer"):
    """A timm ViT's weights as the official JAX code saves them."""
    state = {name: value.numpy() for name, value in model.state_dict().items()}
    width = state["cls_token"].shape[-1]
    big_vision = kind == "big_vision"
    attention = f"MultiHeadDotProductAttention_{0 if big_vision else 1}"
    mlp, second = ("MlpBlock_0", "LayerNorm_1") if big_vision else ("MlpBlock_3", "LayerNorm_2")
    arrays = {
        "cls": state["cls_token"],
        "embedding/kernel": state["patch_embed.proj.weight"].transpose(2, 3, 1, 0),
        "embedding/bias": state["patch_embed.proj.bias"],
        "Transformer/encoder_norm/scale": state["norm.weight"],
        "Transformer/encoder_norm/bias": state["norm.bias"],
        "head/kernel": state["head.weight"].T,
        "head/bias": state["head.bias"],
    }
    if big_vision:
        arrays["pos_embedding"] = state["pos_embed"][:, 1:]
    else:
        arrays["Transformer/posembed_input/pos_embedding"] = state["pos_embed"]
    for block in range(len(model.blocks)):
        ours, theirs = f"blocks.{block}.", f"Transformer/encoderblock_{block}/"
        for number, name in (("LayerNorm_0", "norm1"), (second, "norm2")):
            arrays[f"{theirs}{number}/scale"] = state[f"{ours}{name}.weight"]
            arrays[f"{theirs}{number}/bias"] = state[f"{ours}{name}.bias"]
        for part, rows in enumerate(("query", "key", "value")):
            weight = state[f"{ours}attn.qkv.weight"][part * width : (part + 1) * width]
            bias = state[f"{ours}attn.qkv.bias"][part * width : (part + 1) * width]
            arrays[f"{theirs}{attention}/{rows}/kernel"] = weight.T.reshape(width, heads, -1)
            arrays[f"{theirs}{attention}/{rows}/bias"] = bias.reshape(heads, -1)
        arrays[f"{theirs}{attention}/out/kernel"] = state[f"{ours}attn.proj.weight"].T.reshape(heads, -1, width)
        arrays[f"{theirs}{attention}/out/bias"] = state[f"{ours}attn.proj.bias"]
        for dense, name in (("Dense_0", "fc1"), ("Dense_1", "fc2")):
            arrays[f"{theirs}{mlp}/{dense}/kernel"] = state[f"{ours}mlp.{name}.weight"].T
            arrays[f"{theirs}{mlp}/{dense}/bias"] = state[f"{ours}mlp.{name}.bias"]
    np.savez(path, **{prefix + name: value for name, value in arrays.items()})
    return path


@pytest.mark.parametrize("sizes", SIZES)
def test_npz(tmp_path, sizes):
    """Also read by timm's own loader, so that the file is what the official code writes and not our idea of it."""
    theirs = timm_vit(sizes)
    path = as_npz(theirs, tmp_path / "vit.npz", sizes["heads"])
    again = timm_vit(sizes)
    again.load_pretrained(str(path))
    again.head.load_state_dict(theirs.head.state_dict())
    images = pixels(sizes)
    agree(again, theirs, images)
    agree(theirs, pretrained.read(path).build(), images)


@pytest.mark.parametrize("prefix", ["opt/target/", "params/", "params/img/"])
def test_npz_with_a_prefix(tmp_path, prefix):
    theirs = timm_vit(SMALL)
    agree(theirs, pretrained.read(as_npz(theirs, tmp_path / "v.npz", 3, prefix)).build(), pixels(SMALL))


def test_npz_of_big_vision(tmp_path):
    theirs = timm_vit(SMALL)
    with torch.no_grad():
        theirs.pos_embed[:, 0] = 0  # there the class token has no place
    path = as_npz(theirs, tmp_path / "v.npz", 3, kind="big_vision")
    agree(theirs, pretrained.read(path).build(), pixels(SMALL))


def test_npz_of_a_scanned_model(tmp_path):
    theirs = timm_vit(SMALL)
    with np.load(as_npz(theirs, tmp_path / "v.npz", 3)) as file:
        arrays = dict(file)
    scanned = {name: value for name, value in arrays.items() if "encoderblock" not in name}
    for name in [name for name in arrays if "encoderblock_0/" in name]:
        blocks = [arrays[name.replace("_0/", f"_{block}/", 1)] for block in range(2)]
        scanned[name.replace("encoderblock_0/", "encoderblock/")] = np.stack(blocks)
    np.savez(tmp_path / "scanned.npz", **scanned)
    agree(theirs, pretrained.read(tmp_path / "scanned.npz").build(), pixels(SMALL))


@pytest.mark.parametrize(
    ("library", "name"),
    [("timm", "resnet18"), ("torchvision", "resnet18"), pytest.param("timm", "resnet34", marks=pytest.mark.full_size)],
)
def test_resnets(tmp_path, library, name):
    make = timm.create_model if library == "timm" else torchvision.models.get_model
    theirs = randomised(make(name, num_classes=11))
    torch.save(theirs.state_dict(), tmp_path / "resnet.pth")
    checkpoint = pretrained.read(tmp_path / "resnet.pth")
    agree(theirs, checkpoint.build(), torch.randn(2, 3, 64, 64))
    assert checkpoint.sizes["layers"] == ((2, 2, 2, 2) if name == "resnet18" else (3, 4, 6, 3))


@pytest.mark.parametrize("grid", [2, 4, 7])
def test_positions_for_another_size(grid):
    """Each source's own way of interpolating, against the library that has it."""
    from timm.layers import resample_abs_pos_embed

    positions = torch.randn(1, 1 + 5 * 5, 24)
    expected = resample_abs_pos_embed(positions, [grid, grid], num_prefix_tokens=1)
    resized = pretrained.checkpoint.resize_positions
    assert_close(resized(positions, grid, 1, "bicubic_antialias"), expected)
    theirs = torchvision.models.vision_transformer.interpolate_embeddings(
        grid * 5, 5, {"encoder.pos_embedding": positions}
    )
    assert_close(resized(positions, grid, 1, "bicubic_corners"), theirs["encoder.pos_embedding"])


def test_positions_of_hugging_face():
    theirs = randomised(transformers.ViTModel(hf_config(SMALL)))
    with torch.no_grad():
        patches = torch.randn(1, 1 + 7 * 7, 24)
        expected = theirs.embeddings.interpolate_pos_encoding(patches, 35, 35)
        found = pretrained.checkpoint.resize_positions(theirs.embeddings.position_embeddings, 7, 1, "bicubic")
    assert_close(found, expected)


def test_positions_of_the_jax_code():
    scipy = pytest.importorskip("scipy.ndimage")
    positions = torch.randn(1, 1 + 5 * 5, 24)
    found = pretrained.checkpoint.resize_positions(positions, 7, 1, "bilinear_corners")
    expected = scipy.zoom(positions[0, 1:].reshape(5, 5, 24).numpy(), (7 / 5, 7 / 5, 1), order=1)
    assert_close(found[0, 1:], torch.from_numpy(expected).reshape(49, 24))
    assert_close(found[:, 0], positions[:, 0])
