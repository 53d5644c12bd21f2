"""What is none of the classes: features found in the graph, the nearest training images, threshold, answers."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper
from tiny_models import classifier

from mien import outliers
from mien.runtime.network import Network
from mien.tracing import trace


class Images:
    """As much of a store as is asked for: noise of one brightness for training and validation alike."""

    def __init__(self, preprocessing, train=40, validation=20, seed=0):
        shape = (preprocessing.channels, preprocessing.size, preprocessing.size)
        self.images = np.random.default_rng(seed).integers(0, 256, (train + validation, *shape), dtype=np.uint8)
        self.preprocessing = preprocessing
        self.parts = {"train": np.arange(train), "validation": np.arange(train, train + validation)}

    def indices(self, split):
        return self.parts[split]


def similarities(path, inputs):
    session = onnxruntime.InferenceSession(path.read_bytes())
    return session.run(["logits", "similarity"], {"images": inputs})


@pytest.mark.parametrize("kind", ["resnet", "vit_flatten", "cnn_v2"])
def test_the_similarity_is_that_worked_out_in_numpy(kind, tmp_path, monkeypatch):
    """The cosine with the fifth nearest, and the logits stay as they were."""
    monkeypatch.setattr(outliers, "DIRECTIONS", 6)
    whole = classifier(kind)
    path = tmp_path / "model.onnx"
    trace(whole.model, whole.preprocessing, path)
    images = Images(whole.preprocessing)
    inputs = whole.preprocessing.scale(images.images[40:47].astype(np.float32) / 255).astype(np.float32)
    before = Network.bare(path).run(inputs)
    references = outliers.add_similarity(path, images)
    assert references == 40
    logits, similar = similarities(path, inputs)
    np.testing.assert_array_equal(logits, before)
    model = onnx.load(path)
    kept = {each.name: onnx.numpy_helper.to_array(each).astype(np.float64) for each in model.graph.initializer}
    features = outliers._run(model, "outliers.features", images, np.arange(40, 47)).astype(np.float64)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    told = unit @ kept["outliers.directions.fp16"]
    expected = np.sort(told @ kept["outliers.references.fp16"], axis=1)[:, -5]
    np.testing.assert_allclose(similar, expected, atol=2e-3)
    reached = outliers._run(model, "similarity", images, images.indices("validation"))
    found = outliers.fit_outliers(reached, references)
    assert np.mean(reached >= found.threshold) == found.reached == pytest.approx(0.95, abs=0.05)


def test_a_picture_answers_the_same_in_any_company(tmp_path):
    whole = classifier("resnet")
    path = tmp_path / "model.onnx"
    trace(whole.model, whole.preprocessing, path)
    images = Images(whole.preprocessing)
    outliers.add_similarity(path, images)
    inputs = whole.preprocessing.scale(images.images[:9].astype(np.float32) / 255).astype(np.float32)
    together = similarities(path, inputs)[1]
    np.testing.assert_allclose(
        np.concatenate([similarities(path, one[None])[1] for one in inputs]), together, atol=1e-5
    )


def test_fields_keep_where_things_lie():
    """A map of one channel whose left third is bright, averaged over 3 x 3 fields; 7 x 7 has fields that overlap."""
    for side in (6, 7, 9):
        nodes = [
            helper.make_node("Relu", ["images"], ["map"]),
            helper.make_node("GlobalAveragePool", ["map"], ["mean"]),
            helper.make_node("Flatten", ["mean"], ["flat"]),
            helper.make_node("Gemm", ["flat", "w"], ["logits"]),
        ]
        weight = onnx.numpy_helper.from_array(np.ones((1, 2), np.float32), "w")
        shapes = [
            helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 1, side, side]),
            helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2]),
        ]
        graph = helper.make_graph(nodes, "g", shapes[:1], shapes[1:], [weight])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        name = outliers._append_features(model)
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
        image = np.zeros((1, 1, side, side), np.float32)
        image[..., : side // 3] = 1
        session = onnxruntime.InferenceSession(model.SerializeToString())
        found = session.run([name], {"images": image})[0].reshape(3, 3)
        assert found.shape == (3, 3)
        assert (found[:, 0] > 0.5).all()
        assert (found[:, 2] == 0).all()


def test_a_network_without_a_last_linear_layer_tells_nothing(tmp_path):
    class Odd(torch.nn.Module):
        def forward(self, images):
            return images.mean(dim=(2, 3)).sigmoid()

    whole = classifier("resnet")
    path = tmp_path / "model.onnx"
    trace(Odd(), whole.preprocessing, path)
    content = path.read_bytes()
    assert outliers.add_similarity(path, Images(whole.preprocessing)) is None
    assert path.read_bytes() == content
