"""`mien verify --data.path`: an export and a run work out again what they say of themselves.

Of drawn faces, 70 images of 16 pixels, by a run that mien 0.1 wrote; it has read its test split once.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

import mien
from mien.cli import main
from mien.config import Data
from mien.data import open_store
from mien.errors import UsageError
from mien.evaluate import claims
from mien.export import export
from mien.runs import RunFolder
from mien.runtime.network import Network
from mien.runtime.seal import KEY, network_of, seal

FIXTURES = Path(__file__).parent / "fixtures" / "v0_1_0"
DRAWN = {"source": "drawn_faces"}


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory, cache):
    """The run, with its export in it; tests that change it take a copy."""
    folder = shutil.copytree(FIXTURES / "resnet", tmp_path_factory.mktemp("runs") / "resnet")
    export(folder)
    return folder


def resealed(path: Path, edit, out: Path) -> Path:
    """What somebody makes of a file who changes what it says and knows how it is sealed."""
    content = path.read_bytes()
    text = onnxruntime.InferenceSession(content).get_modelmeta().custom_metadata_map[KEY]
    values = json.loads(text)
    del values["fingerprint"]
    edit(values)
    out.write_bytes(seal(network_of(content, text), values))
    return out


def verdicts(proof, verdict):
    return [claim.name for claim in proof.claims if claim.verdict == verdict]


def test_data_without_validation_images_prove_no_score(run, tmp_path):
    noise = np.random.default_rng(0)
    for label in Network.open(run / "model.onnx").labels:
        (tmp_path / label).mkdir()
        for name in "abc":
            Image.fromarray(noise.integers(256, size=(16, 16), dtype=np.uint8)).save(tmp_path / label / f"{name}.png")
    data = {"source": "folder", "path": str(tmp_path), "folds": 2, "fold": "all"}
    found = {claim.name: claim for claim in mien.verify(run / "model.onnx", data=data).claims}
    assert found["accuracy"].reason == "these data have no validation images"


def test_what_an_export_says_of_itself_holds(run):
    proof = mien.verify(run / "model.onnx", data=DRAWN, robustness=True)
    assert proof.holds
    assert verdicts(proof, "cannot be checked") == ["accuracy on test"]
    assert "only on request: `split='test'`" in proof.claims[-2].reason
    holds = set(verdicts(proof, "holds"))
    assert holds >= {
        "train images", "validation images", "test images", "identical copies, train/test",
        "near copies, train/validation",
        "accuracy", "accuracy on clean images", "macro-F1", "by class", "temperature", "calibration error",
        "coverage of sets", "share that is no outlier", "noise 0.2 standard deviation", "readings of the test split",
    }  # fmt: skip
    told = RunFolder.open(run).scores["validation"]
    found = next(claim.found for claim in proof.claims if claim.name == "accuracy")
    assert (found["accuracy"], found["images"]) == (told.accuracy, told.images)
    assert proof.describe().endswith(f"of {len(proof.claims)} claims {len(holds)} hold, 0 fail, 1 cannot be checked.")


@pytest.mark.parametrize(
    ("edit", "claim"),
    [
        (lambda v: v["card"].update(validation_accuracy=0.9, interval=[0.8, 0.95]), "accuracy"),
        (lambda v: v["card"].update(interval=[0.14, 0.15]), "accuracy"),
        (lambda v: v["card"]["clean"].update(accuracy=0.9), "accuracy on clean images"),
        (lambda v: v["card"].update(macro_f1=0.9), "macro-F1"),
        (lambda v: v["card"]["per_class"]["happy"].update(recall=0.95), "by class"),
        (lambda v: v["card"]["copies"]["near"].update({"train/validation": 7}), "near copies, train/validation"),
        (lambda v: v["card"]["split_images"].update(train=5000), "train images"),
        (lambda v: v["calibration"].update(calibration_error=0.5), "calibration error"),
        (lambda v: v["calibration"].update(temperature=3.0), "temperature"),
        (lambda v: v["sets"].update(covered=0.5), "coverage of sets"),
        (lambda v: v["outliers"].update(threshold=0.999999), "share that is no outlier"),
        (lambda v: v["card"].update(test_reads=["2026-01-01"]), "readings of the test split"),
    ],
)
def test_a_claim_that_was_changed_fails_though_the_seal_fits(run, tmp_path, edit, claim):
    copy = shutil.copytree(run, tmp_path / "run")
    forged = resealed(run / "model.onnx", edit, copy / "model.onnx")
    assert mien.verify(forged) == []  # checksums do not tell
    proof = mien.verify(forged, data=DRAWN)
    assert claim in verdicts(proof, "fails")
    assert not proof.holds


def test_the_command_says_which_claim_fails(run, tmp_path, capsys):
    forged = resealed(run / "model.onnx", lambda v: v["card"].update(validation_accuracy=0.9), tmp_path / "forged.onnx")
    flags = ["--data.source", "drawn_faces"]
    assert main(["verify", str(forged), *flags]) == 4
    out, err = capsys.readouterr()
    (line,) = [line for line in out.splitlines() if line.startswith("accuracy  ")]
    assert "90.0%" in line
    assert line.endswith("fails")
    assert "read only on request: --split test" in out
    assert f"What {forged} says of itself does not hold." in err.replace("\n", "")
    assert main(["verify", str(run / "model.onnx"), *flags, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["holds"] is True
    assert {claim["verdict"] for claim in told["claims"]} == {"holds", "cannot be checked"}
    content = bytearray(forged.read_bytes())
    content[-5] ^= 1
    forged.write_bytes(content)
    assert main(["verify", str(forged), *flags]) == 4
    assert "was changed after it was exported" in capsys.readouterr().out
    assert main(["verify", str(run), "--split", "test"]) == 2
    assert "Say on which images to work them out: --data.path" in capsys.readouterr().err


def test_on_other_images_nothing_is_proved_and_intervals_are_compared(run):
    proof = mien.verify(run / "model.onnx", data={**DRAWN, "split_seed": 5})
    assert proof.holds
    assert verdicts(proof, "fails") == []
    accuracy = next(claim for claim in proof.claims if claim.name == "accuracy")
    assert accuracy.verdict == "cannot be checked"
    assert accuracy.reason == "other images, 70 of them; the intervals agree"
    assert accuracy.found["images"] == 70


def test_the_test_split_is_read_when_asked_and_that_is_noted(run, tmp_path, caplog):
    copy = shutil.copytree(run, tmp_path / "run")
    before = RunFolder.open(copy).test_reads
    mien.verify(copy / "model.onnx", data=DRAWN)
    assert RunFolder.open(copy).test_reads == before
    proof = mien.verify(copy / "model.onnx", data=DRAWN, split="test")
    assert {"accuracy on test", "macro-F1 on test"} <= set(verdicts(proof, "holds"))
    assert len(RunFolder.open(copy).test_reads) == len(before) + 1
    mien.verify(copy, data=DRAWN, split="test")
    assert len(RunFolder.open(copy).test_reads) == len(before) + 2
    forged = resealed(copy / "model.onnx", lambda v: v["card"]["test"].update(accuracy=0.9), tmp_path / "alone.onnx")
    assert "accuracy on test" in verdicts(mien.verify(forged, data=DRAWN, split="test"), "fails")
    assert "the reading is noted nowhere" in caplog.text


def test_a_run_proves_its_scores(run, tmp_path):
    proof = mien.verify(run, data=DRAWN)
    assert proof.holds
    assert {"accuracy", "macro-F1", "by class", "calibration error"} <= set(verdicts(proof, "holds"))
    copy = shutil.copytree(run, tmp_path / "run")
    scores = json.loads((copy / "evaluation.json").read_text())
    scores["validation"]["accuracy"] = 0.9
    (copy / "evaluation.json").write_text(json.dumps(scores))
    (copy / "manifest.json").unlink(missing_ok=True)
    assert verdicts(mien.verify(copy, data=DRAWN), "fails") == ["accuracy"]
    with pytest.raises(UsageError, match="A run has its own data settings"):
        mien.verify(run, data={"split_seed": 5})


def test_an_export_of_mien_0_1_is_judged_by_what_it_says():
    proof = mien.verify(FIXTURES / "model.onnx", data={**DRAWN, "images": 70})
    assert proof.holds
    assert {"validation images", "accuracy", "temperature"} <= set(verdicts(proof, "holds"))


def test_hashes_know_pixels_and_labels_and_no_order():
    store = open_store(Data(**DRAWN, images=70, size=16))
    order = np.random.default_rng(0).permutation(len(store))
    mixed = replace(store, images=store.images[order], labels=store.labels[order], splits=store.splits[order],
                    names=[f"{i}.png" for i in order], sizes=store.sizes[order], known_digests=None)  # fmt: skip
    assert claims.of_data(mixed, store.classes) == claims.of_data(store, store.classes)
    other = replace(store, labels=(store.labels + 1) % 7)
    assert other.content("validation") == store.content("validation")
    assert claims.labelled(other, "validation", store.classes) != claims.labelled(store, "validation", store.classes)
