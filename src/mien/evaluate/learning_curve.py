"""A learning curve and what it says of more pictures: error(n) = a + b n^-c, with everything that is not known of it.

The error of a network falls with the training images as a power law, down to a floor that no number of them lowers
(Hestness et al., arXiv 1712.00409; Rosenfeld et al., arXiv 1909.12673). Few points leave floor and exponent open, so
no single curve is fitted: all curves that the points allow are kept, each as often as it is likely. That is a posterior
over a grid of exponents, from nearly 0 (a straight line over the logarithm of the images) to those of a curve that soon
reaches its floor; given one, level and slope are linear, so no search can fail.

A band holds three things: the curves that the points allow, how far one training strays from its curve (seeds), and
that the validation images are a sample, which a score on the very same images is spared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Band = tuple[float, float]

DRAWS = 4000  # of curves; the ends of a band then move by about a hundredth of its width from seed to seed
INSIDE = 0.9  # the share of the draws in a band
EXPONENTS = np.linspace(0.01, 1.5, 60)  # from a straight line over the logarithm to one that soon reaches its floor
FAR = 100  # times the images: no curve is below 0 there; its floor then is not, or not within anybody's reach
STEADIER = 0.4  # spread falls with the images to this power: other images matter less to a training on many
MISFIT = 0.03  # of the fall that was seen: no power law is exact


@dataclass(frozen=True)
class Point:
    """One training: on how many images, and which validation images it answered correctly, bool (N,)."""

    images: int
    correct: np.ndarray


@dataclass(frozen=True, eq=False)
class LearningCurve:
    """The curves that some points allow, each drawn as often as it is likely: D of them.

    level: the error at `reference` images. last: by how much it fell from half of them. exponent: c. spread: the
    standard deviation of one training around the curve there. Each (D,). validation: how many images the points were
    scored on. doubling_noise: the standard deviation of what a doubling brings that comes from the choice of these.
    """

    reference: float
    level: np.ndarray
    last: np.ndarray
    exponent: np.ndarray
    spread: np.ndarray
    validation: int
    doubling_noise: float

    def errors(self, images: float) -> np.ndarray:
        """The mean error of trainings on so many images, by each curve, on the validation images, (D,)."""
        return np.clip(self.level + self.last * _shape(images / self.reference, self.exponent), 0, 1)

    def accuracy(self, images: float) -> float:
        """The middle of what the curves say."""
        return float(1 - np.median(self.errors(images)))

    def band(self, images: float, judged: int | None = None) -> Band:
        """Where the accuracy of one training on so many images lies in 9 of 10 cases.

        judged: how many other validation images it is scored on; 0 means very many, None the very same ones.
        """
        random = np.random.default_rng(0)
        errors = self.errors(images)
        noise = self.spread * (images / self.reference) ** -STEADIER * random.standard_normal(len(errors))
        if judged is not None:
            share = 1 / self.validation + (1 / judged if judged else 0)
            noise += np.sqrt(errors * (1 - errors) * share) * random.standard_normal(len(errors))
        return _middle(1 - np.clip(errors + noise, 0, 1))

    def gain(self, before: float, after: float) -> tuple[float, Band]:
        """By how much the mean accuracy rises from so many images to so many, and its band for other images too."""
        gains = self.errors(before) - self.errors(after)
        doublings = np.sqrt(abs(np.log2(after / before)))
        noise = self.doubling_noise * doublings * np.random.default_rng(1).standard_normal(len(gains))
        return float(np.median(gains)), _middle(gains + noise)


def fit_curve(points: Sequence[Point], *, rising: bool = False) -> LearningCurve:
    """The learning curves that the points of at least three numbers of images allow.

    rising: whether the error may also rise with the images, as that of one class of several may.
    """
    groups = _by_images(points)
    sizes = np.array([size for size, _ in groups], dtype=float)
    errors = [np.array([1 - point.correct.mean() for point in found]) for _, found in groups]
    validation = len(points[0].correct)
    means = np.array([each.mean() for each in errors])
    spreads, freedom = _spreads(errors, sizes, validation)
    variances = spreads**2 / [len(each) for each in errors] + (MISFIT * np.ptp(means)) ** 2
    random = np.random.default_rng(0)
    wider = np.sqrt(freedom / random.chisquare(freedom, DRAWS))  # few seeds say little of how far seeds stray
    exponent, level, last = _drawn(sizes / sizes[-1], means, variances, wider, random, rising)
    return LearningCurve(
        reference=float(sizes[-1]),
        level=level,
        last=last,
        exponent=exponent,
        spread=wider * spreads[-1],
        validation=validation,
        doubling_noise=_doubling_noise(groups),
    )


def _drawn(
    ratios: np.ndarray, means: np.ndarray, variances: np.ndarray, wider: np.ndarray, random: np.random.Generator,
    rising: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Exponents, levels and last falls of the curves through the points, each (D,); see the module."""
    design = np.stack([np.ones((len(EXPONENTS), len(ratios))), _shape(ratios, EXPONENTS[:, None])], axis=2)  # (E, S, 2)
    weighted = design / variances[:, None]
    covariance = np.linalg.inv(np.einsum("esi,esj->eij", weighted, design))
    best = np.einsum("eij,esj,s->ei", covariance, weighted, means)  # (E, 2): level and last fall
    misfit = ((means - np.einsum("esi,ei->es", design, best)) ** 2 / variances).sum(axis=1)
    likely = np.exp(-(misfit - misfit.min()) / 2) * np.sqrt(np.linalg.det(covariance))
    chosen = random.choice(len(EXPONENTS), 8 * len(wider), p=likely / likely.sum())
    noise = np.einsum("dij,dj->di", np.linalg.cholesky(covariance)[chosen], random.standard_normal((len(chosen), 2)))
    drawn = best[chosen] + np.resize(wider, len(chosen))[:, None] * noise
    floor = drawn[:, 0] + drawn[:, 1] * _shape(FAR, EXPONENTS[chosen])
    # More are drawn than are wanted: no curve rises that must not, or falls below 0.
    kept = np.flatnonzero((rising | (drawn[:, 1] >= 0)) & (floor >= 0))[: len(wider)]
    if len(kept) < len(wider):  # points that are nearly level, or nearly all right: those few again, or all as they are
        kept = np.resize(kept if len(kept) else np.arange(len(chosen)), len(wider))
    return EXPONENTS[chosen[kept]], drawn[kept, 0], np.where(rising, drawn[kept, 1], np.maximum(drawn[kept, 1], 0))


def _shape(ratio: np.ndarray | float, exponent: np.ndarray) -> np.ndarray:
    """How far above its error at 1 a curve lies at a ratio of images, in units of the fall from 1/2 to 1."""
    return np.expm1(-exponent * np.log(ratio)) / np.expm1(exponent * np.log(2))


def _by_images(points: Sequence[Point]) -> list[tuple[int, list[Point]]]:
    """The points of each number of images, fewest first."""
    found: dict[int, list[Point]] = {}
    for point in points:
        found.setdefault(point.images, []).append(point)
    return sorted(found.items())


def _spreads(errors: Sequence[np.ndarray], sizes: np.ndarray, validation: int) -> tuple[np.ndarray, int]:
    """The standard deviation of one training at each number of images, and the degrees of freedom behind them.

    All sizes have it in common but for STEADIER: single ones are noisy. Never below half an image.
    """
    freedom = np.array([len(each) - 1 for each in errors])
    scale = (sizes / sizes[-1]) ** -STEADIER  # (sizes,)
    known = freedom > 0
    own = np.array([each.var(ddof=1) for each in errors if len(each) > 1]) / scale[known] ** 2
    common = float((own * freedom[known]).sum() / max(1, freedom.sum()))
    return np.maximum(common**0.5 * scale, 0.5 / validation), max(1, int(freedom.sum()))


def _doubling_noise(groups: Sequence[tuple[int, list[Point]]]) -> float:
    """How much another choice of validation images would change the gain of a doubling, from the two largest sizes."""
    (few, first), (many, last) = groups[-2:]
    gained = np.mean([p.correct for p in last], axis=0) - np.mean([p.correct for p in first], axis=0)
    return float(gained.std() / np.sqrt(len(gained)) / np.sqrt(np.log2(many / few)))


def _middle(values: np.ndarray) -> Band:
    low, high = np.quantile(values, [(1 - INSIDE) / 2, (1 + INSIDE) / 2])
    return float(low), float(high)
