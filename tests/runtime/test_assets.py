"""The networks that come with the package are what their cards and results/runs.csv say."""

import csv
import hashlib
import json
import os
from pathlib import Path

import pytest

import mien
from mien.assets import asset, backbones, shipped
from mien.runtime import Network
from mien.runtime.card import model_card
from mien.runtime.seal import KEY, network_of

RUNS = Path(__file__).parents[2] / "results" / "runs.csv"
LIMITS = {
    "tiny": (250_000, 1_000_000),
    "nano": (600_000, 2_000_000),
    "base": (5_200_000, 11_000_000),
    "vit": (10_000_000, 12_000_000),
}  # parameters, bytes
# Of each, before its claims were worked out again: sha256 of the network, temperature, threshold, similarity, and the
# sum of the sets' least probabilities.
UNCHANGED = {
    "base": (
        "4363c1b89365ae33644c3ee8ea8ed47cc4d1d432696ad0831e9292ac19941baf",
        0.6006095570917644, 0.5562081952772145, 0.576714038848877, 0.8398848776705563,
    ),
    "tiny": (
        "8992396c374b8ad8ef4c84651ba8e2814035a75131c502288aaa99d59dbd1726",
        0.6622681940055841, 0.5585634595657837, 0.6015603542327881, 0.720752120949328,
    ),
    "nano": (
        "79655186f97e7f1fcaf44c15fbf894f34a32277fd36dbfe5f42a422bd05c8c3b",
        0.8049537600846868, 0.5846059165856546, 0.7032489776611328, 0.7525926487485108,
    ),
    "vit": (
        "c232e4127d436221eb22b8cbb2f10b7de1665659a404f676a440419d9a0d8c0b",
        0.7997435015830792, 0.5868659108565273, 0.9575284719467163, 0.8848863594779786,
    ),
}  # fmt: skip
COPIES = {
    "base": (280, 623),
    "tiny": (280, 623),
    "nano": (1, 484),
    "vit": (1, 484),
}  # of validation images: identical, near
DATA = Path(os.environ.get("MIEN_TEST_DATA", "nowhere"))


def test_something_comes_with_the_package():
    assert "tiny" in shipped()


@pytest.mark.parametrize("name", shipped())
def test_size_card_and_licence(name):
    parameters, size = LIMITS[name]
    network = Network.open(f"mien:{name}")
    assert network.card["parameters"] <= parameters
    assert asset(name, "model.onnx").stat().st_size <= size
    assert b".py" not in asset(name, "model.onnx").read_bytes()  # of whoever exported it
    assert asset(name, "card.md").read_text() == model_card(network, f"mien:{name}")
    assert "FER2013" in asset(name, "LICENSE").read_text()
    assert network.card["calibration_error"] <= (0.04 if name in ("nano", "vit") else 0.03)


@pytest.mark.parametrize("name", shipped())
def test_the_accuracy_is_that_of_a_recorded_run(name):
    assert_recorded(Network.open(f"mien:{name}").card)


@pytest.mark.parametrize("name", shipped())
def test_sealed_again_the_network_and_all_that_its_answers_rest_on_are_those_of_before(name):
    path = asset(name, "model.onnx")
    network = Network.open(path, threads=1)
    text = network.session.get_modelmeta().custom_metadata_map[KEY]
    content, *numbers = UNCHANGED[name]
    assert hashlib.sha256(network_of(path.read_bytes(), text)).hexdigest() == content
    assert [network.temperature, network.threshold, network.outlier_below, sum(network.sets.least)] == numbers


@pytest.mark.parametrize("name", shipped())
def test_a_card_says_every_claim_and_what_it_means(name):
    network = Network.open(f"mien:{name}")
    card, text = network.card, model_card(network, name)
    identical, near = COPIES[name]
    copies = f"Of the validation images {identical} are identical to one of train, and {near} more are near copies"
    assert copies in text
    assert f"| {card['clean']['accuracy']:.1%} | " in text
    assert f"| {card['clean']['images']:,} |" in text
    low, high = card["label_disagreement"]["best_interval"]
    assert f"at most {card['label_disagreement']['best']:.1%} ({low:.1%} to {high:.1%}) of answers to be right" in text
    assert f"at most {card['wrong_at_most']:.0%} of the answers are wrong" in text
    assert f"95 % interval {card['sets']['interval'][0]:.1%} to {card['sets']['interval'][1]:.1%}" in text
    assert "The test split has not been read." in text
    assert card["outliers"]["reached"] == pytest.approx(0.95, abs=0.005)


@pytest.mark.parametrize("name", backbones())
def test_a_backbone_is_small_has_its_papers_and_a_recorded_run(name):
    folder = asset(name, "config.json").parent
    config = json.loads((folder / "config.json").read_text())
    network = mien.from_pretrained(f"mien:{name}")
    assert sum(each.numel() for each in network.parameters()) == config["parameters"]
    assert (folder / "model.safetensors").stat().st_size <= 12_000_000
    assert f"{config['validation_accuracy']:.1%} of" in (folder / "card.md").read_text()
    assert "ImageNet" in (folder / "LICENSE").read_text()
    assert_recorded(config)


def assert_recorded(card):
    """Some run of the recipe in results/runs.csv has this accuracy on validation."""
    with RUNS.open(newline="") as file:
        recorded = [
            float(row["value"])
            for row in csv.DictReader(file)
            if (row["recipe"], row["split"], row["metric"]) == (card["recipe"], "validation", "accuracy")
        ]
    assert any(abs(card["validation_accuracy"] - value) < 2e-3 for value in recorded)  # weights are fp16


@pytest.mark.skipif(not (DATA / "fer2013").is_dir(), reason="MIEN_TEST_DATA names no folder with fer2013")
@pytest.mark.parametrize("name", shipped())
def test_the_accuracy_is_measured_again(name, tmp_path, monkeypatch):
    from mien.config import Data
    from mien.evaluate.exported import evaluate_export

    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    network = Network.open(f"mien:{name}")
    scores = evaluate_export(network, Data(source="fer2013", path=DATA / "fer2013"))
    assert scores.accuracy == pytest.approx(network.card["validation_accuracy"], abs=1e-3)


@pytest.mark.skipif(not (DATA / "media").is_dir(), reason="MIEN_TEST_DATA names no folder with media")
def test_every_clear_face_is_found_once():
    reader = mien.load("mien:tiny")
    counts = {"biden.jpg": 1, "obama-480p.jpg": 1, "two_people.jpg": 2, "no-faces.jpg": 0}
    assert {name: len(reader.read(DATA / "media" / name)) for name in counts} == counts
