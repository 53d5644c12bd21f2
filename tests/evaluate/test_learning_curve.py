"""Learning curves against known ones: what was put in comes out, and the band holds the truth as often as it says."""

import numpy as np
import pytest

from mien.evaluate import learning_curve
from mien.evaluate.learning_curve import Point, fit_curve

SIZES = (250, 500, 1000, 2000)


def drawn(error, validation: int = 1000, seeds: int = 4, stray: float = 0.004, seed: int = 0) -> list[Point]:
    """Trainings whose error is error(images): the images that are hard for one are hard for the others, too."""
    random = np.random.default_rng(seed)
    hardness = random.random(validation)
    points = []
    for images in SIZES:
        for _ in range(seeds):
            own = np.clip(hardness + 0.05 * random.standard_normal(validation), 0, 1)
            points.append(Point(images, own > np.clip(error(images) + stray * random.standard_normal(), 0, 1)))
    return points


@pytest.fixture(autouse=True)
def fewer_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning_curve, "DRAWS", 1500)


@pytest.mark.parametrize(
    "error",
    [
        lambda n: 2.5 * n**-0.3,
        lambda n: 0.1 + 6 * n**-0.6,
        lambda n: 0.55 - 0.04 * np.log2(n / 100),
        lambda n: 0.3 + 0 * n,
    ],
    ids=["power", "floor", "logarithm", "flat"],
)
def test_a_known_curve_is_continued(error) -> None:
    curve = fit_curve(drawn(error, validation=20_000, seeds=8, stray=0.0005))
    for images in (2000, 4000, 8000):
        assert curve.accuracy(images) == pytest.approx(1 - error(images), abs=0.012)
        low, high = curve.band(images, judged=20_000)
        assert low <= 1 - error(images) <= high
        assert high - low < 0.08
    rise, (low, high) = curve.gain(2000, 4000)
    assert rise == pytest.approx(error(2000) - error(4000), abs=0.012)
    assert low - 0.003 <= error(2000) - error(4000) <= high


def test_the_band_holds_the_truth_about_as_often_as_it_says() -> None:
    def error(images: float) -> float:
        return 0.12 + 4 * images**-0.45

    held, widths = [], []
    for seed in range(60):
        curve = fit_curve(drawn(error, validation=600, seed=seed))
        random = np.random.default_rng(1000 + seed)
        truth = 1 - (error(4000) + 0.004 * random.standard_normal())
        low, high = curve.band(4000, judged=600)
        widths.append(high - low)
        held.append(low <= random.binomial(600, truth) / 600 <= high)
    assert np.mean(held) >= 0.83
    assert np.mean(widths) < 0.1  # 600 images to fit and 600 to judge make .087 alone


def test_the_same_images_make_a_narrower_band_and_more_images_a_narrower_one_too() -> None:
    curve = fit_curve(drawn(lambda n: 2.5 * n**-0.3))

    def width(judged: int | None) -> float:
        low, high = curve.band(4000, judged)
        return high - low

    assert width(None) < width(0) < width(5000) < width(200)


def test_far_away_less_is_known() -> None:
    curve = fit_curve(drawn(lambda n: 2.5 * n**-0.3))
    widths = [high - low for low, high in (curve.band(images) for images in (2000, 4000, 16_000))]
    assert widths == sorted(widths)


def test_a_class_may_lose_but_all_together_may_not() -> None:
    losing = drawn(lambda n: 0.3 + 0.02 * np.log2(n / 250), validation=4000)
    assert fit_curve(losing, rising=True).gain(2000, 4000)[0] < -0.005
    assert fit_curve(losing).gain(2000, 4000)[0] >= 0


def test_everything_right_and_trainings_that_agree() -> None:
    curve = fit_curve([Point(images, np.ones(50, dtype=bool)) for images in SIZES for _ in range(2)])
    assert curve.accuracy(4000) == pytest.approx(1, abs=0.01)
    low, high = curve.band(4000, judged=50)
    assert 0.9 < low <= high <= 1


def test_one_forecast_is_the_same_each_time() -> None:
    points = drawn(lambda n: 2.5 * n**-0.3)
    assert fit_curve(points).band(4000) == fit_curve(points).band(4000)
