"""Exports open in torch again: those that come with mien, new ones, and what is refused."""

import json

import numpy as np
import pytest
import torch
from tiny_models import classifier, images
from torch import nn

import mien
from mien.config import Data, Model, Recipe
from mien.errors import DataError, MissingError
from mien.models import create_model
from mien.pretrained import from_onnx, read, unfold
from mien.runtime import Network
from mien.runtime.seal import seal
from mien.tracing import store_weights, trace
from mien.train.build import read_checkpoint, with_sizes_of
from mien.train.teachers import ExportedNetwork


def with_statistics(kind: str) -> mien.pretrained.Classifier:
    """A tiny model whose batch norms do something."""
    whole, generator = classifier(kind), torch.Generator().manual_seed(0)
    for module in whole.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(generator=generator)
            module.running_mean.normal_(generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
    return whole


def exported(whole, path, weights="fp16", **network):
    """What `mien export` writes, without a run."""
    trace(whole.model, whole.preprocessing, path)
    tensors = unfold.record(whole.model, from_onnx.read_arrays(path)[0])
    store_weights(path, weights, images(whole.name, 40).numpy())
    about = {"name": whole.name, "sizes": whole.sizes, "tensors": tensors} | network
    values = {"mien": "x", "labels": whole.labels, "preprocessing": whole.preprocessing.to_dict(), "network": about}
    values |= {"card": {}, "calibration": {"temperature": 1.0, "threshold": 0.0}}
    path.write_bytes(seal(path.read_bytes(), values))
    return path


@pytest.mark.parametrize("name", ["mien:base", "mien:tiny"])
def test_those_that_come_with_mien_answer_in_torch_as_in_onnxruntime(name):
    inputs = np.random.default_rng(0).normal(size=(16, 1, 48, 48)).astype(np.float32)
    network, opened = Network.open(name), mien.from_pretrained(name)
    with torch.no_grad():
        np.testing.assert_allclose(opened(torch.from_numpy(inputs)).numpy(), network.run(inputs), atol=1e-5)
    assert opened.labels == network.labels
    assert opened.preprocessing == network.preprocessing
    assert sum(each.numel() for each in opened.parameters()) == network.card["parameters"]
    assert read(name).norms_anew


@pytest.mark.parametrize("kind", ["resnet", "cnn_v2", "vit", "shallow_vit"])
def test_an_export_opens_in_torch_with_all_its_tensors(kind, tmp_path):
    whole = with_statistics(kind)
    path = exported(whole, tmp_path / "model.onnx")
    checkpoint, opened = read(path), mien.from_pretrained(path)
    inputs = images(kind, 5)
    with torch.no_grad():
        np.testing.assert_allclose(opened(inputs).numpy(), Network.open(path).run(inputs.numpy()), atol=1e-5)
    assert not checkpoint.norms_anew
    for name, tensor in whole.model.state_dict().items():  # norms to the last bit but for beta, the rest as fp16 has it
        torch.testing.assert_close(opened.model.state_dict()[name], tensor, atol=6e-3, rtol=1e-3, msg=name)


def test_int8_opens_too(tmp_path):
    whole = with_statistics("resnet")  # its head is 5 x 5, and turned on the way to int8
    opened = mien.from_pretrained(exported(whole, tmp_path / "model.onnx", "int8"))
    inputs = images("resnet", 5)
    with torch.no_grad():
        assert (opened(inputs) - whole(inputs)).abs().mean() < 0.03 * whole(inputs).abs().mean()


def test_norms_that_do_nothing_take_up_the_bias():
    model = create_model("resnet", img_size=16, widths=(4,), layers=(1,)).eval()
    arrays = {name: tensor.numpy() for name, tensor in model.state_dict().items() if "bn" not in name}
    arrays["conv1.weight_bias"] = np.arange(4, dtype=np.float32)
    restored = unfold.restore(model, arrays, {})
    inputs = torch.randn(2, 4, 5, 5)
    model.bn1.load_state_dict(
        {name.removeprefix("bn1."): restored[name] for name in restored if "bn1." in name[:4]}, False
    )
    with torch.no_grad():
        torch.testing.assert_close(model.bn1(inputs), inputs + torch.arange(4).view(1, 4, 1, 1))


def test_what_does_not_open(tmp_path, monkeypatch):
    whole = classifier("lenet")
    path = exported(whole, tmp_path / "model.onnx", name="stranger:Net")
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DataError, match=r"model\.onnx names code: model\.name stranger:Net would import"):
        read(path)
    trace(whole.model, whole.preprocessing, path)
    with pytest.raises(DataError, match="not one that mien exported"):
        read(path)
    values = {"mien": "0.1.0", "labels": whole.labels, "preprocessing": whole.preprocessing.to_dict()}
    path.write_bytes(seal(path.read_bytes(), values))
    with pytest.raises(DataError, match=r"does not say which network it holds: it was exported by mien 0\.1\.0"):
        read(path)
    (tmp_path / "network.json").write_text(json.dumps({"name": whole.name, "sizes": whole.sizes}))
    assert read(path).model == "lenet"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(DataError, match=r"was changed|cannot be read"):
        read(path)
    with pytest.raises(MissingError, match="mien:bse does not come with mien"):
        read("mien:bse")


@pytest.mark.parametrize("about", [{"name": "lenet", "sizes": {"img_size": -4}}, {"name": "lenett"}])
def test_an_export_with_wrong_sizes_is_bad_data(about, tmp_path):
    path = exported(classifier("lenet"), tmp_path / "model.onnx", **about)
    with pytest.raises(DataError, match=r"model\.onnx does not say which network it holds"):
        read(path)


def test_training_starts_from_an_export_and_says_that_its_norms_start_anew(caplog):
    recipe = Recipe(name="on", data=Data(source="drawn_faces", size=48), model=Model(init="mien:tiny"))
    with caplog.at_level("INFO", logger="mien"):
        checkpoint = read_checkpoint(recipe)
    assert "mien:tiny: its batch norms were folded into the weights when it was exported" in caplog.text
    assert with_sizes_of(checkpoint, recipe).model.widths == (24, 48, 64, 92)
    kernel = mien.from_pretrained("mien:tiny").model.conv1.weight
    assert torch.equal(checkpoint.build(("a", "b"), num_classes=2).conv1.weight, kernel)


def test_a_teacher_answers_in_torch_as_in_onnxruntime():
    """On the CPU onnxruntime answers; a GPU asks `in_torch`."""
    teacher, inputs = (
        ExportedNetwork("mien:tiny"),
        torch.randn(3, 1, 48, 48, generator=torch.Generator().manual_seed(0)),
    )
    with torch.no_grad():
        torch.testing.assert_close(teacher.in_torch(inputs), teacher(inputs), atol=1e-5, rtol=0)
