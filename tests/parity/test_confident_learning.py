"""Suspects and their order are cleanlab's."""

import numpy as np
import pytest
from cleanlab.count import compute_confident_joint, get_confident_thresholds
from cleanlab.rank import get_label_quality_scores

from mien.review import confident_learning


def noisy(classes, images=600, seed=0):
    """Labels of which a tenth is wrong, and probabilities that know something of the right ones."""
    random = np.random.default_rng(seed)
    truth = random.integers(classes, size=images)
    labels = np.where(random.random(images) < 0.1, random.integers(classes, size=images), truth)
    logits = random.normal(size=(images, classes)) + 1.5 * np.eye(classes)[truth]
    shares = np.exp(logits)
    return labels, shares / shares.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_thresholds_and_confidence(classes):
    labels, shares = noisy(classes)
    np.testing.assert_allclose(confident_learning.thresholds(labels, shares), get_confident_thresholds(labels, shares))
    wanted = get_label_quality_scores(labels, shares, method="self_confidence")
    np.testing.assert_allclose(confident_learning.own(labels, shares), wanted)
    usual = get_confident_thresholds(labels, shares)[labels]
    np.testing.assert_allclose(confident_learning.relative_confidence(labels, shares), wanted / usual)


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_suspects(classes):
    """Where several classes reach their thresholds cleanlab takes the most probable of all, the paper of these."""
    labels, shares = noisy(classes)
    reached = shares >= confident_learning.thresholds(labels, shares)
    rows = np.arange(len(labels))
    same = (reached.sum(axis=1) < 2) | reached[rows, shares.argmax(axis=1)]
    assert same.mean() > 0.95
    _, found = compute_confident_joint(labels, shares, calibrate=False, return_indices_of_off_diagonals=True)
    ours = np.flatnonzero(confident_learning.suspected(labels, shares))
    assert len(ours) > 20
    np.testing.assert_array_equal(np.intersect1d(ours, rows[same]), np.intersect1d(found, rows[same]))


def test_joint():
    labels, shares = noisy(2)
    wanted = compute_confident_joint(labels, shares, calibrate=False)
    np.testing.assert_array_equal(confident_learning.confident_joint(labels, shares), wanted)
