import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from tiny_models import CNNS, SIZES, VITS, classifier, network

import mien
from mien.errors import DataError, MissingError, UsageError
from mien.explain.attention import weights
from mien.explain.attribution import attribute, methods_of
from mien.models.protocol import Step


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("in_chans", [1, 3])
def test_everything_of_every_model(kind, in_chans, picture):
    model, side = classifier(kind, in_chans), SIZES[kind]["img_size"]
    found = mien.explain(model, picture, methods=("saliency",))
    np.testing.assert_array_equal(found.image, model.preprocessing.pixels(Image.fromarray(picture)))
    scaled = model.preprocessing.scale(torch.from_numpy(found.image.copy())[None].float() / 255)
    np.testing.assert_allclose(found.probabilities, model(scaled).softmax(1)[0].detach(), atol=1e-6)
    assert found.label == model.labels[found.target] == model.labels[found.probabilities.argmax()]
    np.testing.assert_allclose(found.maps["saliency"], attribute(model, scaled, "saliency")[0], rtol=1e-4)
    assert found.filters.shape[1] == in_chans
    assert found.walk[0].shape == (in_chans, side, side)
    assert found.walk[-1].shape == (5,)
    assert all(step.text.endswith(".") for step in found.walk)
    if kind in VITS:
        np.testing.assert_allclose(found.attention, weights(model, scaled)[:, 0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(torch.tensor(found.attention_logits).softmax(-1), found.attention, atol=1e-6)
        assert kind == "vit_relative" or found.positions.shape == (found.tokens.grid,) * 4
        assert found.feature_maps == {}
    else:
        assert found.tokens is found.attention is found.attention_logits is found.positions is None
        assert all(maps.ndim == 3 for maps in found.feature_maps.values())


def test_all_methods_unless_told(picture):
    model = classifier("vit")
    assert tuple(mien.explain(model, picture).maps) == methods_of(model)
    assert mien.explain(model, picture, methods=()).maps == {}


def test_the_walk_of_a_vision_transformer(picture):
    found = [(step.name, step.shape) for step in mien.explain(classifier("vit", 3), picture, ()).walk]
    assert found == [
        ("image", (3, 21, 21)),
        ("patches", (9, 147)),
        ("embedding", (9, 20)),
        ("prefix", (10, 20)),
        ("position", (10, 20)),
        ("block 1", (10, 20)),
        ("block 2", (10, 20)),
        ("block 3", (10, 20)),
        ("pooling", (20,)),
        ("head", (5,)),
        ("probabilities", (5,)),
    ]


def test_the_walk_of_a_vit_with_a_hidden_layer(picture):
    model = classifier("vit")
    model.model = network("vit", representation_size=13)
    walk = mien.explain(model, picture, ()).walk
    assert [(step.name, step.shape[-1]) for step in walk[-4:-1]] == [("pooling", 20), ("hidden layer", 13), ("head", 5)]


def test_the_walk_of_a_distilled_vit(picture):
    walk = mien.explain(classifier("vit_distilled"), picture, ()).walk
    assert [step.name for step in walk[-3:]] == ["pooling", "head", "probabilities"]
    assert "mean of both heads" in " ".join(step.text for step in walk)


def test_the_walk_of_vtff(picture):
    found = [(step.name, step.shape) for step in mien.explain(classifier("vtff", 3), picture, ()).walk]
    assert found == [
        ("image", (3, 14, 14)),
        ("binary pattern", (1, 14, 14)),
        ("branches", (2, 5, 7, 7)),
        ("fusion", (5, 7, 7)),
        ("embedding", (49, 22)),
        ("prefix", (50, 22)),
        ("position", (50, 22)),
        ("block 1", (50, 22)),
        ("block 2", (50, 22)),
        ("block 3", (50, 22)),
        ("pooling", (22,)),
        ("head", (5,)),
        ("probabilities", (5,)),
    ]


def test_the_walk_of_the_shallow_vit(picture):
    walk = mien.explain(classifier("shallow_vit"), picture, ()).walk
    assert [(step.name, step.shape) for step in walk[3:-1]] == [
        ("position", (4, 12)),
        ("block 1", (4, 12)),
        ("block 2", (4, 12)),
        ("pooling", (48,)),
        ("head", (5,)),
    ]
    assert "same weights" in walk[5].text
    assert "same weights" not in walk[4].text


def test_the_walk_of_lenet_and_its_maps(picture):
    """At 32 pixels, as in the source reports, they are 6 x 28 x 28 and 16 x 10 x 10; here the side is 29."""
    found = mien.explain(classifier("lenet"), picture, ())
    assert [(step.name, step.shape) for step in found.walk] == [
        ("image", (1, 29, 29)),
        ("features.1", (6, 25, 25)),
        ("features.4", (16, 8, 8)),
        ("vector", (256,)),
        ("classifier.0", (120,)),
        ("classifier.2", (84,)),
        ("classifier.4", (5,)),
        ("probabilities", (5,)),
    ]
    assert found.walk[1].text == "1 convolution, 1 ReLU: 6 maps of 25 x 25 numbers."
    assert found.walk[2].text == "1 max-pooling, 1 convolution, 1 ReLU: 16 maps of 8 x 8 numbers."
    assert found.walk[3].text == "1 max-pooling. 16 maps of 4 x 4, side by side."
    assert found.walk[5].text == "1 ReLU, then a matrix turns 120 numbers into 84."
    shapes = {name: maps.shape for name, maps in found.feature_maps.items()}
    assert shapes == {"features.0": (6, 25, 25), "features.1": (6, 25, 25), "features.4": (16, 8, 8)}
    assert found.filters.shape == (6, 1, 5, 5)


def test_the_walk_of_a_resnet(picture):
    walk = mien.explain(classifier("resnet"), picture, ()).walk
    assert [(step.name, step.shape) for step in walk[1:-1]] == [
        ("stem", (3, 23, 23)),
        ("layer1", (3, 23, 23)),
        ("layer2", (5, 12, 12)),
        ("vector", (5,)),
        ("fc", (5,)),
    ]
    layers = "2 convolutions, 2 batch norms, 2 ReLUs, each map weighed by a gate (squeeze-excitation)"
    assert walk[2].text == f"{layers}, beside a shortcut: 3 maps of 23 x 23 numbers."
    assert (
        walk[3].text
        == f"{layers}, beside a shortcut with its own convolution and batch norm: 5 maps of 12 x 12 numbers."
    )
    assert walk[4] == Step("vector", (5,), "The mean of each map.")


@pytest.mark.parametrize("kind", CNNS)
def test_the_first_filters_and_the_first_maps_belong_together(kind, picture):
    found = mien.explain(classifier(kind), picture, ())
    assert next(iter(found.feature_maps.values())).shape[0] == len(found.filters)


def test_filters_of_the_shallow_vit_are_laid_out_as_it_cuts_patches():
    model = classifier("shallow_vit", 3)
    patch = torch.randn(1, 3, 22, 22)
    filters = torch.from_numpy(mien.explain(model, np.zeros((22, 22, 3), np.uint8), ()).filters)
    with torch.no_grad():
        tokens = torch.nn.functional.conv2d(patch, filters, stride=11).flatten(2).transpose(1, 2)
        expected = {}
        model.model.embed.register_forward_hook(lambda module, inputs, output: expected.update(tokens=output))
        model(patch)
    torch.testing.assert_close(tokens, expected["tokens"])


def test_the_class_to_explain_by_name_or_number(picture):
    model = classifier("cnn_v2")
    by_name, by_number = (mien.explain(model, picture, ("grad_cam",), target) for target in ("dog", 3))
    assert by_name.target == by_number.target == 3
    np.testing.assert_array_equal(by_name.maps["grad_cam"], by_number.maps["grad_cam"])
    with pytest.raises(UsageError, match=r"The model has no class 'dig'\. Did you mean 'dog'\? It has ant, bee, cat"):
        mien.explain(model, picture, target="dig")
    with pytest.raises(UsageError, match="Class 5 is not one of the model's 5"):
        mien.explain(model, picture, target=5)


def test_pictures_of_every_kind(tmp_path, picture):
    model = classifier("vit_avg", 3)
    image = Image.fromarray(picture)
    image.save(tmp_path / "photo.png")
    expected = mien.explain(model, picture, ())
    for given in (tmp_path / "photo.png", str(tmp_path / "photo.png"), image):
        found = mien.explain(model, given, ())
        np.testing.assert_array_equal(found.image, expected.image)
        assert found.notes == ()
    grey = mien.explain(model, picture[..., 0], ())
    np.testing.assert_array_equal(grey.image[0], grey.image[2])
    for mode in ("1", "P", "LA", "RGBA", "CMYK", "I;16"):
        assert mien.explain(model, image.convert("L").convert(mode), ()).image.shape == (3, 21, 21)


def test_of_an_animation_the_first_frame_and_a_note(tmp_path):
    frames = [Image.new("L", (21, 21), grey) for grey in (10, 200, 90)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    model = classifier("vit")
    with Image.open(tmp_path / "moving.gif") as opened:
        opened.seek(2)
        for given in (tmp_path / "moving.gif", opened):
            found = mien.explain(model, given, ())
            assert np.unique(found.image).tolist() == [10]
            assert found.notes == ("The file holds several pictures; the first one is explained.",)
        assert opened.tell() == 2


def test_what_is_no_picture(tmp_path, picture):
    model = classifier("vit")
    (tmp_path / "photo.png").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"photo\.png cannot be read as an image \(no image format recognised\)"):
        mien.explain(model, tmp_path / "photo.png")
    with pytest.raises(MissingError, match=r"phto\.png: there is no such picture\. Did you mean '.*photo\.png'\?"):
        mien.explain(model, tmp_path / "phto.png")
    (tmp_path / "phto.py").touch()
    with pytest.raises(MissingError, match=r"phto\.jpg: there is no such picture\.( Did you mean '.*photo\.png'\?)?$"):
        mien.explain(model, tmp_path / "phto.jpg")
    with pytest.raises(DataError, match=r"An array float64 \(3, 3\) is no picture\. Give a path, a PIL image"):
        mien.explain(model, np.zeros((3, 3)))
    for array in (np.zeros((3, 3, 4), np.uint8), np.zeros((0, 3), np.uint8), np.zeros(3, np.uint8)):
        with pytest.raises(DataError, match=r"is no picture"):
            mien.explain(model, array)
    with pytest.raises(DataError, match="A list is no picture"):
        mien.explain(model, [[0, 1]])


def test_what_is_no_classifier_or_no_method(picture):
    with pytest.raises(UsageError, match=r"takes a Classifier, not CnnV2: mien\.from_pretrained\('RUN'\) is one"):
        mien.explain(classifier("cnn_v2").model, picture)
    with pytest.raises(UsageError, match=r"CnnV2 has no method 'rollout'"):
        mien.explain(classifier("cnn_v2"), picture, methods=("rollout",))


def test_a_saved_model_is_explained(tmp_path, picture):
    model = classifier("vit_conv")
    again = mien.from_pretrained(model.save_pretrained(tmp_path / "model"))
    for name, expected in mien.explain(model, picture).maps.items():
        np.testing.assert_allclose(mien.explain(again, picture, (name,)).maps[name], expected, rtol=1e-4, atol=1e-6)


def test_explain_is_a_verb_and_a_package():
    """In a new process, since it matters which of them is asked for first."""
    code = "import mien; verb = mien.explain; import mien.explain.capture as module; from mien import explain; "
    code += "assert explain is verb is mien.explain and verb.capture is module and callable(verb)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_attention_from_a_patch_by_hand():
    found = mien.explain(classifier("vit"), np.zeros((21, 21), np.uint8), ())
    values = np.arange(1 * 2 * 10 * 10, dtype=np.float32).reshape(1, 2, 10, 10)  # a class token, 3 x 3 patches
    found = replace(found, attention=values, attention_logits=-values)
    np.testing.assert_array_equal(found.attention_from((1, 2))[0, 1], values[0, 1, 6, 1:].reshape(3, 3))
    np.testing.assert_array_equal(found.attention_from((1, 2), raw=True)[0, 1], -values[0, 1, 6, 1:].reshape(3, 3))
    np.testing.assert_array_equal(found.attention_from()[0, 0], values[0, 0, 0, 1:].reshape(3, 3))
    without = replace(found, tokens=replace(found.tokens, pool="avg"))
    np.testing.assert_allclose(without.attention_from()[0, 0].flatten(), values[0, 0, 1:, 1:].mean(axis=0))
    with pytest.raises(UsageError, match=r"Patch \(0, 3\) is not one of the 3 x 3: rows and columns go from 0 to 2"):
        found.attention_from((0, 3))
    with pytest.raises(UsageError, match="has no attention weights"):
        mien.explain(classifier("cnn_v2"), np.zeros((21, 21), np.uint8), ()).attention_from((0, 0))


def test_the_feature_maps_of_an_export_are_what_its_file_computes(picture):
    found = mien.explain("mien:tiny", picture, methods=(), verdicts=False)
    graph = onnx.load(Path(mien.__file__).parent / "assets" / "tiny" / "model.onnx")
    head = next(node for node in graph.graph.node if node.op_type in ("ReduceMean", "GlobalAveragePool"))
    graph.graph.output.append(onnx.helper.make_tensor_value_info(head.input[0], onnx.TensorProto.FLOAT, None))
    pixels = mien.from_pretrained("mien:tiny").preprocessing.scale(found.image[None].astype(np.float32) / 255)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    (maps,) = session.run([head.input[0]], {"images": np.asarray(pixels, np.float32)})
    assert list(found.feature_maps)[-1] == "layer4"
    np.testing.assert_allclose(found.feature_maps["layer4"], maps[0], atol=1e-4)
