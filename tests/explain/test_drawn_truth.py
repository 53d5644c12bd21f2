import json

import numpy as np
import pytest
import torch

from mien.cli import main
from mien.data.sources.drawn_faces import draw_new, draw_pairs
from mien.errors import UsageError
from mien.explain.drawn_truth import SHUFFLED, Judged, _Known, evidence, on_drawn_faces
from mien.labels import FER2013
from mien.models import create_model
from mien.preprocessing import Preprocessing
from mien.pretrained import Classifier

SIZE = 32


def classifier(labels=FER2013) -> Classifier:
    torch.manual_seed(0)
    sizes = {"img_size": SIZE, "in_chans": 1, "num_classes": len(labels), "widths": (4, 4)}
    preprocessing = Preprocessing(size=SIZE, channels=1, mean=(0.5,), std=(0.25,))
    return Classifier(create_model("cnn_v2", **sizes), "cnn_v2", sizes, tuple(labels), preprocessing)


@pytest.fixture(scope="module")
def known() -> _Known:
    return _Known(classifier(), draw_new(FER2013, 21, 0, SIZE), draw_pairs(FER2013, 12, 0, SIZE))


def scored(known: _Known, on_faces: np.ndarray, before: np.ndarray, after: np.ndarray) -> Judged:
    """Maps that are known."""
    given = {len(known.images): [on_faces], len(known.before): [before, after]}
    return known.of(lambda images, _: given[len(images)].pop().astype(np.float32))


def test_maps_that_know_the_truth_hit_always(known):
    found = scored(known, known.evidence, np.zeros_like(known.moved), known.moved)
    assert (found.pointing.hits, found.pointing.images, found.chosen) == (1, 10, 1)
    assert (found.causal.hits, found.causal.marks, found.causal.pairs) == (1, 0, 12)
    assert found.causal.random == pytest.approx(known.moved.mean())


def test_maps_of_what_there_is_to_see_change_at_the_marks(known):
    found = scored(known, ~known.evidence, known.marks, np.zeros_like(known.marks))
    assert found.pointing.hits < 0.5
    assert (found.causal.hits, found.causal.marks) == (0, 1)


def test_every_method_stands_beside_maps_that_know_nothing():
    found = on_drawn_faces(classifier(), ("saliency", "grad_cam"), faces=20, pairs=6)
    assert list(found.methods) == ["saliency", "grad_cam"]
    assert list(found.controls) == ["edges", "from the blurred", f"{found.best}, {SHUFFLED}"]
    assert found.controls["edges"].causal.marks > 0.5
    assert found.faces == 20
    assert 0 <= found.accuracy < 0.6


def test_the_evidence_is_at_most_a_fifth_of_the_head():
    for _, face in draw_new(FER2013, 14, 3, SIZE):
        assert 0 < evidence(face).sum() <= 0.2 * face.head.sum() + 3
        assert not (evidence(face) & ~face.regions).any()


def test_a_model_of_other_classes_is_refused():
    with pytest.raises(UsageError, match=r"Drawn faces show angry, .*; the model tells cat, dog apart"):
        on_drawn_faces(classifier(("cat", "dog")), ("saliency",))


def test_the_command(capsys):
    assert main(["explain", "mien:tiny", "--drawn", "20", "--methods", "saliency", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["best"], found["faces"], found["methods"]["saliency"]["causal"]["pairs"]) == ("saliency", 20, 10)
    assert main(["explain", "mien:tiny", "--methods", "saliency"]) == 2
    assert "Give either a picture to explain, or --drawn 400" in capsys.readouterr().err
