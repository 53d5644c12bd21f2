"""Prediction sets against crepes (an own implementation of conformal classifiers), on few images, and end to end."""

import crepes
import numpy as np
import pytest

from mien.errors import UsageError
from mien.evaluate.prediction_sets import fit_sets
from mien.runs import Predictions
from mien.runtime.sets import PredictionSets


def drawn(images: int, seed: int = 0, classes: int = 3) -> Predictions:
    """Labels drawn from the probabilities themselves, the last class a rare one."""
    generator = np.random.default_rng(seed)
    logits = 1.5 * generator.normal(size=(images, classes)) - np.array([0, 0, 2.0])[:classes]
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([generator.choice(classes, p=row) for row in shares])
    return Predictions([str(i) for i in range(images)], labels, shares, tuple("abc"[:classes]))


@pytest.mark.parametrize("per_class", [True, False])
@pytest.mark.parametrize("coverage", [0.8, 0.9])
def test_the_sets_are_those_of_crepes(coverage, per_class):
    fitted, new = drawn(211, seed=1), drawn(89, seed=2)
    sets = fit_sets(fitted, coverage, per_class=per_class).sets
    scores = 1 - fitted.probabilities[np.arange(211), fitted.labels]
    reference = crepes.ConformalClassifier()
    reference.fit(scores, bins=fitted.labels if per_class else None)
    theirs = np.stack(
        [
            reference.predict_set(
                1 - new.probabilities[:, [k]],
                bins=np.full(89, k) if per_class else None,
                confidence=coverage - 1e-9,  # it also takes a class whose p-value is exactly 1 - coverage
                smoothing=False,
            )[:, 0]
            for k in range(3)
        ],
        axis=1,
    ).astype(bool)
    theirs[np.arange(89), new.predicted] = True  # a set of ours is never empty
    np.testing.assert_array_equal(sets.mask(new.probabilities), theirs)


def test_each_class_is_covered_as_promised_on_other_images():
    fitted, new = drawn(3000, seed=3), drawn(30_000, seed=4)
    sets = fit_sets(fitted, 0.9).sets
    held = sets.mask(new.probabilities)[np.arange(len(new)), new.labels]
    for k in range(3):
        assert held[new.labels == k].mean() == pytest.approx(0.9, abs=0.03)
    common = fit_sets(fitted, 0.9, per_class=False).sets.mask(new.probabilities)
    held = common[np.arange(len(new)), new.labels]
    assert held.mean() == pytest.approx(0.9, abs=0.02)
    assert held[new.labels == 2].mean() < 0.8, "one threshold for all covers the rare class less"


def test_what_the_sets_are_worth_is_judged_on_images_that_did_not_fit_them():
    judged = fit_sets(drawn(4000, seed=5), 0.9)
    assert judged.covered == pytest.approx(0.9, abs=0.02)
    assert 1 < judged.size < 3
    assert 0 < judged.single < 1
    assert judged.single_right > 0.8
    assert set(judged.by_class) == {"a", "b", "c"}
    assert judged.to_dict()["least"] == judged.sets.least


def test_a_class_of_too_few_images_is_in_every_set():
    """Of eight images, none is so improbable that 90 % of nine lie above it: the class is never left out."""
    probabilities = np.array([[0.9, 0.1]] * 40 + [[0.2, 0.8]] * 8)
    predictions = Predictions([str(i) for i in range(48)], np.repeat([0, 1], [40, 8]), probabilities, ("many", "few"))
    sets = fit_sets(predictions, 0.9).sets
    assert sets.least == (0.9, 0.0)
    assert sets.names([0.999, 0.001], ("many", "few")) == ("many", "few")


def test_a_set_worked_by_hand():
    """Nine images at 80 %: the ceil(10 * .8) = 8th highest probability of the true class is the least."""
    true = [0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.5]
    predictions = Predictions(
        [str(i) for i in range(9)], np.zeros(9, dtype=int), np.array([[p, 1 - p] for p in true]), ("cat", "dog")
    )
    assert fit_sets(predictions, 0.8).sets.least == (0.6, 0.0)


def test_the_most_probable_class_is_in_the_set_whatever_the_thresholds():
    sets = PredictionSets(0.5, (0.9, 0.9, 0.3))
    assert sets.mask(np.array([[0.5, 0.3, 0.2]], dtype=np.float32)).tolist() == [[True, False, False]]
    assert sets.names([0.3, 0.35, 0.35], ("a", "b", "c")) == ("b", "c")


@pytest.mark.parametrize("coverage", [0, 1, 90, float("nan")])
def test_a_coverage_that_is_no_share_is_refused(coverage):
    with pytest.raises(UsageError, match=r"give a share between 0 and 1, such as 0\.9"):
        fit_sets(drawn(30), coverage)
