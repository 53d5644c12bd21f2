"""Exported files read back without torch: what they answer and say of themselves, and damaged ones."""

import json
from dataclasses import replace

import numpy as np
import pytest

import mien
from mien.config import Data
from mien.errors import DataError, MienError, MissingError, UsageError
from mien.evaluate.calibration import NEVER
from mien.evaluate.exported import evaluate_export
from mien.evaluate.run_model import load_model
from mien.export import _compare, _refuse_difference, export
from mien.runs import Predictions
from mien.runtime import Network
from mien.runtime.card import model_card
from mien.runtime.network import locate
from mien.runtime.seal import seal


def test_an_export_holds_no_path_of_the_machine_it_was_made_on(finished):
    """torch notes at every node which line of which file it comes from."""
    assert b".py" not in (finished / "model.onnx").read_bytes()


def test_an_export_answers_as_the_run_does(finished, faces):
    """At batch sizes other than the traced one, 2, through the run's own model in torch and through the file."""
    import torch

    model, labels, preprocessing = load_model(finished)
    network = Network.open(finished)
    assert network.labels == labels
    assert network.preprocessing == preprocessing
    for count in (1, 5):
        pixels = faces[:count, None]
        with torch.no_grad():
            expected = model(torch.from_numpy(preprocessing.scale(pixels.astype(np.float32) / 255)))
        shares = (expected / network.temperature).softmax(1).numpy()
        np.testing.assert_allclose(network.probabilities(pixels), shares, atol=1e-5)


def test_the_card_says_where_it_comes_from(finished):
    card = Network.open(finished).card
    scores = json.loads((finished / "evaluation.json").read_text())["validation"]
    assert card["recipe"] == "tiny"
    assert card["validation_accuracy"] == pytest.approx(scores["accuracy"], abs=1e-6)
    assert (card["mien"], len(card["fingerprint"])) == (mien.__version__, 64)


def test_a_score_on_the_images_of_the_training_comes_with_a_warning(finished, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    network = Network.open(finished)
    old = replace(network, card={key: value for key, value in network.card.items() if key != "content"})
    for export_, images, split, warned in (
        (network, 140, "all", True),
        (network, 140, "train", True),
        (network, 140, "validation", False),
        (network, 70, "all", False),
        (old, 140, "all", False),  # an export of before the card told
    ):
        evaluate_export(export_, Data(source="drawn_faces", images=images), split)
        assert ("very images that the network was trained on" in capsys.readouterr().err) == warned, (images, split)


def test_half_the_size_in_fp16(finished, tmp_path):
    half = export(finished, tmp_path / "half.onnx", weights="fp16")
    assert (finished / "model.onnx").stat().st_size - half.size > 0.4 * 4 * 15_000
    assert half.difference < 5e-3


def test_an_export_that_answers_otherwise_is_refused(finished, tmp_path):
    path, manifest = finished / "predictions.npz", finished / "manifest.json"
    before, hashes = path.read_bytes(), manifest.read_bytes()
    manifest.unlink()  # so that a file may change
    found = Predictions.load(path)
    try:
        Predictions(found.names, found.labels, np.roll(found.probabilities, 1, axis=1), found.classes).save(path)
        with pytest.raises(MienError, match=r"differ from those of .* by up to .*nothing was written"):
            export(finished, tmp_path / "x.onnx", weights="fp32")
        one_less = (found.names[:-1], found.labels[:-1], found.probabilities[:-1])
        Predictions(*one_less, found.classes).save(path)
        with pytest.raises(MienError, match=r"is not of the run's 70 validation images.* again: `mien\.evaluate\("):
            export(finished, tmp_path / "x.onnx", weights="fp32")
    finally:
        path.write_bytes(before)
        manifest.write_bytes(hashes)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match=r"an export ends in \.onnx"):
        export(finished, tmp_path / "x.pt")


@pytest.mark.parametrize("weights", ["fp32", "fp16", "int8"])
def test_an_export_that_answers_no_number_is_refused(weights, tmp_path):
    right = Predictions(["a"], np.array([0]), np.array([[0.9, 0.1]]), ("x", "y"))
    none = Predictions(["a"], np.array([0]), np.full((1, 2), np.nan), ("x", "y"))
    with pytest.raises(MienError, match=r"differ from those of .* by up to nan, .*nothing was written"):
        _refuse_difference(_compare(none, right, weights)[0], weights, tmp_path)


def test_the_card_of_a_model_that_is_never_sure_says_so(finished):
    network = Network.open(finished)
    for answered in (0, 0.5):  # 0.1.0 wrote the share that half of the images would have allowed
        never = replace(network, card=network.card | {"threshold": NEVER, "answered": answered, "wrong": 0.75})
        said = model_card(never, "never")
        assert "Every image is answered with “unsure”: none of" in said
        assert "get an answer" not in said


def test_the_card_speaks_of_expressions_where_the_network_knows_some(finished):
    network = Network.open(finished)
    assert "emotions" in model_card(network, "faces")
    pets = model_card(replace(network, labels=("cat", "dog")), "pets")
    assert "expression" not in pets
    assert "emotion" not in pets
    assert "It answers cat or dog to every picture" in pets
    assert "not for decisions about people" in pets


def with_other_weights(content: bytes) -> bytes:
    """One bit of the largest weight turned over; the metadata stay as they are."""
    import onnx

    model = onnx.load_from_string(content)
    largest = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    raw = bytearray(largest.raw_data)
    raw[1] ^= 1
    place = content.index(largest.raw_data)
    return content[:place] + bytes(raw) + content[place + len(raw) :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content.replace(b"conv1.weight", b"conv1.wEight", 1),
        lambda content: content + b"x",
        lambda content: content[:-1],
    ],
)
def test_an_empty_or_damaged_file_is_no_model(tmp_path, damage):
    path = tmp_path / "a.onnx"
    path.write_bytes(damage(locate("mien:tiny").read_bytes()))
    with pytest.raises(DataError, match=r"a\.onnx cannot be read as an ONNX model: it is damaged, or was changed"):
        Network.open(path)


def test_a_misspelt_model_names_the_nearest_and_where_all_are_listed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-vit").mkdir()
    (tmp_path / "my-vit" / "model.onnx").touch()
    for given, meant in {"tiny": "mien:tiny", "my-vti": "my-vit"}.items():
        with pytest.raises(MissingError, match=rf"^{given}: there .* Did you mean '{meant}'\? With mien come "):
            locate(given)


def test_a_tampered_or_foreign_file(finished, tmp_path):
    import onnx

    content = (finished / "model.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"cut\.onnx cannot be read as an ONNX model"):
        mien.load(tmp_path / "cut.onnx")
    model = onnx.load(finished / "model.onnx")
    values = json.loads(model.metadata_props[-1].value)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(DataError, match="not one that mien exported"):
        mien.load(tmp_path / "foreign.onnx")
    for name, change in {"labels": ["a", "b"], "calibration": {}}.items():
        model.metadata_props.append(onnx.StringStringEntryProto(key="mien", value=json.dumps(values | {name: change})))
        onnx.save(model, tmp_path / f"{name}.onnx")
        del model.metadata_props[:]
        with pytest.raises(DataError, match=rf"{name}\.onnx was changed after it was exported"):
            mien.load(tmp_path / f"{name}.onnx")
    (tmp_path / "weights.onnx").write_bytes(with_other_weights(content))
    with pytest.raises(DataError, match=r"weights\.onnx was changed after it was exported"):
        mien.load(tmp_path / "weights.onnx")
    (tmp_path / "no.onnx").write_bytes(seal(model.SerializeToString(), {"labels": ["a"]}))
    with pytest.raises(DataError, match=r"no\.onnx is damaged: its metadata cannot be read"):
        mien.load(tmp_path / "no.onnx")
    onnx.save(model, tmp_path / "apart.onnx", save_as_external_data=True, location="weights.bin")
    (tmp_path / "apart.onnx").write_bytes(seal((tmp_path / "apart.onnx").read_bytes(), values))
    with pytest.raises(DataError, match=r"apart\.onnx keeps weights in another file, which nothing proves"):
        mien.load(tmp_path / "apart.onnx")
    model = onnx.load(finished / "model.onnx")
    del model.metadata_props[:]
    del values["fingerprint"]
    (tmp_path / "two.onnx").write_bytes(seal(model.SerializeToString(), values | {"labels": ["a", "b"]}))
    with pytest.raises(DataError, match=r"two\.onnx was changed: it takes .* and 2 labels"):
        mien.load(tmp_path / "two.onnx")
    with pytest.raises(MissingError, match=r"has no model\.onnx\. If it is a finished run: `mien\.export\("):
        mien.load(tmp_path)
