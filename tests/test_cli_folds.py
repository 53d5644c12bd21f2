"""`mien run --data.folds 3`: every fold trained, stopped, resumed, and joined."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import mien
from mien.cli import main
from mien.data import open_store
from mien.errors import DataError, UsageError
from mien.evaluate.calibration import fit_temperature, with_temperature
from mien.evaluate.drawings import mistakes_picture
from mien.evaluate.folds import folds_beside, pool
from mien.runs import Predictions, RunFolder, read_recipe
from mien.runtime.card import model_card
from mien.runtime.network import Network
from mien.train import run
from mien.train.average import average

TINY = ["run", "fer2013_lenet", "--data.source", "drawn_faces", "--data.images", "90", "--data.size", "16"]
SETTINGS = ["--train.epochs", "1", "--train.batch_size", "20", "--train.precision", "fp32"]
COMMAND = [*TINY, *SETTINGS, "--data.folds", "3"]


@pytest.fixture(scope="module")
def folds(tmp_path_factory):
    """The folder of three folds, the last of which was trained in a second start."""
    place = tmp_path_factory.mktemp("folds")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_CACHE", str(place / "cache"))
        assert main([*COMMAND, "--out", str(place / "all")]) == 0
        yield place / "all"


def test_the_folds_are_runs_of_their_own_and_every_image_is_judged_once(folds):
    runs = [RunFolder.open(folds / f"fold={k}") for k in range(3)]
    assert [run.recipe.data.fold for run in runs] == [0, 1, 2]
    pooled = Predictions.load(folds / "out-of-fold.csv")
    assert len(pooled) == len(set(pooled.names)) == sum(len(run.predictions()) for run in runs)
    page = (folds / "sweep.html").read_text(encoding="utf-8")
    assert "All folds together" in page
    assert "fold%3D2/report.html" in page


def test_the_command_says_all_folds_together_and_goes_on(folds, capsys, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(folds.parent / "cache"))
    pooled = pool([folds / f"fold={k}" for k in range(3)])
    assert main(["run", str(folds), "--resume", "--json"]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert "3 of 3 runs have finished already." in err
    assert found["pooled"]["accuracy"] == pytest.approx(pooled.scores.accuracy)
    assert found["means"][0]["runs"] == 3
    assert Path(found["out_of_fold"]).is_file()
    assert main(["run", str(folds), "--resume"]) == 0
    out, err = capsys.readouterr()
    assert "all folds together: accuracy " in out
    assert "--data.fold all" in err.partition("Next: mien run ")[2]
    assert main([*COMMAND, "--out", str(folds), "--seed", "1"]) == 2
    assert "was started with other settings" in capsys.readouterr().err
    assert main([*COMMAND, "--out", str(folds), "--overwrite"]) == 2
    assert "folds are never overwritten" in capsys.readouterr().err


def test_each_fold_is_calibrated_on_the_others(folds):
    runs = [folds / f"fold={k}" for k in range(3)]
    parts = [RunFolder.open(run).predictions() for run in runs]
    others = Predictions(
        parts[1].names + parts[2].names,
        np.concatenate([parts[1].labels, parts[2].labels]),
        np.concatenate([parts[1].probabilities, parts[2].probabilities]),
        parts[0].classes,
    )
    expected = with_temperature(parts[0], fit_temperature(others)).probabilities
    np.testing.assert_allclose(pool(runs).predictions.probabilities[: len(parts[0])], expected)


def test_a_run_on_everything_has_the_scores_of_the_folds(folds, capsys, monkeypatch, tmp_path):
    """No image is held out of it, its epochs are those of the folds, and its export says how it was judged."""
    monkeypatch.setenv("MIEN_CACHE", str(folds.parent / "cache"))
    assert main(["run", str(folds), "--data.fold", "all", "--json"]) == 0
    run = RunFolder.open(json.loads(capsys.readouterr().out)["run"])
    assert run.path == folds / "all"
    parts = [RunFolder.open(folds / f"fold={k}").predictions() for k in range(3)]
    assert run.env.store.images["validation"] == 0
    assert run.env.store.images["train"] == len(run.predictions()) == sum(map(len, parts))
    assert run.recipe.train.epochs == 1
    assert run.scores["validation"].correct == sum(part.correct.sum() for part in parts)
    assert "its score is that of the 3 folds" in (run.path / "report.html").read_text(encoding="utf-8")
    assert main(["export", str(run.path)]) == 0
    network = Network.open(run.path / "model.onnx", threads=1)
    text = model_card(network, "all")
    assert "Out of fold: each of these images was judged by one of 3 networks that had not seen it." in text
    assert network.card["images"] == len(run.predictions())
    assert network.card["split_images"]["train"] == len(run.predictions())
    proof = mien.verify(run.path / "model.onnx", data={"source": "drawn_faces"})
    found = {claim.name: claim for claim in proof.claims}
    assert found["train images"].verdict == "holds"
    assert found["accuracy"].reason == "out of fold, by networks that are not in it: prove the folds"
    assert main(["run", str(run.path), "--resume"]) == 0
    assert main(["evaluate", str(run.path)]) == 2
    assert "has no validation split" in capsys.readouterr().err
    twin = shutil.copytree(run.path, tmp_path / "twin")
    with pytest.raises(UsageError, match="was trained on all images, and none are left to score an average on"):
        average([run.path, twin], tmp_path / "average")


def test_a_run_on_everything_needs_its_folds(tmp_path, capsys):
    assert main([*COMMAND, "--data.fold", "all", "--out", str(tmp_path / "all")]) == 2
    assert "has 0 finished folds. --data.fold all trains on everything" in capsys.readouterr().err.replace("\n", "")


def test_folds_of_another_recipe_do_not_score_a_run(folds):
    everything = read_recipe(folds / "fold=0").with_(data={"fold": "all"}, train={"epochs": 7}, seed=3)
    assert folds_beside(folds / "all", everything) == [folds / f"fold={k}" for k in range(3)]
    for other in ({"name": "other"}, {"data": {"size": 20}}, {"model": {"name": "cnn_v1"}}):
        with pytest.raises(UsageError, match="0 finished folds of this recipe; 3 are of another name, model or data"):
            folds_beside(folds / "all", everything.with_(**other))


def test_the_mistakes_of_a_run_on_everything_are_drawn(folds):
    """Its answers are those of the folds, and its own data has no validation split."""
    found = Predictions.load(folds / "out-of-fold.csv")
    store = open_store(read_recipe(folds / "fold=0").data.with_(fold="all"))
    assert not store.has("validation")
    assert mistakes_picture(found, store) is not None


def test_pretraining_on_everything_has_nothing_to_be_judged_by(tmp_path):
    recipe = mien.recipe("fer2013_mae", data={"source": "drawn_faces", "folds": 2, "fold": "all"})
    with pytest.raises(UsageError, match=r"`data\.fold` all leaves no images on which to see how well patches"):
        run.run(recipe, tmp_path / "all")


def test_runs_that_are_no_folds_of_the_same_data_are_not_joined(folds):
    with pytest.raises(DataError, match="is in the validation split of two runs"):
        pool([folds / "fold=0", folds / "fold=0"])


def test_python_trains_one_fold_at_a_time(capsys):
    assert main([*TINY, "--data.folds", "3", "--data.fold", "3"]) == 2
    assert "--data.folds 3 --data.fold 3: at least 2 folds, numbered 0 to 2" in capsys.readouterr().err
