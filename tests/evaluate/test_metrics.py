"""Scores: hand-worked values, agreement with scikit-learn and torchmetrics, and the file format."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_calibration_error

from mien.errors import DataError
from mien.evaluate.metrics import (
    calibration_error,
    confusion_matrix,
    format_recall,
    negative_log_likelihood,
    reliability,
    score,
    warning,
    wilson,
)
from mien.runs import ClassScores, Predictions
from mien.runs.records import to_dict


def predictions_of(labels: list[int], probabilities: list[list[float]] | np.ndarray, classes: int = 3) -> Predictions:
    names = [f"{i}.png" for i in range(len(labels))]
    shares = np.asarray(probabilities, dtype=np.float64).reshape(len(labels), classes)
    return Predictions(names, np.array(labels, dtype=np.int64), shares, tuple("abcdefg"[:classes]))


def answering(labels: list[int], answers: list[int], classes: int = 3) -> Predictions:
    """Predictions that are 70 % sure of `answers`."""
    shares = np.full((len(labels), classes), 0.3 / (classes - 1))
    shares[np.arange(len(labels)), answers] = 0.7
    return predictions_of(labels, shares, classes)


@st.composite
def drawn_predictions(draw: st.DrawFn) -> Predictions:
    """Up to 40 images of 2 to 7 classes, of which some have no image and some are never answered."""
    classes, images = draw(st.integers(2, 7)), draw(st.integers(1, 40))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    present = random.choice(classes, size=draw(st.integers(1, classes)), replace=False)
    shares = random.dirichlet(np.full(classes, draw(st.sampled_from([0.1, 1.0, 10.0]))), size=images)
    return predictions_of(random.choice(present, size=images).tolist(), shares, classes)


HAND = answering([0, 0, 0, 1, 1, 2, 2], [0, 0, 1, 1, 2, 2, 0])


def test_scores_of_a_hand_worked_case() -> None:
    found = score(HAND, clean=np.array([1, 1, 0, 0, 1, 0, 0], dtype=bool))
    assert (found.images, found.correct) == (7, 4)
    assert found.accuracy == pytest.approx(4 / 7)
    assert found.confusion_matrix == [[2, 1, 0], [0, 1, 1], [1, 0, 1]]
    assert vars(found.per_class["a"]) == pytest.approx(
        {"recall": 2 / 3, "correct": 2, "images": 3, "precision": 2 / 3, "f1": 2 / 3}
    )
    assert found.macro_f1 == pytest.approx((2 / 3 + 1 / 2 + 1 / 2) / 3)
    assert found.weighted_f1 == pytest.approx((3 * 2 / 3 + 2 / 2 + 2 / 2) / 7)
    assert found.balanced_accuracy == pytest.approx((2 / 3 + 1 / 2 + 1 / 2) / 3)
    assert found.calibration_error == pytest.approx(0.7 - 4 / 7)
    assert found.negative_log_likelihood == pytest.approx(-(4 * math.log(0.7) + 3 * math.log(0.15)) / 7)
    assert found.clean.images == 3
    assert found.clean.accuracy == pytest.approx(2 / 3)
    assert found.clean.interval == wilson(2, 3)


def test_scores_are_json_and_nowhere_nan() -> None:
    # Class c has no image, class b is never answered, and not one image is clean.
    found = score(answering([0, 1, 1], [0, 2, 0]), clean=np.zeros(3, dtype=bool))
    assert json.loads(json.dumps(to_dict(found), allow_nan=False)) == to_dict(found)
    assert to_dict(found)["clean"] == {"images": 0, "correct": 0, "accuracy": None, "interval": [0.0, 1.0]}
    assert found.per_class["c"] == ClassScores(recall=0.0, correct=0, images=0, precision=0.0, f1=0.0)


def test_no_clean_mask_gives_no_clean_figure() -> None:
    assert score(HAND).clean is None


def test_nothing_to_score_is_refused() -> None:
    with pytest.raises(DataError, match="the split has no images"):
        score(predictions_of([], []))


@given(drawn_predictions())
@settings(max_examples=60, deadline=None)
def test_agreement_with_scikit_learn(predictions: Predictions) -> None:
    found, truth, answers = score(predictions), predictions.labels, predictions.predicted
    classes = range(len(predictions.classes))
    precision, recall, f1, images = sklearn.metrics.precision_recall_fscore_support(
        truth, answers, labels=classes, zero_division=0
    )
    for i, each in enumerate(found.per_class.values()):
        assert each.images == images[i]
        assert [each.precision, each.recall, each.f1] == pytest.approx([precision[i], recall[i], f1[i]])
    for average in ("macro", "weighted"):
        expected = sklearn.metrics.f1_score(truth, answers, average=average, zero_division=0)
        assert getattr(found, f"{average}_f1") == pytest.approx(expected)
    assert found.accuracy == pytest.approx(sklearn.metrics.accuracy_score(truth, answers))
    assert found.confusion_matrix == sklearn.metrics.confusion_matrix(truth, answers, labels=classes).tolist()
    present = np.unique(truth)
    expected_balanced = sklearn.metrics.recall_score(truth, answers, labels=present, average="macro", zero_division=0)
    assert found.balanced_accuracy == pytest.approx(expected_balanced)
    assert found.negative_log_likelihood == pytest.approx(
        sklearn.metrics.log_loss(truth, predictions.probabilities, labels=classes)
    )


@given(drawn_predictions())
@settings(max_examples=50, deadline=None)
def test_two_best_answers_agree_with_scikit_learn(predictions: Predictions) -> None:
    classes = len(predictions.classes)
    expected = 1.0
    if classes > 2:
        expected = sklearn.metrics.top_k_accuracy_score(
            predictions.labels, predictions.probabilities, k=2, labels=range(classes)
        )
    assert score(predictions).top2_accuracy == pytest.approx(expected)


def test_a_model_that_always_hesitates_gains_nothing_from_ties() -> None:
    uniform = predictions_of([0, 1, 2, 3, 4], np.full((5, 5), 0.2), classes=5)
    assert score(uniform).top2_accuracy == pytest.approx(2 / 5)
    assert score(uniform).accuracy == pytest.approx(1 / 5)


@given(drawn_predictions(), st.integers(1, 20))
@settings(max_examples=50, deadline=None)
def test_calibration_error_agrees_with_torchmetrics(predictions: Predictions, bins: int) -> None:
    # torchmetrics counts in float32, where a confidence can round onto an edge, and gives 1 a bin of its own.
    edges = np.linspace(0, 1, bins + 1)
    assume(np.abs(predictions.confidence[:, None] - edges).min() > 1e-6)
    probabilities, labels = torch.as_tensor(predictions.probabilities), torch.as_tensor(predictions.labels)
    expected = multiclass_calibration_error(probabilities, labels, len(predictions.classes), n_bins=bins, norm="l1")
    assert calibration_error(predictions, bins) == pytest.approx(float(expected), abs=1e-6)


def test_reliability_of_a_hand_worked_case() -> None:
    predictions = predictions_of([0, 1, 1, 0], [[0.9, 0.1], [0.1, 0.9], [0.7, 0.3], [1.0, 0.0]], classes=2)
    found = reliability(predictions, bins=5)
    assert found["count"].tolist() == [0, 0, 0, 1, 3]
    assert found["accuracy"][3:].tolist() == [0, 1]
    assert found["confidence"][3:] == pytest.approx([0.7, (0.9 + 0.9 + 1) / 3])
    assert np.isnan(found["accuracy"][:3]).all()
    assert calibration_error(predictions, bins=5) == pytest.approx((0.7 + 3 * (1 - 2.8 / 3)) / 4)


def test_a_probability_of_zero_costs_much_but_not_infinitely_much() -> None:
    found = negative_log_likelihood(predictions_of([1], [[1.0, 0.0]], classes=2))
    assert found == pytest.approx(52 * math.log(2))


def test_wilson_of_known_values() -> None:
    # Newcombe (1998), Statistics in Medicine 17: 857-872, table I, method 3.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


@given(st.integers(0, 5000), st.integers(0, 5000))
def test_wilson_stays_inside_and_holds_the_share(correct: int, wrong: int) -> None:
    images = correct + wrong
    low, high = wilson(correct, images)
    assert 0 <= low <= high <= 1
    if images:
        assert low <= correct / images <= high
        mirrored = wilson(wrong, images)
        assert mirrored == pytest.approx((1 - high, 1 - low))


def test_format_recall() -> None:
    assert format_recall("happy", 710, 879) == "happy 80% (710/879)"
    assert format_recall("sad", 999, 1000) == "sad 99% (999/1000)"
    assert format_recall("disgust", 0, 0) == "disgust – (0/0)"


def test_confusion_matrix_has_the_truth_in_its_rows() -> None:
    assert confusion_matrix(answering([0, 0], [2, 2])).tolist() == [[0, 0, 2], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([0, 0, 0, 0, 0, 0], "no better than always giving the most common answer, which is right 50.0%"),
        ([0, 0, 0, 1, 0, 0], "on 6 images it cannot be told from always giving the most common answer"),
        ([0, 0, 0, 1, 1, 2], ""),
    ],
)
def test_what_is_said_beside_the_commonest_answer(answers: list[int], said: str) -> None:
    found = warning(score(answering([0, 0, 0, 1, 1, 2], answers)))
    assert found.startswith(said)
    assert bool(found) == bool(said)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match=r"2 names and 3 classes need probabilities of shape \(2, 3\)"):
        Predictions(["a", "b"], np.zeros(2, dtype=int), np.zeros((2, 4)), ("x", "y", "z"))
