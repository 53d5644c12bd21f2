"""Trainings on parts: what they are of, that each is kept, and the verb from folder to page."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mien.cli import main
from mien.config import Data, Recipe
from mien.data import prepare, splits
from mien.errors import UsageError
from mien.evaluate.forecast import FILE, Measured
from mien.train import forecast
from mien.train.forecast import Heads, Part, Runs, measure, without_leaks


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of 40 noisy pictures for training and 20 for validation: bright above or bright below."""
    root, random = tmp_path_factory.mktemp("forecast") / "pictures", np.random.default_rng(0)
    for split, count in (("train", 40), ("validation", 20)):
        for label, name in enumerate(("above", "below")):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = random.integers(0, 200, (16, 16), dtype=np.uint8)
                pixels[8 * label : 8 * label + 8] += 40
                Image.fromarray(pixels).save(root / split / name / f"{i}.png")
    return root


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path_factory.getbasetemp() / "cache-forecast"))


class Counting:
    """Answers at random, and notes what it was trained on."""

    quick = True

    def __init__(self, path: Path, fails_after: int = 99) -> None:
        self.data = without_leaks(Data(path=path, size=16))
        self.how = {"features": "none"}
        self.seen: list[tuple[Part, np.ndarray]] = []
        self.fails_after = fails_after

    def answers(self, part: Part, chosen: np.ndarray) -> np.ndarray:
        if len(self.seen) == self.fails_after:
            raise KeyboardInterrupt
        self.seen.append((part, chosen))
        return np.random.default_rng(part.seed).integers(0, 2, 40)


def test_parts_are_stratified_differ_by_seed_and_lack_half_of_a_class(pictures: Path, tmp_path: Path) -> None:
    learner = Counting(pictures)
    measured = measure(learner, tmp_path, (0.2, 0.4, 0.8), 2)
    store = prepare(learner.data)
    counts = {part: np.bincount(store.labels[chosen]).tolist() for part, chosen in learner.seen}
    assert len({part.seed for part in counts}) == 6
    assert counts[Part(0.2, 0)] == [8, 8]
    assert counts[Part(0.8, 4)] == [32, 32]
    assert counts[Part(0.8, 4, "above")] == [16, 32]
    assert counts[Part(0.8, 5, "below")] == [32, 16]
    chosen = dict(learner.seen)
    assert set(chosen[Part(0.8, 4, "above")]) < set(chosen[Part(0.8, 4)])
    assert set(chosen[Part(0.2, 0)]) != set(chosen[Part(0.2, 1)])
    assert all((store.splits[part] == splits.TRAIN).all() for part in chosen.values())
    assert len(measured.trainings) == 10
    assert measured.counts == (40, 40)


def test_what_was_stopped_goes_on(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        measure(Counting(pictures, fails_after=4), tmp_path, (0.2, 0.4, 0.8), 2)
    assert len(Measured.load(tmp_path / FILE).trainings) == 4
    learner = Counting(pictures)
    again = measure(learner, tmp_path, (0.2, 0.4, 0.8), 2)
    assert len(learner.seen) == 6
    whole = measure(Counting(pictures), tmp_path / "whole", (0.2, 0.4, 0.8), 2)
    assert [each.answers for each in again.trainings] == [each.answers for each in whole.trainings]
    other = Counting(pictures)
    other.how = {"features": "another"}
    with pytest.raises(UsageError, match=r"of features none, not features another\. Choose another `out`"):
        measure(other, tmp_path, (0.2, 0.4, 0.8), 2)


def test_a_part_without_a_class_is_refused_before_anything_trains(pictures: Path, tmp_path: Path) -> None:
    learner = Counting(pictures)
    with pytest.raises(UsageError, match=r"`points` 0.01: 'above' has 40 training images, .* from 0.025 on"):
        measure(learner, tmp_path, (0.01, 0.4, 0.8), 2)
    assert not learner.seen


def test_data_with_parts_of_its_own_is_refused() -> None:
    with pytest.raises(UsageError, match=r"takes its own parts of the data\. Leave `data.train_fraction`"):
        without_leaks(Data(train_fraction=0.5))


def test_a_head_on_features_learns(pictures: Path) -> None:
    learner = Heads("mien:vit-tiny-imagenet", Data(path=pictures))
    found = learner.answers(Part(1.0, 0), learner.store.indices("train"))
    assert (found == learner.store.labels[learner.store.indices("validation")]).mean() > 0.8
    assert learner.data.drop_leaks == "near"


def test_a_recipe_is_trained_on_its_part_in_a_run_folder(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, Path]] = []

    class Finished:
        def predictions(self) -> Any:
            return type("Predictions", (), {"predicted": np.zeros(40, dtype=int)})()

    monkeypatch.setattr(forecast.training, "run", lambda recipe, folder: asked.append((recipe, folder)))
    monkeypatch.setattr(forecast.RunFolder, "open", lambda folder: Finished())
    recipe = Recipe(name="mine").with_(data={"path": pictures, "size": 16}, train={"epochs": 3})
    learner = Runs(recipe, tmp_path)
    assert (learner.how["recipe"], learner.how["epochs"]) == ("mine", 3)
    assert learner.how != Runs(recipe.with_(train={"lr": 0.5}), tmp_path).how
    assert learner.how == Runs(recipe.with_(data={"path": tmp_path}, seed=4), tmp_path).how
    assert learner.answers(Part(0.4, 7), np.arange(3)).tolist() == [0] * 40
    trained, folder = asked[0]
    assert folder == tmp_path / "runs" / "40-percent-seed-7"
    assert (trained.seed, trained.data.train_fraction, trained.data.fraction_seed) == (7, 0.4, 7)
    assert trained.data.drop_leaks == "near"


def test_the_verb_from_a_folder_to_a_page_and_a_check(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["data", "forecast", str(pictures), "--points", "0.2,0.4,0.8", "--seeds", "2"]
    command += ["--out", str(tmp_path)]
    assert main(command) == 0
    assert capsys.readouterr().out.startswith("Twice the pictures (160 for training) should bring ")
    assert (tmp_path / "forecast.svg").read_text().startswith("<svg")
    assert main([*command, "--check", str(tmp_path / FILE), "--json"]) == 0  # adds one training
    found = json.loads(capsys.readouterr().out)
    assert found["check"]["images"] == 80
    assert found["check"]["same_images"]
    page = Path(found["page"]).read_text()
    assert "Twice the pictures should bring" in page
    assert "More of what?" in page
    assert "The earlier forecast" in page


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--points", "0.1,0.5"], "--points 0.1,0.5: give at least three shares"),
        (["--points", "0.1,0.5,x"], "give at least three shares"),
        (["--seeds", "1"], "--seeds 1"),
        (["--train.epochs", "3"], "--train: heads on features take settings of --data alone"),
        (["--recipe", "folder_cnn", "--features", "mien:base"], "Give one of them"),
        (["--check", "nowhere.json"], "nowhere.json: there is no such file"),
        (["--recipe", "folder_cn"], "Did you mean"),
        (["--recipe", "folder_vit", "--model.depht", "3"], "The network has no size 'depht'"),
    ],
)
def test_what_is_asked_wrongly_is_said(
    pictures: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "forecast", str(pictures), *words]) in (2, 3)
    assert said in capsys.readouterr().err
