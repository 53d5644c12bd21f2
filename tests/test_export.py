"""Exports with weights in int8."""

import numpy as np
import onnx
import pytest
import torch
from tiny_models import classifier, images

from mien.errors import MienError
from mien.export import _command
from mien.recipes import load
from mien.runtime import Network
from mien.tracing import store_weights, trace


@pytest.mark.parametrize("kind", ["vit_flatten", "resnet"])
def test_int8_answers_nearly_as_the_network_does(kind, tmp_path, caplog):
    """At batch sizes other than the traced one, 2; so few channels cost a tenth or so in eight bits."""
    whole = classifier(kind)
    path = tmp_path / "int8.onnx"
    trace(whole.model, whole.preprocessing, path)
    before = [tensor.data_type for tensor in onnx.load(path).graph.initializer if len(tensor.dims) > 1]
    store_weights(path, "int8", images(kind, 40).numpy())
    after = [tensor.data_type for tensor in onnx.load(path).graph.initializer if len(tensor.dims) > 1]
    assert onnx.TensorProto.INT8 in set(after) - set(before)
    assert not [record for record in caplog.records if record.name == "root"]  # the quantiser's advice
    network = Network.bare(path, threads=1)
    for count in (1, 5):
        inputs = images(kind, count)
        with torch.no_grad():
            expected = whole.model(inputs).numpy()
        found = network.run(inputs.numpy())
        assert np.abs(found - expected).mean() < 0.15 * np.abs(expected).mean()
        for one, row in zip(inputs, found, strict=True):  # the same alone as in company
            np.testing.assert_allclose(network.run(one[None].numpy())[0], row, atol=1e-6)


def test_what_torch_cannot_write_is_one_sentence(tmp_path, monkeypatch):
    def fails(*args, **more):
        print("def forward(self, arg0_1): ...")
        raise torch.onnx.OnnxExporterError("Failed to export.\nNext steps: ...") from ValueError(
            "Could not guard\non it"
        )

    monkeypatch.setattr(torch.onnx, "export", fails)
    whole = classifier("resnet")
    with pytest.raises(
        MienError, match=r"^torch cannot write the network ResNet as \.onnx: Could not guard\. Evaluating"
    ):
        trace(whole.model, whole.preprocessing, tmp_path / "model.onnx")


def test_the_command_on_a_card_says_what_the_run_changed():
    recipe = load("fer2013_vit_best")[0]
    assert _command(recipe) == "mien run fer2013_vit_best --seed 0"
    more = recipe.with_(
        seed=3,
        data={"path": "/home/ann/fer2013"},
        model={"init": "/home/ann/runs/start"},
        train={"lr": 0.5, "epochs": 7},
    )
    assert _command(more) == "mien run fer2013_vit_best --seed 3 --model.init RUN --train.epochs 7 --train.lr 0.5"
    kept = recipe.with_(model={"init": "mien:vit-tiny-imagenet"})
    assert _command(kept) == "mien run fer2013_vit_best --seed 0 --model.init mien:vit-tiny-imagenet"
    assert _command(more.with_(name="mine")) == "mien run mine --seed 3"
