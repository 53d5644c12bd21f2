"""Image classifiers of transformers that mien has no network for: adopted, they answer as they did. Random weights."""

import json

import numpy as np
import pytest
import torch
from noise_pictures import LABELS, draw_noise
from PIL import Image
from transformers_networks import NETWORKS, PROCESSOR, saved

import mien
from mien.errors import DataError, UsageError

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return draw_noise(tmp_path_factory.mktemp("pictures"), 4, (13, 9), times=4)


@pytest.mark.parametrize("kind", list(NETWORKS))
def test_it_answers_as_in_its_own_library(kind, tmp_path, pictures):
    theirs = saved(kind, tmp_path / kind)
    run = mien.adopt(tmp_path / kind, tmp_path / "run", data=pictures)
    found = run.predictions()
    resized = [
        Image.open(pictures / name).convert("RGB").resize((32, 32), Image.Resampling.BICUBIC) for name in found.names
    ]
    pixels = torch.tensor(np.stack(resized), dtype=torch.float32).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(PROCESSOR[key]).view(3, 1, 1) for key in ("image_mean", "image_std"))
    with torch.no_grad():
        logits = theirs(pixel_values=(pixels - mean) / std).logits
    assert found.classes == LABELS
    assert np.abs(found.probabilities - logits.softmax(1).numpy()).max() < 1e-5
    assert len(set(found.predicted.tolist())) > 1 or logits.std() > 0.1
    exported = mien.export(run, weights="fp32")
    assert exported.difference < 1e-4


def test_names_that_say_nothing_are_asked_for(tmp_path):
    saved("convnext", tmp_path / "x")
    config = json.loads((tmp_path / "x" / "config.json").read_text())
    config["id2label"] = {str(number): f"LABEL_{number}" for number in range(3)}
    (tmp_path / "x" / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="does not say what its 3 classes are"):
        mien.adopt(tmp_path / "x", tmp_path / "run")
    assert mien.adopt(tmp_path / "x", tmp_path / "run", labels=LABELS).env.classes == LABELS


def test_code_of_a_folder_is_not_run(tmp_path):
    saved("convnext", tmp_path / "x")
    config = json.loads((tmp_path / "x" / "config.json").read_text())
    (tmp_path / "x" / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "evil.Model"}}))
    (tmp_path / "x" / "evil.py").write_text("raise SystemExit('run')")
    with pytest.raises(DataError, match="names code"):
        mien.adopt(tmp_path / "x", tmp_path / "run")


def test_an_unknown_kind_of_network_is_refused(tmp_path):
    saved("convnext", tmp_path / "x")
    config = json.loads((tmp_path / "x" / "config.json").read_text())
    (tmp_path / "x" / "config.json").write_text(json.dumps(config | {"model_type": "convnxt"}))
    with pytest.raises(UsageError, match="no image classifier of model_type 'convnxt'"):
        mien.adopt(tmp_path / "x", tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"depths": [1, 1, 2, 1]}, r"it lacks convnext\.encoder\.stages\.2"),
        ({"depths": [1, 1, 1, 1], "hidden_sizes": [8, 12, 16, 24]}, r"it has of another shape classifier\.weight"),
    ],
    ids=["lacks", "shape"],
)
def test_weights_of_another_network_are_refused(change, told, tmp_path, capfd):
    """In mien's sentence alone: transformers' own report is kept back, and its settings are as they were."""
    saved("convnext", tmp_path / "x")
    config = json.loads((tmp_path / "x" / "config.json").read_text())
    (tmp_path / "x" / "config.json").write_text(json.dumps(config | change))
    settings = transformers.utils.logging
    before, bar = settings.get_verbosity(), settings.is_progress_bar_enabled()
    capfd.readouterr()
    with pytest.raises(DataError, match=rf"does not fit its config\.json: {told}"):
        mien.adopt(tmp_path / "x", tmp_path / "run")
    assert capfd.readouterr() == ("", "")
    assert (settings.get_verbosity(), settings.is_progress_bar_enabled()) == (before, bar)
