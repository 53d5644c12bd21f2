"""Temperature and threshold, on predictions whose true calibration is known."""

import numpy as np
import pytest

from mien.evaluate.calibration import NEVER, calibrate, cross_fitted, fit_temperature, fit_threshold, with_temperature
from mien.evaluate.metrics import calibration_error
from mien.runs import Predictions


def drawn(temperature: float, images: int = 4000, classes: int = 5) -> Predictions:
    """Labels drawn from true probabilities; the model's logits are the true ones times `temperature`."""
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(images, classes)) * 2
    true = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([generator.choice(classes, p=row) for row in true])
    shares = np.exp(logits * temperature)
    names = [str(i) for i in range(images)]
    return Predictions(names, labels, shares / shares.sum(1, keepdims=True), tuple("abcde"))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_put_in_is_found(temperature):
    assert fit_temperature(drawn(temperature)) == pytest.approx(temperature, rel=0.06)


def test_overconfidence_is_mended():
    predictions = drawn(3.0)
    assert calibration_error(predictions) > 0.1
    found = calibrate(predictions)
    assert found.calibration_error < 0.03
    assert calibration_error(with_temperature(predictions, found.temperature)) < 0.03


def test_a_temperature_does_not_change_the_answers():
    predictions = drawn(3.0, images=50)
    cooler = with_temperature(predictions, 7.0)
    np.testing.assert_array_equal(cooler.predicted, predictions.predicted)
    np.testing.assert_allclose(cooler.probabilities.sum(1), 1)
    logits = np.log(predictions.probabilities[0]) / 7
    np.testing.assert_allclose(cooler.probabilities[0], np.exp(logits) / np.exp(logits).sum())


def test_a_temperature_at_the_end_of_those_tried_is_told():
    sure = np.tile([[0.999, 0.001]], (4, 1))
    chance = Predictions(list("abcd"), np.array([0, 1, 0, 1]), sure, ("x", "y"))
    right = Predictions(list("abcd"), np.zeros(4, dtype=int), np.tile([[0.6, 0.4]], (4, 1)), ("x", "y"))
    assert [calibrate(one).bound for one in (chance, right, drawn(1.0))] == ["highest", "lowest", ""]
    flat = np.where(np.arange(50)[:, None] < 45, [[0.5001, 0.4999]], [[0.50005, 0.49995]])
    barely = Predictions(list(map(str, range(50))), np.repeat([0, 1], [45, 5]), flat, ("x", "y"))
    causes = [calibrate(one).cause for one in (chance, right, barely, drawn(1.0))]
    expected = ("next to nothing", "all 4 validation images are answered rightly", "hardly differ", "")
    assert all(words in cause for cause, words in zip(causes, expected, strict=True))
    assert causes[-1] == ""


def test_few_images_prove_little():
    """The upper end of Wilson's interval of the answers that are given."""
    found = calibrate(drawn(1.0, images=36))
    answers = round(found.answered * 36)
    share, z2 = found.wrong, 1.959964**2
    half = 1.959964 * np.sqrt(share * (1 - share) / answers + z2 / (4 * answers**2))
    assert found.wrong_at_most == pytest.approx((share + z2 / (2 * answers) + half) / (1 + z2 / answers))
    assert found.wrong_at_most > found.wrong + 0.05
    assert (found.images, found.errors) == (36, int((~drawn(1.0, images=36).correct).sum()))
    many = calibrate(drawn(1.0))
    assert many.wrong < many.wrong_at_most < many.wrong + 0.03


def test_a_threshold_by_hand():
    """Right, right, wrong, right, by falling confidence: a third wrong at .7, a quarter at .6."""
    confidence = np.array([0.9, 0.8, 0.7, 0.6])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    predictions = Predictions(list("abcd"), np.array([0, 0, 1, 0]), probabilities, ("x", "y"))
    assert fit_threshold(predictions, 0.25) == pytest.approx(0.6)
    assert fit_threshold(predictions, 0.2) == pytest.approx(0.8)
    wrong = Predictions(list("abcd"), np.array([1, 1, 1, 1]), probabilities, ("x", "y"))
    assert fit_threshold(wrong, 0.1) == NEVER


@pytest.mark.parametrize("right_first", [True, False])
def test_equal_confidences_are_answered_together_or_not_at_all(right_first):
    labels = np.sort(np.arange(100) % 2)[:: 1 if right_first else -1]
    predictions = Predictions(list(map(str, labels)), labels, np.tile([[0.9, 0.1]], (100, 1)), ("x", "y"))
    assert fit_threshold(predictions, 0.2) == NEVER
    assert fit_threshold(predictions, 0.5) == pytest.approx(0.9)


def test_where_no_threshold_keeps_the_error_rate_nothing_is_answered():
    wrong = Predictions(list("abcd"), np.ones(4, dtype=int), np.tile([[1.0, 0.0]], (4, 1)), ("x", "y"))
    found = calibrate(wrong, 0.1)
    assert wrong.confidence.max() < found.threshold
    assert found.answered == 0


def test_what_is_stated_is_what_the_threshold_does():
    """The two surest of eight are wrong: all together allow no threshold, though one half of them does."""
    confidence = np.linspace(0.9, 0.55, 8)
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    predictions = Predictions(list("abcdefgh"), np.array([1, 1, 0, 0, 0, 0, 0, 0]), probabilities, ("x", "y"))
    assert cross_fitted(predictions, 0.2, 0)[1].any()
    found = calibrate(predictions)
    assert (found.threshold, found.answered, found.wrong, found.wrong_at_most) == (NEVER, 0, 0, 1)


def test_the_stated_error_rate_is_kept_on_images_that_were_not_fitted_on():
    found = calibrate(drawn(1.0), error_rate=0.1)
    assert found.wrong == pytest.approx(0.1, abs=0.03)
    assert 0.2 < found.answered < 0.9


@pytest.mark.filterwarnings("error")
def test_a_single_image_leaves_one_half_empty():
    one = Predictions(["a"], np.array([0]), np.array([[0.7, 0.3]]), ("x", "y"))
    assert calibrate(one).calibration_error == pytest.approx(0.3)
