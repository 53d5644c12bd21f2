"""Checkpoints as people have them: what is read, and one sentence for each thing that cannot be.

Rows are (what is wrong, how the file is made, exit code, sentence); all files are made here from one small network.
"""

import argparse
import io
import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save, save_file

from mien import pretrained
from mien.errors import MienError
from mien.models import create_model

SIZES = {"img_size": 8, "patch_size": 4, "embed_dim": 6, "depth": 2, "num_heads": 2, "num_classes": 3, "in_chans": 3}
HF = {
    "model_type": "vit",
    "hidden_size": 6,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": 8,
    "patch_size": 4,
    "id2label": {"0": "a", "1": "b", "2": "c"},
}
TIMM = {"architecture": "vit_tiny_patch16_224", "num_classes": 3, "model_args": {"num_heads": 2}}
PARTS = (
    ("patch_embed.proj.", "embeddings.patch_embeddings.projection."),
    ("pos_embed", "embeddings.position_embeddings"),
    ("cls_token", "embeddings.cls_token"),
    (".norm1.", ".layernorm_before."),
    (".norm2.", ".layernorm_after."),
    (".attn.proj.", ".attention.output.dense."),
    (".mlp.fc1.", ".intermediate.dense."),
    (".mlp.fc2.", ".output.dense."),
    ("blocks.", "encoder.layer."),
)


@pytest.fixture(scope="module")
def weights():
    torch.manual_seed(0)
    model = create_model("vit", init="torch", **SIZES)
    return {name: torch.randn_like(value) for name, value in model.state_dict().items()}


@pytest.fixture(scope="module")
def hf_weights(weights):
    """The same under the names of transformers."""
    found = {}
    for name, value in weights.items():
        for ours, theirs in PARTS:
            name = name.replace(ours, theirs)
        if ".attn.qkv." in name:
            parts = zip(("query", "key", "value"), value.chunk(3), strict=True)
            found |= {"vit." + name.replace("attn.qkv", f"attention.attention.{part}"): v for part, v in parts}
        else:
            head = name.startswith("head.")
            found["classifier." + name[5:] if head else "vit." + name.replace("norm.", "layernorm.")] = value
    return {name: value.clone() for name, value in found.items()}


def under(prefix, weights):
    return {prefix + name: value for name, value in weights.items()}


def half(weights):
    """Another network's weights, to tell which was taken."""
    return {name: value / 2 for name, value in weights.items()}


READ = {
    "bare.pth": lambda w: w,
    "compiled.pt": lambda w: under("_orig_mod.", w),
    "parallel.bin": lambda w: under("module.", w),
    "both.pth": lambda w: under("module._orig_mod.", w),
    "compiled inside.pth": lambda w: {n.replace("blocks.1.", "blocks.1._orig_mod."): v for n, v in w.items()},
    "lightning.ckpt": lambda w: {"state_dict": under("model.", w), "epoch": 3, "optimizer_states": [{"state": {}}]},
    "net.ckpt": lambda w: {"state_dict": under("net.", w), "hyper_parameters": {"lr": 1e-3}},
    "backbone.pth": lambda w: {"model_state_dict": under("backbone.", w), "loss": 0.1},
    "own prefix.pth": lambda w: under("my.classifier_net.", w),
    "model.pth": lambda w: {"model": w, "optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{}]}},
    "ema.pth": lambda w: {"state_dict": half(w), "state_dict_ema": w},
    "model_ema.pth": lambda w: {"model": half(w), "model_ema": {"state_dict": w}},
    "dino.pth": lambda w: {"student": under("module.backbone.", half(w)), "teacher": under("backbone.", w)},
    "nested.pth": lambda w: {"checkpoint": {"model": w}},
    "older.pth": lambda w: {"params": {n: v.half().float() for n, v in w.items()}},
    "with numbers.pth": lambda w: {**w, "epoch": 7},
}


@pytest.mark.parametrize("name", READ)
def test_what_wraps_a_network_is_taken_off(tmp_path, weights, name):
    torch.save(READ[name](weights), tmp_path / name)
    model = pretrained.read(tmp_path / name, num_heads=2).build()
    wanted = {n: v.half().float() for n, v in weights.items()} if name == "older.pth" else weights
    for key, value in model.state_dict().items():
        assert torch.equal(value, wanted[key]), key


def test_what_is_not_taken_is_said(tmp_path, weights, capsys):
    body = {name: value for name, value in weights.items() if not name.startswith("head")}
    torch.save({"state_dict": {**under("backbone.", body), "fc.weight": torch.zeros(3, 6)}}, tmp_path / "a.ckpt")
    assert pretrained.read(tmp_path / "a.ckpt", 2).sizes["num_classes"] == 0
    assert "the network is backbone; left out: 1 tensor beside it, fc.weight" in capsys.readouterr().err
    torch.save({"model": weights, "model_ema": weights}, tmp_path / "b.pth")
    pretrained.read(tmp_path / "b.pth", 2)
    assert "b.pth holds model, model_ema; model_ema is taken." in capsys.readouterr().err


def test_safetensors_by_any_name(tmp_path, weights):
    save_file(weights, tmp_path / "a.bin")
    assert pretrained.read(tmp_path / "a.bin", 2).sizes["depth"] == 2


def torched(make):
    """A maker of a file that torch.save writes."""

    def write(path, weights):
        torch.save(make(weights), path)

    return write


def raw(content):
    return lambda path, weights: path.write_bytes(content)


def cut(path, weights):
    buffer = io.BytesIO()
    torch.save(weights, buffer)
    path.write_bytes(buffer.getvalue()[:-200])


def scripted(path, weights):
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)


BAD_FILES = [
    ("an empty file", "a.pth", raw(b""), 4, r"a\.pth is empty\. Download or copy it again"),
    ("a web page", "a.pth", raw(b"<!DOCTYPE html><html>404"), 4, r"a\.pth is a web page\. Download the file"),
    ("a web page", "a.safetensors", raw(b"\n<html>"), 4, r"a\.safetensors is a web page"),
    ("a pointer of git-lfs", "a.bin", raw(b"version https://git-lfs.github.com/spec/v1\n"), 4, r"pointer of git-lfs"),
    ("Keras", "a.ckpt", raw(b"\x89HDF\r\n\x1a\n"), 4, r"a\.ckpt is an HDF5 file, as Keras writes it"),
    ("gzip", "a.pth", raw(b"\x1f\x8b\x08\x00"), 4, r"a\.pth is packed with gzip\. Unpack it first"),
    ("a GGUF file", "a.bin", raw(b"GGUF\x03\x00"), 4, r"a\.bin is a GGUF file"),
    ("a zip cut short", "a.pth", cut, 4, r"a\.pth is cut short: its end is missing after [\d,]+ bytes"),
    (
        "safetensors cut short",
        "a.safetensors",
        lambda path, weights: path.write_bytes(save(weights)[:-100]),
        4,
        r"a\.safetensors is cut short: [\d,]+ of [\d,]+ bytes are there",
    ),
    ("text", "a.pt", raw(b"weights"), 4, r"a\.pt (is damaged or no \.pt file|holds more than tensors)"),
    (
        "another suffix",
        "a.txt",
        raw(b"weights"),
        4,
        r"no file of weights that mien reads \(\.safetensors, \.pth, .*\.ckpt",
    ),
    (
        "a whole module",
        "a.pth",
        torched(lambda w: torch.nn.Linear(2, 2)),
        4,
        r"more than tensors \(torch\.nn.*\)\. It could",
    ),
    (
        "arguments beside it",
        "a.pth",
        torched(lambda w: {"model": w, "args": argparse.Namespace(lr=1)}),
        4,
        r"a\.pth holds more than tensors \(argparse\.Namespace\)\. It could run code",
    ),
    ("a pickle", "a.bin", raw(pickle.dumps({"a": np.zeros(2)})), 4, r"a\.bin holds more than tensors"),
    ("a TorchScript program", "a.pt", scripted, 4, r"a\.pt is a TorchScript program, not weights alone"),
    (
        "an optimizer only",
        "a.pth",
        torched(lambda w: torch.optim.AdamW([torch.nn.Parameter(torch.zeros(2))]).state_dict()),
        4,
        r"a\.pth holds the state of an optimizer, no network's tensors\. Save the network's: torch\.save",
    ),
    ("one tensor", "a.pt", torched(lambda w: w["pos_embed"]), 4, r"a\.pt holds one tensor \(1, 5, 6\), no network's"),
    ("a list", "a.pt", torched(lambda w: list(w.values())), 4, r"a\.pt holds a list, no dictionary of tensors"),
    ("nothing", "a.pt", torched(lambda w: {}), 4, r"a\.pt holds an empty dictionary"),
    ("numbers alone", "a.pt", torched(lambda w: {"epoch": 1}), 4, r"a\.pt holds epoch, but no network's tensors"),
    (
        "two networks",
        "a.pth",
        torched(lambda w: {"generator": w, "critic": w}),
        4,
        r"a\.pth holds several networks: generator, critic\. Save the one that is meant",
    ),
    (
        "two networks behind prefixes",
        "a.pth",
        torched(lambda w: under("left.", w) | under("right.", w)),
        4,
        r"a\.pth holds several networks: left, right",
    ),
    (
        "another architecture",
        "a.pth",
        torched(lambda w: {n.replace("attn.qkv", "attn.q"): v for n, v in w.items()}),
        4,
        r"no Vision Transformer or ResNet that mien knows: 28 of its 32 tensors have names of one; the first that has "
        r"not is blocks\.0\.attn\.q\.weight",
    ),
    (
        "Swin",
        "a.pth",
        torched(lambda w: {"model": {"layers.0.blocks.0.attn.relative_position_bias_table": torch.zeros(2, 2)}}),
        4,
        r"its tensors are named layers\.0\.blocks\.0",
    ),
    (
        "registers",
        "a.pth",
        torched(lambda w: w | {"reg_token": torch.zeros(1, 4, 6)}),
        4,
        r"does not fit the model: 32 of its 33 tensors do; it has unknown reg_token\.",
    ),
    (
        "another shape",
        "a.pth",
        torched(lambda w: {**w, "norm.bias": torch.zeros(4)}),
        4,
        r"norm\.bias is \(4,\), not \(6,\)",
    ),
    (
        "a part is missing",
        "a.pth",
        torched(lambda w: {n: v for n, v in w.items() if n != "blocks.1.norm1.bias"}),
        4,
        r"31 of its 31 tensors do; it lacks blocks\.1\.norm1\.bias\.",
    ),
]


@pytest.mark.parametrize(("what", "name", "make", "code", "sentence"), BAD_FILES, ids=[row[0] for row in BAD_FILES])
def test_a_file_that_cannot_be_used(tmp_path, weights, what, name, make, code, sentence):
    make(tmp_path / name, weights)
    with pytest.raises(MienError, match=sentence) as caught:
        pretrained.read(tmp_path / name, num_heads=2).build()
    assert caught.value.exit_code == code
    assert "\n" not in str(caught.value)


SETTINGS = [
    ("hf", {"model_type": "beit"}, None, r"model_type in its config\.json is 'beit'; mien's ViT reads vit and deit"),
    ("hf", {"hidden_act": "mish"}, None, r"hidden_act in its config\.json is 'mish'; mien's ViT has gelu"),
    ("hf", {"layer_norm_eps": "small"}, None, r"layer_norm_eps in its config\.json is 'small'; a number above 0"),
    ("hf", {"layer_norm_eps": 0}, None, r"layer_norm_eps in its config\.json is 0; a number above 0"),
    ("hf", {"hidden_size": 12}, None, r"hidden_size in its config\.json is 12; the weights say 6"),
    ("hf", {"num_hidden_layers": 12}, None, r"num_hidden_layers in its config\.json is 12; the weights say 2"),
    ("hf", {"image_size": [8, 16]}, None, r"image_size in its config\.json is \[8, 16\]; mien's networks see squares"),
    ("hf", {"qkv_bias": False}, None, r"qkv_bias in its config\.json is False; the weights say True"),
    ("hf", {"id2label": {"0": "a", "1": "b"}}, None, r"id2label in its config\.json is .*the head has 3 classes"),
    ("hf", {"id2label": {"x": "a"}}, None, r"id2label .* its keys must be the numbers of the classes"),
    ("hf", {"id2label": ["a", "b", "c"]}, None, r"id2label .*an object is needed"),
    ("hf", {"problem_type": "multi_label_classification"}, None, r"problem_type .*exclude each other"),
    ("hf", {"auto_map": {"AutoModel": "mine.Net"}}, None, r"auto_map .*names code"),
    ("hf", {"quantization_config": {"bits": 4}}, None, r"quantization_config .*weights are packed"),
    ("hf", {"pooler_act": "relu"}, None, r"pooler_act in its config\.json is 'relu'; mien's ViT has the tanh only"),
    ("hf", {}, {"size": {"height": 8, "width": 9}}, r"size in its preprocessor_config\.json .*see squares"),
    ("hf", {}, {"size": 16}, r"size in its preprocessor_config\.json is 16; the weights are for images of 8 pixels"),
    ("hf", {}, {"size": {"shortest_edge": 8}}, r"size .*what comes out is no square"),
    ("hf", {}, {"size": 8, "image_processor_type": "BitImageProcessor"}, r"size .*its image processor alone knows"),
    ("hf", {}, {"do_center_crop": True, "size": 9, "crop_size": 6}, r"crop_size .* the weights are for images of 8"),
    ("hf", {}, {"do_pad": True}, r"do_pad in its preprocessor_config\.json is True; mien does not prepare"),
    ("hf", {}, {"do_flip_channel_order": True}, r"do_flip_channel_order .*does not prepare pictures that way"),
    ("hf", {}, {"do_sharpen": True}, r"do_sharpen .*mien does not know what it does to pictures"),
    ("hf", {}, {"resample": 9}, r"resample .*a number from 0 to 5"),
    ("hf", {}, {"do_rescale": "no"}, r"do_rescale .*true or false is needed"),
    ("hf", {}, {"rescale_factor": -1}, r"rescale_factor .*a number above 0"),
    ("hf", {}, {"image_std": [0.5, 0, 0.5]}, r"image_std .*must be above 0"),
    ("hf", {}, {"image_mean": [0.5, 0.5]}, r"image_mean .*one number is needed, or three"),
    ("hf", {}, {"crop_pct": 0.9}, r"size in its preprocessor_config\.json .*with crop_pct it is"),
    ("timm", {"num_classes": 1000}, None, r"num_classes in its config\.json is 1000; the weights say 3"),
    (
        "timm",
        {"global_pool": "map"},
        None,
        r"global_pool in its config\.json is 'map'; mien reads timm's ViT with token",
    ),
    ("timm", {"model_args": {"act_layer": "mish"}}, None, r"model_args\.act_layer in its config\.json is 'mish'"),
    (
        "timm",
        {"model_args": {"num_heads": 2, "embed_dim": 12}},
        None,
        r"model_args\.embed_dim in its config\.json is 12; the weights",
    ),
    ("timm", {"pretrained_cfg": {"crop_mode": "border"}}, None, r"pretrained_cfg\.crop_mode .*have no borders"),
    ("timm", {"pretrained_cfg": {"crop_pct": 1.2}}, None, r"pretrained_cfg\.crop_pct .*a share of the side"),
    (
        "timm",
        {"pretrained_cfg": {"interpolation": "random"}},
        None,
        r"pretrained_cfg\.interpolation .*mien has bicubic",
    ),
    ("timm", {"pretrained_cfg": {"input_size": [3, 8, 16]}}, None, r"pretrained_cfg\.input_size .*see squares"),
    (
        "timm",
        {"pretrained_cfg": {"input_size": [1, 8, 8]}},
        None,
        r"pretrained_cfg\.input_size .*take \[3, S, S\]",
    ),
    ("timm", {"pretrained_cfg": [1]}, None, r"pretrained_cfg in its config\.json is \[1\]; an object is needed"),
    ("timm", {"label_names": ["a"]}, None, r"label_names .*the head has 3 classes"),
]


@pytest.mark.parametrize(("kind", "config", "processor", "sentence"), SETTINGS, ids=[row[3][:40] for row in SETTINGS])
def test_settings_that_are_refused(tmp_path, weights, hf_weights, kind, config, processor, sentence):
    save_file(hf_weights if kind == "hf" else weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps((HF if kind == "hf" else TIMM) | config))
    if processor is not None:
        (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": 8} | processor))
    with pytest.raises(MienError, match=sentence) as caught:
        pretrained.read(tmp_path)
    assert caught.value.exit_code == 4


def test_unknown_settings_are_named(tmp_path, hf_weights, weights, capsys):
    save_file(hf_weights, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(HF | {"rotary": True}))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": 8, "gamma": 2.2}))
    found = pretrained.read(tmp_path / "model.safetensors")  # a file reads what lies beside it
    assert (found.labels, found.sizes["norm_eps"]) == (("a", "b", "c"), 1e-12)
    name = "blocks.1.attn.qkv.weight"
    assert torch.equal(found.build().state_dict()[name], weights[name])
    said = capsys.readouterr().err
    assert "does not know in its config.json changes nothing here: rotary (True)." in said
    assert "does not know in its preprocessor_config.json changes nothing here: gamma (2.2)." in said


def test_a_folder_without_weights(tmp_path):
    (tmp_path / "tf_model.h5").write_bytes(b"x")
    with pytest.raises(MienError, match=r"holds none of .* It holds tf_model\.h5: name the file") as caught:
        pretrained.read(tmp_path)
    (tmp_path / "model-00001-of-00002.safetensors").write_bytes(b"x")
    with pytest.raises(MienError, match=r"has its weights in 1 parts, model-00001-of-00002\.safetensors first"):
        pretrained.read(tmp_path)
    assert caught.value.exit_code == 3
