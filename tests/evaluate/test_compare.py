"""Runs side by side: paired statistics, alignment by name, refusals."""

from __future__ import annotations

import json
import math
import weakref
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from fake_runs import CLASSES, picture_names, write_run
from growth import growth
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.errors import DataError, MissingError, UsageError
from mien.evaluate.compare import compare
from mien.evaluate.significance import holm, mcnemar, paired_difference, pairs_of
from mien.runs import Predictions, layout


def outcomes(both: int, only_a: int, only_b: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    a = [True] * (both + only_a) + [False] * (only_b + neither)
    b = [True] * both + [False] * only_a + [True] * only_b + [False] * neither
    return np.array(a, dtype=bool), np.array(b, dtype=bool)


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    names, labels = picture_names()
    good = write_run(tmp_path / "cnn-1-0", names=names, labels=labels, skill=3, epochs=4, seconds=3)
    weak = write_run(tmp_path / "vit-1-0", names=names, labels=labels, skill=0.5, epochs=7, seconds=5, seed=1)
    return [good, weak]


def rewrite(run: Path, change: object) -> None:
    """Replace a run's predictions by change(predictions)."""
    path = layout.predictions(run, "validation", ".csv")
    change(Predictions.load(path)).save(path)  # type: ignore[operator]


def measured(run: Path, *rows: tuple[str, float, str, float]) -> None:
    """Write robustness.json: change, strength, unit and accuracy of each row."""
    keys = ("change", "strength", "unit", "accuracy")
    found = [dict(zip(keys, row, strict=True)) | {"images": 25, "correct": 20, "interval": [0.1, 0.9]} for row in rows]
    (run / "robustness.json").write_text(json.dumps({"validation": found}))


# --- statistics


def test_mcnemar_of_a_hand_worked_case() -> None:
    # 1 against 5 of six coins: 2 * (1 + 6) / 64.
    assert mcnemar(*outcomes(11, 1, 5, 3)) == pytest.approx(14 / 64)
    assert mcnemar(*outcomes(11, 5, 1, 3)) == pytest.approx(14 / 64)
    assert mcnemar(*outcomes(7, 0, 0, 7)) == 1
    assert mcnemar(*outcomes(0, 4, 4, 0)) == 1


@given(st.integers(0, 3000), st.integers(0, 3000))
@settings(deadline=None)
def test_mcnemar_agrees_with_scipy(only_a: int, only_b: int) -> None:
    found = mcnemar(*outcomes(5, only_a, only_b, 2))
    expected = scipy.stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert found == pytest.approx(expected, rel=1e-8, abs=1e-280)  # scipy's falls to 0 a little earlier


def test_paired_difference_of_a_hand_worked_case() -> None:
    # 20 images, 6 and 2 discordant: (6.5 - 2.5) / 22 ± 1.96 * sqrt(9 - 16 / 22) / 22.
    difference, (low, high) = paired_difference(*outcomes(8, 6, 2, 4))
    half = 1.959964 * math.sqrt(9 - 16 / 22) / 22
    assert difference == pytest.approx(4 / 20)
    assert (low, high) == pytest.approx((4 / 22 - half, 4 / 22 + half), abs=1e-6)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_paired_difference_holds_its_value_and_mirrors(both: int, only_a: int, only_b: int, neither: int) -> None:
    if not both + only_a + only_b + neither:
        return
    a, b = outcomes(both, only_a, only_b, neither)
    difference, (low, high) = paired_difference(a, b)
    assert -1 <= low < high <= 1
    assert low <= difference <= high
    assert difference == pytest.approx(a.mean() - b.mean())
    assert paired_difference(b, a)[1] == pytest.approx((-high, -low))


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    random, covered = np.random.default_rng(0), 0
    for _ in range(1000):
        draws = random.choice(4, size=211, p=[0.5, 0.2, 0.1, 0.2])  # both, only a, only b, neither
        _, (low, high) = paired_difference(draws < 2, (draws == 0) | (draws == 2))
        covered += low <= 0.1 <= high
    assert 930 <= covered <= 970


def test_every_two_of_many_runs_are_as_each_pair_alone() -> None:
    random = np.random.default_rng(0)
    correct = [random.random(1000) < share for share in (0.5, 0.52, 0.7, 0.71)]
    names = [str(i) for i in range(4)]
    for pair in pairs_of(names, correct):
        a, b = correct[int(pair.first)], correct[int(pair.second)]
        assert pair.p_value == mcnemar(a, b)
        assert (pair.difference, pair.interval) == paired_difference(a, b)
        counts = [(a & b).sum(), (a & ~b).sum(), (~a & b).sum(), (~a & ~b).sum()]
        assert [pair.both, pair.only_first, pair.only_second, pair.neither] == counts


def test_every_two_of_twenty_runs_take_time_that_grows_with_the_images() -> None:
    def made(images: int) -> list[np.ndarray]:
        random = np.random.default_rng(0)
        return [random.random(images) < 0.7 for _ in range(20)]

    assert growth(made, lambda correct: pairs_of([*"abcdefghijklmnopqrst"], correct), 100_000) < 5


def test_holm_of_a_hand_worked_case() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1, 1]
    assert holm([0.051]) == [0.051]
    assert holm([]) == []


# --- comparisons


def test_two_runs(runs: list[Path]) -> None:
    found = compare(runs)
    a, b = (Predictions.load(run / "predictions.csv") for run in runs)
    assert (found.split, found.images, found.classes) == ("validation", 25, CLASSES)
    assert [row.label for row in found.rows] == ["cnn", "vit"]
    assert [row.scores.accuracy for row in found.rows] == [a.correct.mean(), b.correct.mean()]
    assert [(row.parameters, row.epochs, row.seconds, row.seed) for row in found.rows] == [
        (2_713_007, 4, 12, 0),
        (2_713_007, 7, 35, 1),
    ]
    (pair,) = found.pairs
    assert (pair.first, pair.second) == ("cnn", "vit")
    assert pair.only_first == (a.correct & ~b.correct).sum()
    assert pair.both + pair.only_first + pair.only_second + pair.neither == 25
    assert pair.p_value == pair.adjusted_p_value == mcnemar(a.correct, b.correct)
    assert pair.more_than_chance is (pair.p_value < 0.05)


def test_mistakes_of_every_run_and_disagreements_of_the_best_two(runs: list[Path], tmp_path: Path) -> None:
    names, labels = picture_names()
    fair = write_run(tmp_path / "fair-1-0", names=names, labels=labels, skill=1.5, seed=2)
    cnn, vit, third = (Predictions.load(run / "predictions.csv") for run in (*runs, fair))
    assert cnn.correct.sum() > third.correct.sum() > vit.correct.sum()
    found = json.loads(json.dumps(compare([runs[1], fair, runs[0]]).to_dict()))
    for row, saved in zip(found["rows"], (vit, third, cnn), strict=True):
        wrong = [saved.names[i] for i in np.flatnonzero(~saved.correct)]
        assert {each["name"] for each in row["mistakes"]} <= set(wrong)
        assert len(row["mistakes"]) == min(12, len(wrong))
    ahead, behind = found["disagreements"]
    assert (ahead["right"], ahead["wrong"], behind["right"], behind["wrong"]) == ("cnn", "fair", "fair", "cnn")
    assert ahead["images"] == (cnn.correct & ~third.correct).sum()
    first = ahead["surest"][0]
    place = names.index(first["name"])
    assert cnn.correct[place]
    assert first["confidence"] == max(third.confidence[cnn.correct & ~third.correct])
    assert first["right_confidence"] == cnn.confidence[place]


def test_equal_epochs_and_equal_seconds(runs: list[Path]) -> None:
    found = compare(runs)
    cnn, vit = (row.curve["val_accuracy"] for row in found.rows)
    assert found.equal_epochs is not None
    assert found.equal_seconds is not None
    assert (found.equal_epochs.limit, found.equal_epochs.accuracy) == (4, [cnn[3], vit[3]])
    assert (found.equal_seconds.limit, found.equal_seconds.accuracy) == (12, [cnn[3], vit[1]])


def test_a_run_still_in_its_first_epoch_has_no_accuracy_yet(tmp_path: Path) -> None:
    names, labels = picture_names()
    quick = write_run(tmp_path / "a", names=names, labels=labels, seconds=1, epochs=2)
    slow = write_run(tmp_path / "b", names=names, labels=labels, seconds=50)
    equal = compare([quick, slow]).equal_seconds
    assert equal is not None
    assert equal.accuracy[1] is None


def test_a_run_without_curves_is_compared_by_its_scores(runs: list[Path]) -> None:
    (runs[1] / "metrics.csv").unlink()
    found = compare(runs)
    assert (found.equal_epochs, found.equal_seconds) == (None, None)
    assert found.rows[1].epochs == 0


def test_json_even_where_a_loss_is_not_a_number(runs: list[Path]) -> None:
    text = (runs[0] / "metrics.csv").read_text().splitlines()
    text[2] = "2,6,1601,0.001,nan,0.3,inf,0.4"
    (runs[0] / "metrics.csv").write_text("\n".join(text))
    found = json.loads(json.dumps(compare(runs).to_dict(), allow_nan=False))
    assert found["rows"][0]["curve"]["val_loss"][1] is None
    assert found["pairs"][0]["p_value"] == compare(runs).pairs[0].p_value


def test_the_predictions_of_many_runs_are_never_held_together(tmp_path: Path, monkeypatch) -> None:
    names, labels = picture_names()
    folders = [write_run(tmp_path / f"cnn-{i}", names=names, labels=labels, seed=i) for i in range(7)]
    load, held, most = Predictions.load, weakref.WeakSet(), []

    def counted(path: Path) -> Predictions:
        held.add(found := load(path))
        most.append(len(held))
        return found

    monkeypatch.setattr(Predictions, "load", counted)
    assert len(compare(folders).rows) == 7
    assert max(most) <= 3  # the two best ones, and one that is just let go


def test_images_and_classes_are_matched_by_name(runs: list[Path]) -> None:
    expected = compare(runs)

    def shuffled(found: Predictions) -> Predictions:
        images, classes = np.random.default_rng(0).permutation(len(found)), [2, 0, 1]
        names = ["Anger", "Happiness", " sad"]  # aliases of the classes of the other run
        return Predictions(
            [found.names[i] for i in images],
            np.argsort(classes)[found.labels[images]],
            found.probabilities[images][:, classes],
            tuple(names[i] for i in classes),
        )

    rewrite(runs[1], shuffled)
    (runs[1] / "evaluation.json").unlink()
    found = compare(runs)
    assert found.pairs == expected.pairs
    assert found.rows[1].scores.per_class == expected.rows[1].scores.per_class
    assert found.rows[1].scores.confusion_matrix == expected.rows[1].scores.confusion_matrix


def test_several_seeds_are_summed_up(tmp_path: Path) -> None:
    names, labels = picture_names()
    paths = [write_run(tmp_path / f"tiny-1-{seed}", names=names, labels=labels, seed=seed) for seed in range(3)]
    found = compare(paths)
    accuracies = [row.scores.accuracy for row in found.rows]
    (group,) = found.groups
    assert [row.label for row in found.rows] == ["tiny, seed 0", "tiny, seed 1", "tiny, seed 2"]
    assert (group.recipe, group.seeds) == ("tiny", [0, 1, 2])
    assert (group.mean, group.std) == pytest.approx((np.mean(accuracies), np.std(accuracies, ddof=1)))
    assert [pair.adjusted_p_value for pair in found.pairs] == holm([pair.p_value for pair in found.pairs])


def test_runs_of_one_recipe_and_seed_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    names, labels = picture_names()
    paths = [write_run(tmp_path / f"tiny-{day}-0", names=names, labels=labels) for day in (1, 2)]
    assert [row.label for row in compare(paths).rows] == ["tiny-1-0", "tiny-2-0"]


# --- refusals


def test_one_run_is_not_enough(runs: list[Path]) -> None:
    with pytest.raises(UsageError, match="at least two runs, given 1"):
        compare(runs[:1])


def test_a_run_given_twice(runs: list[Path]) -> None:
    with pytest.raises(UsageError, match=r"cnn-1-0 is given twice"):
        compare([runs[0], runs[0]])


def test_a_path_that_is_no_run(runs: list[Path], tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"vit-2-0 is not a run folder.*Did you mean '.*vit-1-0'"):
        compare([runs[0], tmp_path / "vit-2-0"])


def test_a_split_that_was_not_read(runs: list[Path]) -> None:
    with pytest.raises(MissingError, match=r"predictions-test\.npz is not there"):
        compare(runs, split="test")


def test_other_images_are_refused(runs: list[Path]) -> None:
    rewrite(runs[1], lambda p: Predictions(["x", *p.names[1:]], p.labels, p.probabilities, p.classes))
    with pytest.raises(DataError, match=r"not evaluated on the same images: 25 and 25, of which 24 are in both"):
        compare(runs)


def test_fewer_images_are_refused(runs: list[Path]) -> None:
    rewrite(runs[1], lambda p: Predictions(p.names[1:], p.labels[1:], p.probabilities[1:], p.classes))
    with pytest.raises(DataError, match=r"vit-1-0 and .*cnn-1-0 were not evaluated on the same images: 24 and 25"):
        compare(runs)


def test_other_labels_are_refused(runs: list[Path]) -> None:
    rewrite(runs[1], lambda p: Predictions(p.names, (p.labels + 1) % 3, p.probabilities, p.classes))
    with pytest.raises(DataError, match=r"do not agree on the labels of 25 images, validation/angry/000\.png among"):
        compare(runs)


def test_other_classes_are_refused(runs: list[Path]) -> None:
    rewrite(runs[1], lambda p: Predictions(p.names, p.labels, p.probabilities, ("angry", "happy", "bored")))
    with pytest.raises(DataError, match=r"Class 'bored' is not among the known classes"):
        compare(runs)
    rewrite(runs[1], lambda p: Predictions(p.names, p.labels % 2, p.probabilities[:, :2], ("angry", "happy")))
    with pytest.raises(DataError, match=r"tells 2 classes apart \(angry, happy\)"):
        compare(runs)


@pytest.mark.parametrize(("ahead", "behind", "turned"), [("a", "b", False), ("b", "a", True)])
def test_the_verdict_names_the_run_that_is_ahead(ahead, behind, turned):
    first = np.array([True] * 60 + [False] * 40)
    second = np.array([True] * 30 + [False] * 70)
    (pair,) = pairs_of(["a", "b"], [second, first] if turned else [first, second])
    low, high = paired_difference(first, second)[1]
    assert pair.verdict.startswith(f"{ahead} is 30.0 points ahead of {behind} (95% interval {100 * low:+.1f} to ")
    assert f"to {100 * high:+.1f}), more than chance (McNemar p = " in pair.verdict
    assert pairs_of(["a", "b"], [first, first])[0].verdict == "a and b are right equally often."


def test_accuracy_on_changed_images_stands_side_by_side_where_it_was_measured(runs: list[Path]) -> None:
    assert compare(runs).robustness == []
    measured(runs[0], ("blur", 0.5, "pixels", 0.8), ("eyes covered", 1.0, "", 0.4))
    measured(runs[1], ("blur", 0.5, "pixels", 0.6), ("blur", 1.0, "pixels", 0.3))
    found = compare(runs)
    rows = [(each.change, each.strength, each.unit, each.accuracy) for each in found.robustness]
    assert rows == [
        ("blur", 0.5, "pixels", [0.8, 0.6]),
        ("eyes covered", 1.0, "", [0.4, None]),
        ("blur", 1.0, "pixels", [None, 0.3]),
    ]
    written = json.loads(json.dumps(found.to_dict()))["robustness"]
    assert written[1]["intervals"] == [[0.1, 0.9], None]
