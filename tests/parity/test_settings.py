"""Settings that transformers and timm store beside their weights: mien gives the library's logits, or refuses.

Random weights, and a drawn photo that is no square, so that resizing and cutting matter.
"""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.testing import assert_close

import mien
from mien.errors import DataError

HOW = "the reference libraries are not installed: .ci/run does it, apart from mien's own (CONTRIBUTING.md)"
pytest.importorskip("torchvision", reason=HOW)
timm = pytest.importorskip("timm", reason=HOW)
transformers = pytest.importorskip("transformers", reason=HOW)

CLASSES = 11
SIZES = {"hidden_size": 24, "num_hidden_layers": 2, "intermediate_size": 96, "image_size": 24, "patch_size": 8}
STRANGE = [127.5, 110.0, 140.0]


@pytest.fixture(scope="module")
def photo():
    pixels = np.random.default_rng(0).integers(0, 256, (13, 19, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((61, 45), Image.Resampling.BICUBIC)


def randomised(model):
    torch.manual_seed(0)
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.randn_like(value) * 0.05 + (1.0 if "running_var" in name else 0.0))
            value.abs_() if "running_var" in name else value
    return model.eval()


def ours(folder, photo):
    """mien's logits of a photo, through its own preprocessing."""
    found = mien.from_pretrained(folder)
    pixels = torch.from_numpy(found.preprocessing.pixels(photo)).float() / 255
    with torch.no_grad():
        return found(found.preprocessing.scale(pixels)[None])


def same(found, expected):
    assert expected.std() > 1e-4
    assert_close(found, expected, rtol=0, atol=1e-5 * max(1.0, float(expected.abs().max())))


def hf_folder(folder, config=None, processor=None, kind="ViT"):
    """A folder as save_pretrained writes it; returns the network and its (Pillow) image processor."""
    made = getattr(transformers, f"{kind}Config")(
        **{**SIZES, "num_attention_heads": 3, "num_labels": CLASSES, **(config or {})}
    )
    teacher = "WithTeacher" if kind == "DeiT" else ""  # which reads both its tokens, as mien does
    model = randomised(getattr(transformers, f"{kind}ForImageClassification{teacher}")(made))
    model.save_pretrained(folder)
    settings = {"size": {"height": 24, "width": 24}, **(processor or {})}
    prepares = getattr(transformers, f"{kind}ImageProcessorPil")(**settings)
    prepares.save_pretrained(folder)
    return model, prepares


CONFIGS = [
    {"layer_norm_eps": 1e-12},
    {"layer_norm_eps": 1e-5},
    {"layer_norm_eps": 0.1},
    {"num_attention_heads": 6},
    {"num_attention_heads": 1},
    {"qkv_bias": False},
    *({"hidden_act": act} for act in ("gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_python")),
    *({"hidden_act": act} for act in ("quick_gelu", "relu", "silu", "swish")),
]
PROCESSORS = [
    {},
    {"do_rescale": False, "image_mean": STRANGE, "image_std": [60.0, 50.0, 70.0]},
    {"do_rescale": False, "image_mean": 127.5, "image_std": 127.5},
    {"do_normalize": False},
    {"do_normalize": False, "do_rescale": False},
    {"rescale_factor": 1 / 127.5, "image_mean": [1.0] * 3, "image_std": [1.0] * 3},
    {"rescale_factor": 1 / 100, "image_mean": [0.3, 0.4, 0.5], "image_std": [0.3, 0.2, 0.4]},
    *({"resample": number} for number in range(6)),
    {"do_center_crop": True, "size": {"height": 32, "width": 32}, "crop_size": {"height": 24, "width": 24}},
    {"do_center_crop": True, "size": {"height": 35, "width": 35}, "crop_size": {"height": 24, "width": 24}},
    {"do_center_crop": True, "size": {"shortest_edge": 26}, "crop_size": {"height": 24, "width": 24}},
]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_config_of_transformers(tmp_path, photo, config):
    model, prepares = hf_folder(tmp_path, config)
    with torch.no_grad():
        same(ours(tmp_path, photo), model(prepares(photo, return_tensors="pt").pixel_values).logits)


@pytest.mark.parametrize("processor", PROCESSORS, ids=str)
def test_processor_of_transformers(tmp_path, photo, processor):
    model, prepares = hf_folder(tmp_path, processor=processor)
    with torch.no_grad():
        same(ours(tmp_path, photo), model(prepares(photo, return_tensors="pt").pixel_values).logits)


def test_deit_of_transformers(tmp_path, photo):
    """Its processor cuts the middle out, also where its file does not say so."""
    processor = {"size": {"height": 28, "width": 28}, "crop_size": {"height": 24, "width": 24}}
    model, prepares = hf_folder(tmp_path, processor=processor, kind="DeiT")
    file = tmp_path / "preprocessor_config.json"
    file.write_text(json.dumps({k: v for k, v in json.loads(file.read_text()).items() if k != "do_center_crop"}))
    with torch.no_grad():
        same(ours(tmp_path, photo), model(prepares(photo, return_tensors="pt").pixel_values).logits)


def test_a_picture_of_the_size_alone(tmp_path, photo):
    model, prepares = hf_folder(tmp_path, processor={"do_resize": False})
    small = photo.resize((24, 24))
    with torch.no_grad():
        same(ours(tmp_path, small), model(prepares(small, return_tensors="pt").pixel_values).logits)


def timm_folder(folder, model, cfg=None, **more):
    """A folder as timm's push_to_hf_hub writes it."""
    save_file(model.state_dict(), folder / "model.safetensors")
    side = 48
    given = {"input_size": [3, side, side], "num_classes": CLASSES, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}
    config = {"architecture": "vit_tiny_patch16_224", "num_classes": CLASSES, "pretrained_cfg": given | (cfg or {})}
    (folder / "config.json").write_text(json.dumps(config | more))
    return given | (cfg or {})


def transformed(cfg, photo):
    config = timm.data.resolve_data_config(pretrained_cfg=cfg)
    return timm.data.create_transform(**config)(photo)[None]


CFGS = [
    {},
    {"crop_pct": 1.0, "interpolation": "bilinear"},
    {"crop_pct": 0.9},
    {"crop_pct": 0.95, "interpolation": "lanczos"},
    {"crop_pct": 0.8, "crop_mode": "squash", "interpolation": "nearest"},
    {"mean": [0.5] * 3, "std": [0.5] * 3},
]


def timm_vit(**more):
    sizes = {"img_size": 48, "patch_size": 16, "embed_dim": 24, "depth": 2, "num_heads": 3, "num_classes": CLASSES}
    return randomised(timm.models.VisionTransformer(**{**sizes, **more}))


@pytest.mark.parametrize("cfg", CFGS, ids=str)
def test_pretrained_cfg_of_timm(tmp_path, photo, cfg):
    model = timm_vit()
    cfg = timm_folder(tmp_path, model, cfg, model_args={"num_heads": 3})
    with torch.no_grad():
        same(ours(tmp_path, photo), model(transformed(cfg, photo)))


@pytest.mark.parametrize("act", ["gelu", "gelu_tanh", "quick_gelu", "relu", "silu"])
def test_act_layer_of_timm(tmp_path, photo, act):
    model = timm_vit(act_layer=act, num_heads=6)
    cfg = timm_folder(tmp_path, model, model_args={"num_heads": 6, "act_layer": act, "drop_rate": 0.1})
    with torch.no_grad():
        same(ours(tmp_path, photo), model(transformed(cfg, photo)))


def test_a_resnet_of_timm(tmp_path, photo):
    model = randomised(timm.create_model("resnet18", num_classes=CLASSES))
    names = [f"class {number}" for number in range(CLASSES)]
    cfg = timm_folder(tmp_path, model, architecture="resnet18", global_pool="avg", label_names=names)
    with torch.no_grad():
        same(ours(tmp_path, photo), model(transformed(cfg, photo)))
    assert mien.from_pretrained(tmp_path).labels == tuple(names)


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ({"act_layer": "mish"}, r"model_args\.act_layer in its config\.json is 'mish'"),
        ({"class_token": False, "global_pool": "avg"}, r"model_args\.global_pool in its config\.json is 'avg'"),
        ({"norm_layer": "rmsnorm"}, r"model_args\.norm_layer in its config\.json is 'rmsnorm'"),
        ({"rope": True}, r"model_args\.rope in its config\.json is True; mien's ViT has no such argument"),
    ],
)
def test_arguments_of_timm_that_are_refused(tmp_path, args, sentence):
    timm_folder(tmp_path, timm_vit(), model_args=args)
    with pytest.raises(DataError, match=sentence):
        mien.from_pretrained(tmp_path)


def test_what_transformers_and_timm_write_is_known(tmp_path, capsys):
    """Nothing of their own files is named as unknown."""
    hf_folder(tmp_path)
    values = transformers.ViTConfig(**SIZES, num_attention_heads=3, num_labels=CLASSES).to_dict()
    (tmp_path / "config.json").write_text(json.dumps(values))
    mien.from_pretrained(tmp_path)
    hf_folder(tmp_path, None, {"size": {"height": 28, "width": 28}, "crop_size": {"height": 24, "width": 24}}, "DeiT")
    mien.from_pretrained(tmp_path)
    model = timm.create_model("vit_tiny_patch16_224", num_classes=CLASSES, img_size=48)
    timm_folder(tmp_path, model, {**model.pretrained_cfg, "input_size": [3, 48, 48]}, global_pool="token")
    mien.from_pretrained(tmp_path)
    assert "does not know" not in capsys.readouterr().err
