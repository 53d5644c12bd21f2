"""What a model said about the images of a split, written and read back."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mien.errors import DataError, MienError, MissingError
from mien.evaluate.metrics import score
from mien.runs import Predictions, layout


def predictions_of(labels: list[int], probabilities: list[list[float]]) -> Predictions:
    names = [f"{i}.png" for i in range(len(labels))]
    shares = np.array(probabilities)
    return Predictions(names, np.array(labels), shares, tuple("abcdefg"[: shares.shape[1]]))


def drawn(seed: int) -> Predictions:
    random = np.random.default_rng(seed)
    classes, images = random.integers(2, 8), random.integers(1, 41)
    shares = random.dirichlet(np.full(classes, 10.0 ** random.integers(-1, 2)), size=images)
    return predictions_of(random.integers(classes, size=images).tolist(), shares.tolist())


HAND = predictions_of([0, 1], [[0.7, 0.2, 0.1], [0.6, 0.3, 0.1]])


def test_scores_of_the_file_are_those_of_the_network(tmp_path: Path) -> None:
    """As float16, or rounded to fewer digits, they would not be."""
    for seed in range(20):
        exact = drawn(seed)
        network = Predictions(exact.names, exact.labels, exact.probabilities.astype(np.float32), exact.classes)
        network.save(tmp_path / "predictions.npz")
        assert score(Predictions.load(tmp_path / "predictions.npz")) == score(network)


def test_a_file_is_no_larger_than_its_numbers(tmp_path: Path) -> None:
    """200 classes: 4 bytes a probability, against 13 or so of the table."""
    random = np.random.default_rng(0)
    shares = random.dirichlet(np.full(200, 0.1), size=500)
    labels = random.integers(200, size=500)
    some = Predictions([f"val_{i}.JPEG" for i in range(500)], labels, shares, tuple(map(str, range(200))))
    some.save(tmp_path / "predictions.npz")
    some.save(tmp_path / "predictions.csv")
    small, table = ((tmp_path / f"predictions.{suffix}").stat().st_size for suffix in ("npz", "csv"))
    assert small < 500 * 200 * 4 + 20_000
    assert table > 2.5 * small


def test_a_damaged_file_names_the_command_that_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "predictions-test.npz"
    HAND.save(path)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(DataError, match=r"predictions-test\.npz is damaged: .*mien\.evaluate\(.* split='test'"):
        Predictions.load(path)


def test_predictions_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"2 names and 3 classes need probabilities of shape \(2, 3\)"):
        Predictions(["a", "b"], np.zeros(2, dtype=int), np.zeros((2, 4)), ("x", "y", "z"))


@pytest.mark.parametrize("suffix", [".npz", ".csv"])
@pytest.mark.parametrize("seed", range(8))
def test_a_file_gives_every_float32_back(tmp_path: Path, seed: int, suffix: str) -> None:
    path = tmp_path / f"predictions{suffix}"
    predictions = drawn(seed)
    shares = predictions.probabilities.astype(np.float32)
    names = [f'ä\udce9, "{i}"\n' for i in range(len(predictions))]
    Predictions(names, predictions.labels, shares, predictions.classes).save(path)
    back = Predictions.load(path)
    assert (back.names, back.classes) == (names, predictions.classes)
    assert back.labels.tolist() == predictions.labels.tolist()
    assert (back.probabilities.astype(np.float32) == shares).all()


def test_the_file_is_a_table_a_person_can_read(tmp_path: Path) -> None:
    predictions_of([1], [[0.5, 0.25, 0.25]]).save(layout.predictions(tmp_path, "test", ".csv"))
    assert (tmp_path / "predictions-test.csv").read_text().splitlines() == [
        "name,split,label,predicted,a,b,c",
        "0.png,test,b,a,0.5,0.25,0.25",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["predictions-test.csv"]  # no draft stays behind


def test_classes_named_like_columns(tmp_path: Path) -> None:
    classes = ("label", "name", "predicted")
    Predictions(["x"], np.array([2]), np.array([[0.1, 0.2, 0.7]]), classes).save(tmp_path / "predictions.csv")
    back = Predictions.load(tmp_path / "predictions.csv")
    assert (back.classes, back.labels.tolist(), back.predicted.tolist()) == (classes, [2], [2])


def test_saving_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MienError, match=r"Writing .*predictions\.csv failed"):
        HAND.save(tmp_path / "file" / "predictions.csv")


def test_a_disk_that_fills_up_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(MienError, match=r"failed: No space left on device. Free some space"):
        HAND.save(path)
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("predictions.csv", "old")]


def test_a_missing_file_names_the_command_that_writes_it(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"predictions-test.csv is not there.*mien\.evaluate\(.* split='test'"):
        Predictions.load(layout.predictions(tmp_path, "test", ".csv"))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("x,validation,a,b,0.5,half,0", r"line 2: a probability is not a number"),
        ("x,validation,a,b,0.5,0.5", r"line 2: 2 probabilities for 3 classes"),
        ("x,validation,d,b,0.5,0.5,0", r"line 2: label 'd' is not among the classes a, b, c"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    path = tmp_path / "predictions.csv"
    path.write_text(f"name,split,label,predicted,a,b,c\n{line}\n")
    with pytest.raises(DataError, match=complaint):
        Predictions.load(path)


@pytest.mark.parametrize("text", ["", "name,label\n", "name,split,label,predicted\n"])
def test_another_table_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "predictions.csv").write_text(text)
    with pytest.raises(DataError, match="must begin with the columns name, split, label, predicted and one per class"):
        Predictions.load(tmp_path / "predictions.csv")
