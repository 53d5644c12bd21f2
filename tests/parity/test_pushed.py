"""What mien push uploads is read by the libraries that have the network, with equal logits. Random weights."""

import json

import pytest
import torch
from torch.testing import assert_close
from transformers_networks import saved

import mien
from mien.models import create_model
from mien.preprocessing import Preprocessing
from mien.pretrained import Classifier, exchange

LABELS = ("amber", "birch", "coral")
PIXELS = Preprocessing(size=32, channels=3, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.25), interpolation="bicubic")


def network(name, pixels=PIXELS, **sizes):
    torch.manual_seed(0)
    sizes = {"img_size": 32, "in_chans": pixels.channels, "num_classes": 3, **sizes}
    model = create_model(name, **sizes).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.4)
    return Classifier(model, name, sizes, LABELS, pixels)


def logits(model, images):
    with torch.no_grad():
        return model(images)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_vit_for_transformers(tmp_path, channels):
    transformers = pytest.importorskip("transformers")
    pixels = Preprocessing(size=32, channels=channels)
    ours = network("vit", pixels, patch_size=8, embed_dim=24, depth=2, num_heads=2, act_layer="gelu_tanh")
    assert exchange.save(ours, tmp_path) == "transformers"
    theirs = transformers.AutoModelForImageClassification.from_pretrained(tmp_path).eval()
    images = torch.randn(5, channels, 32, 32)
    assert_close(theirs(images).logits, logits(ours, images), rtol=0, atol=1e-5)
    assert tuple(theirs.config.id2label.values()) == LABELS
    back = mien.from_pretrained(tmp_path)
    assert (back.labels, back.preprocessing, back.sizes) == (LABELS, pixels, ours.sizes)
    assert_close(logits(back, images), logits(ours, images), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["swin", "convnext", "beit"])
def test_an_adopted_network_of_transformers(tmp_path, kind):
    transformers = pytest.importorskip("transformers")
    saved(kind, tmp_path / "theirs", _name_or_path="/home/ann/secret")
    run = mien.adopt(tmp_path / "theirs", tmp_path / "run")
    ours = mien.from_pretrained(run)
    assert exchange.save(ours, tmp_path / "pushed") == "transformers"
    assert "/home/ann" not in (tmp_path / "pushed" / "config.json").read_text()
    theirs = transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "pushed").eval()
    images = torch.randn(5, 3, 32, 32)
    assert_close(theirs(images).logits, logits(ours, images), rtol=0, atol=1e-5)
    back = mien.from_pretrained(tmp_path / "pushed")
    assert (back.labels, back.preprocessing) == (LABELS, ours.preprocessing)
    assert_close(logits(back, images), logits(ours, images), rtol=0, atol=1e-6)
    again = mien.adopt(tmp_path / "pushed", tmp_path / "again")
    assert again.env.classes == LABELS


@pytest.mark.parametrize("name", ["timm:convnext_atto", "timm:vit_tiny_patch16_224"])
def test_a_network_of_timm(tmp_path, name):
    timm = pytest.importorskip("timm")
    ours = network(name)
    assert exchange.save(ours, tmp_path) == "timm"
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["label_names"] == list(LABELS)
    theirs = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    images = torch.randn(2, 3, 32, 32)
    assert_close(logits(theirs, images), logits(ours, images), rtol=0, atol=1e-5)
    assert tuple(theirs.pretrained_cfg["mean"]) == PIXELS.mean
    back = mien.from_pretrained(tmp_path)
    assert (back.labels, back.preprocessing) == (LABELS, PIXELS)
    assert_close(logits(back, images), logits(ours, images), rtol=0, atol=1e-6)


def test_what_nobody_else_has_is_in_our_own_format(tmp_path):
    ours = network("vit", patch_size=8, embed_dim=24, depth=2, num_heads=2, global_pool="avg")
    assert exchange.save(ours, tmp_path) == ""
    assert "model_type" not in json.loads((tmp_path / "config.json").read_text())
    images = torch.randn(2, 3, 32, 32)
    assert_close(logits(mien.from_pretrained(tmp_path), images), logits(ours, images), rtol=0, atol=1e-6)


def test_weights_that_another_library_trained_further_are_not_taken_for_ours(tmp_path):
    transformers = pytest.importorskip("transformers")
    exchange.save(network("vit", patch_size=8, embed_dim=24, depth=2, num_heads=2), tmp_path)
    theirs = transformers.AutoModelForImageClassification.from_pretrained(tmp_path)
    torch.nn.init.zeros_(theirs.classifier.weight)
    theirs.save_pretrained(tmp_path)
    with pytest.raises(mien.MienError, match=r"is not the file that was written.*remove the part 'mien' of its"):
        mien.from_pretrained(tmp_path)
