"""Weights of classes by hand, and warnings that weigh how many images there are."""

from types import SimpleNamespace

import numpy as np
import pytest

from mien.config import Recipe, Train
from mien.errors import SettingError, UsageError
from mien.runs import Env
from mien.train.callbacks import StuckWarning
from mien.train.class_weights import class_weights, ignorant_loss, too_wide
from mien.train.environment import _badly_scaled

CLASSES = ("cat", "dog")
COUNTS = np.array([10, 90])


def weights(how, counts=COUNTS, classes=CLASSES):
    return class_weights(Recipe(train=Train(class_weights=how)), counts, classes)


def test_each_scheme_by_hand():
    """Inverse 1/10 to 1/90, roots 1/3.16 to 1/9.49; effective numbers (1 - .999^10) / .001 = 9.955 and 86.12."""
    assert weights("none") is None
    np.testing.assert_allclose(weights("inverse"), [100 / (2 * 10), 100 / (2 * 90)])
    assert np.divide(*weights("sqrt")) == pytest.approx(3)
    assert np.divide(*weights("effective")) == pytest.approx(86.12 / 9.955, rel=1e-3)
    np.testing.assert_allclose(weights({"Dog": 3}), np.array([1, 3]) * 100 / 280)
    for how in ("inverse", "sqrt", "effective", {"cat": 2, "dog": 7}):
        assert (weights(how) * COUNTS).sum() == pytest.approx(100)  # the loss keeps its scale


def test_effective_numbers_reach_from_inverse_to_none():
    """arXiv 1901.05555: of few images the inverse count, of very many no difference any more."""
    assert np.divide(*weights("effective", np.array([2, 4]))) == pytest.approx(2, rel=2e-3)
    assert np.divide(*weights("effective", np.array([20_000, 90_000]))) == pytest.approx(1, rel=1e-3)


def test_true_and_false_of_older_recipes_are_inverse_and_none():
    assert [Train(class_weights=old).class_weights for old in (True, False, "true")] == ["inverse", "none", "inverse"]
    assert Train(class_weights="{cat: 2}").class_weights == {"cat": 2}


@pytest.mark.parametrize("wrong", ["squareroot", {"cat": -1}, "{cat: much}", 3, ["cat", 2], {"cat": 0}, "{cat: .inf}"])
def test_what_is_no_weight_is_refused_in_one_sentence(wrong):
    with pytest.raises(SettingError, match="give none, inverse, sqrt, effective, or numbers for classes") as refused:
        Train(class_weights=wrong)
    assert "\n" not in str(refused.value)


def test_a_class_that_is_not_there_is_named():
    with pytest.raises(UsageError, match="names 'kat', which is no class of the data"):
        weights({"kat": 2})
    with pytest.raises(UsageError, match="weighs one class twice: cat, Cat"):
        weights({"cat": 2, "Cat": 3})


def test_one_answer_for_all_images_costs_what_the_weights_favour():
    uniform, prior = np.log(2), -(0.1 * np.log(0.1) + 0.9 * np.log(0.9))
    for how, sampler, expected in (
        ("none", "shuffle", prior),
        ("inverse", "shuffle", uniform),
        ("none", "balanced", uniform),
    ):
        recipe = Recipe(train=Train(class_weights=how, sampler=sampler))
        assert ignorant_loss(recipe, COUNTS, class_weights(recipe, COUNTS, CLASSES)) == pytest.approx(expected)
    recipe = Recipe(train=Train(class_weights="sqrt"))  # favours 1/4 and 3/4
    found = ignorant_loss(recipe, COUNTS, class_weights(recipe, COUNTS, CLASSES))
    assert found == pytest.approx(-(0.1 * np.log(0.25) + 0.9 * np.log(0.75)))


@pytest.mark.parametrize(
    ("train", "ratio"),
    [({"class_weights": "inverse"}, 53), ({"sampler": "balanced"}, 53), ({"class_weights": "sqrt"}, None), ({}, None)],
)
def test_a_class_that_counts_53_times_as_much_is_told(train, ratio):
    found = too_wide(Recipe(train=Train(**train)), np.array([7, 371]), CLASSES)
    if ratio is None:
        assert found == ""
    else:
        assert f"An image of cat (7 there are) counts {ratio} times as much as one of dog (371)" in found


@pytest.mark.parametrize(("error", "warned"), [(0.01, True), (0.3, False)])
def test_a_loss_of_few_images_may_be_high_by_chance(error, warned):
    env = Env(classes=CLASSES, initial_loss=1.0, ln_classes=np.log(2))
    assert bool(list(_badly_scaled(Recipe(), env, error))) == warned


@pytest.mark.parametrize(
    ("steps", "accuracy", "warned"),
    [(50, 0.5, 1), (4, 0.5, 0), (50, 0.95, 0)],  # an epoch of 4 steps; an input that is not ignored
)
def test_stuck_weighs_steps_and_images(steps, accuracy, warned):
    warnings = []
    callback = StuckWarning(0.693, 0.5, 40, warnings)
    for epoch in range(8):
        trainer = SimpleNamespace(
            callback_metrics={"val_loss": 0.694, "val_accuracy": accuracy},
            global_step=steps * (epoch + 1),
            current_epoch=epoch,
            is_global_zero=False,
        )
        callback.on_train_epoch_end(trainer, None)
    assert len(warnings) == warned
