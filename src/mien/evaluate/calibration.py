"""Honest probabilities: a temperature, and a confidence below which the answer is "unsure".

Both are fitted on validation and judged by two-fold cross-fitting: fitted on one half, measured on the other,
so that no image judges what it helped to fit. Guo et al., "On Calibration of Modern Neural Networks"
(arXiv 1706.04599).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mien.evaluate.metrics import calibration_error, calibration_error_interval, negative_log_likelihood
from mien.intervals import wilson
from mien.runs import Predictions

TEMPERATURES = (0.05, 20.0)
NEVER = 2.0  # a threshold that no confidence reaches, not even 1 (JSON has no infinity)


@dataclass(frozen=True)
class Calibration:
    """What travels with an exported model.

    temperature: logits are divided by it. threshold: a confidence below it is "unsure"; NEVER where all are.
    error_rate: share of wrong answers among those that are not unsure, as it was asked for.
    calibration_error, answered, wrong: of the validation images by cross-fitting; the expected calibration error
    (15 bins), the share that gets an answer, and the share of wrong ones among these. Both shares are 0 where the
    threshold is NEVER: whatever half of the images would allow, no image gets an answer.
    calibration_error_interval: its 95 % interval, by the bootstrap.
    wrong_at_most: the upper end of the 95 % interval of `wrong` (Wilson); 1 where no image gets an answer.
    images, errors: how many there are, and how many of them are answered wrongly where nothing is "unsure".
    """

    temperature: float
    threshold: float
    error_rate: float
    calibration_error: float
    answered: float
    wrong: float
    wrong_at_most: float
    images: int
    errors: int
    calibration_error_interval: tuple[float, float]

    @property
    def bound(self) -> str:
        """'lowest' or 'highest' where the temperature is that of all that are tried, else ''."""
        low, high = (math.isclose(self.temperature, end, rel_tol=1e-3) for end in TEMPERATURES)
        return "lowest" if low else "highest" if high else ""

    @property
    def cause(self) -> str:
        """Why the temperature is the lowest or the highest that is tried; '' where it is neither."""
        if self.bound == "highest":
            return "how sure the network is says next to nothing about whether it is right."
        if self.bound == "lowest" and not self.errors:
            return (
                f"all {self.images:,} validation images are answered rightly, so nothing shows how sure is too sure. "
                "Its probabilities will be near 0 or 1; believe them only after more images."
            )
        if self.bound == "lowest":
            return "its probabilities hardly differ from one image to the next. Train it longer."
        return ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def calibrate(predictions: Predictions, error_rate: float = 0.2, seed: int = 0) -> Calibration:
    """Fit temperature and threshold on all predictions of a split, and judge both by two-fold cross-fitting."""
    temperature = fit_temperature(predictions)
    scaled = with_temperature(predictions, temperature)
    judged, answered = cross_fitted(predictions, error_rate, seed)
    threshold = fit_threshold(scaled, error_rate)
    answered &= threshold < NEVER
    right = judged.correct[answered]
    return Calibration(
        temperature=temperature,
        threshold=threshold,
        error_rate=error_rate,
        calibration_error=calibration_error(judged),
        answered=float(answered.mean()),
        wrong=float(1 - right.mean()) if len(right) else 0.0,
        wrong_at_most=wilson(int((~right).sum()), len(right))[1],
        images=len(predictions),
        errors=int((~predictions.correct).sum()),
        calibration_error_interval=calibration_error_interval(judged),
    )


def fit_temperature(predictions: Predictions) -> float:
    """The temperature with the least negative log-likelihood, which has one minimum in log T (golden section).

    1 where there are no predictions: of a single image, one half has none.
    """
    if not len(predictions):
        return 1.0
    low, high = np.log(TEMPERATURES)
    golden = (np.sqrt(5) - 1) / 2
    for _ in range(60):
        left, right = high - golden * (high - low), low + golden * (high - low)
        if _loss(predictions, np.exp(left)) < _loss(predictions, np.exp(right)):
            high = right
        else:
            low = left
    return float(np.exp((low + high) / 2))


def fit_threshold(predictions: Predictions, error_rate: float) -> float:
    """The least confidence from which on at most `error_rate` of the answers are wrong; NEVER where there is none."""
    order = np.argsort(-predictions.confidence, kind="stable")
    confidence = predictions.confidence[order]
    wrong = np.cumsum(~predictions.correct[order]) / np.arange(1, len(order) + 1)
    last = np.append(confidence[1:] < confidence[:-1], True)  # equal confidences are answered together or not at all
    allowed = np.flatnonzero(last & (wrong <= error_rate))
    return float(confidence[allowed[-1]]) if len(allowed) else NEVER


def with_temperature(predictions: Predictions, temperature: float) -> Predictions:
    """The predictions with their logits divided by the temperature: probabilities ** (1 / T), normalised."""
    logs = _logs(predictions) / temperature  # (N, K)
    shares = np.exp(logs - logs.max(axis=1, keepdims=True))
    scaled = shares / shares.sum(axis=1, keepdims=True)
    return Predictions(predictions.names, predictions.labels, scaled, predictions.classes)


def cross_fitted(predictions: Predictions, error_rate: float, seed: int) -> tuple[Predictions, np.ndarray]:
    """Every prediction at the temperature of the other half, and whether that half's threshold lets it answer."""
    half = np.random.default_rng(seed).permutation(len(predictions)) % 2
    probabilities = np.empty_like(predictions.probabilities)
    answered = np.empty(len(predictions), dtype=bool)
    for side in (0, 1):
        other, judged = predictions.only(half != side), predictions.only(half == side)
        temperature = fit_temperature(other)
        threshold = fit_threshold(with_temperature(other, temperature), error_rate)
        scaled = with_temperature(judged, temperature)
        probabilities[half == side] = scaled.probabilities
        answered[half == side] = scaled.confidence >= threshold
    return Predictions(predictions.names, predictions.labels, probabilities, predictions.classes), answered


def _logs(predictions: Predictions) -> np.ndarray:
    return np.log(np.maximum(predictions.probabilities.astype(np.float64), 1e-12))


def _loss(predictions: Predictions, temperature: float) -> float:
    return negative_log_likelihood(with_temperature(predictions, temperature))
