"""The error rate of the labels: its interval holds the truth, at the end of a review and wherever it is broken off."""

import numpy as np
import pytest
from scipy.stats import hypergeom

from mien.intervals import of_sample
from mien.review.choice import choose
from mien.review.error_rate import Looked, error_rate
from mien.review.evidence import Evidence


@pytest.mark.parametrize(("population", "sample", "count"), [(60, 50, 4), (200, 50, 3), (1000, 40, 4), (1000, 40, 500)])
def test_the_interval_of_a_sample_holds_the_truth_in_95_of_100(population, sample, count):
    covered = 0.0
    for found in range(max(0, sample - (population - count)), min(sample, count) + 1):
        low, high = of_sample(found, sample, population)
        covered += hypergeom.pmf(found, population, count, sample) * (low <= count <= high)
    assert covered >= 0.95


def test_samples_at_the_ends():
    assert of_sample(0, 0, 10) == (0, 10)
    assert of_sample(3, 10, 10) == (3, 3)
    assert of_sample(0, 50, 50) == (0, 0)
    low, high = of_sample(0, 50, 100_000)
    assert (low, high / 100_000) == (0, pytest.approx(1 - 0.025 ** (1 / 50), rel=0.01))  # Clopper and Pearson's


def test_suspects_are_counted_and_the_sample_speaks_for_the_rest():
    answers = [Looked(0, None, "wrong"), Looked(1, None, "right"), Looked(700, 0, "wrong"), Looked(80, 1, "right")]
    found = error_rate(1002, answers)
    assert found.share == pytest.approx((1 + 1000 / 2) / 1002)
    assert (found.suspects, found.suspects_wrong, found.controls, found.controls_wrong) == (2, 1, 2, 1)
    low, high = of_sample(1, 2, 1000)
    assert found.interval == ((1 + low) / 1002, (1 + high) / 1002)


def test_not_sure_widens_the_interval():
    sure = [Looked(0, None, "wrong"), Looked(9, 0, "right"), Looked(8, 1, "right")]
    unsure = [Looked(0, None, "unsure"), Looked(9, 0, "unsure"), Looked(8, 1, "right")]
    one, other = error_rate(10, sure), error_rate(10, unsure)
    assert other.unsure == 2
    assert other.interval[0] < one.interval[0] <= one.interval[1] < other.interval[1]


def test_no_figure_without_random_pictures():
    found = error_rate(100, [Looked(0, None, "wrong")])
    assert found.share is None
    assert found.interval == (0.01, 1.0)


def weak_evidence(random, pictures=400, wrong=40):
    """Labels of which `wrong` are wrong, and probabilities that know a little of it."""
    labels = random.integers(2, size=pictures)
    is_wrong = random.permutation(pictures) < wrong
    own = np.clip(random.normal(0.7 - 0.3 * is_wrong, 0.2), 0.01, 0.99)
    probabilities = np.where(np.arange(2) == labels[:, None], own[:, None], 1 - own[:, None])
    return Evidence(np.arange(pictures), labels, probabilities, np.zeros((pictures, 5), int), 0.5, {}), is_wrong


@pytest.mark.parametrize("answered", [0.4, 1.0])
def test_the_interval_holds_the_truth_wherever_a_review_stops(answered):
    held, widths = 0, []
    for seed in range(200):
        evidence, is_wrong = weak_evidence(np.random.default_rng(seed))
        shown, _ = choose(evidence, np.arange(400), ("a", "b"), suspects=40, controls=30, seed=seed)
        seen = shown[: int(answered * len(shown))]
        found = error_rate(
            400, [Looked(each.rank, each.draw, "wrong" if is_wrong[each.picture] else "right") for each in seen]
        )
        held += found.interval[0] <= is_wrong.mean() <= found.interval[1]
        widths.append(found.interval[1] - found.interval[0])
    assert held >= 0.93 * 200
    assert np.mean(widths) < 0.4


def test_the_order_gives_no_hint():
    """Random pictures stand at random places, and each picture comes once."""
    evidence, _ = weak_evidence(np.random.default_rng(0))
    shown, found = choose(evidence, np.arange(400), ("a", "b"), suspects=60, controls=20)
    assert len({each.picture for each in shown}) == len(shown)
    first = min(found, 60)
    controls = [number for number, each in enumerate(shown) if each.rank >= first]
    assert len(controls) == 20
    assert len(shown) == first + 20
    assert min(controls) < 0.3 * len(shown)
    assert max(controls) > 0.7 * len(shown)
    assert [each.rank for each in shown if each.draw is None] == sorted(
        each.rank for each in shown if each.draw is None
    )
