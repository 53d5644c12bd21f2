"""How many more pictures, and of what? Trainings on parts of some data -> what more data should bring.

`Measured` is what forecast.json keeps: which validation images each training answered correctly. Everything else is
worked out from it, so a later version of mien, or a check against more data, starts from the same facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mien.atomic import read_json, write_json
from mien.errors import DataError, MissingError, UsageError
from mien.evaluate.learning_curve import Band, LearningCurve, Point, fit_curve
from mien.runs.records import from_dict, problem

FILE = "forecast.json"
FEWEST = 3  # numbers of images; two points lie on any curve
CURVE = np.geomspace(0.5, 4, 25)  # numbers of images that are drawn: from half of the fewest to four times all
MOST_NAMED = 3  # classes that may all be the one of which more helps most; of more, none stands out
Z90 = 1.6448536269514722  # 95 % quantile of the normal distribution: a two-sided 90 % band


@dataclass(frozen=True, kw_only=True)
class Trained:
    """One training on a part of the training images.

    images: how many. share: of all. seed: which part. halved: the class of which half was left out, '' for none.
    answers: the predicted class of each validation image, by its index. seconds: what it took.
    """

    images: int
    share: float
    seed: int
    halved: str = ""
    answers: list[int]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a forecast rests on.

    how: what was trained, {'features': 'mien:vit-tiny-imagenet'} say. counts: the training images of each class.
    labels: of the validation images, by their index. content: sha256 of the images that trained and that judged.
    """

    how: dict[str, Any]
    source: str
    classes: tuple[str, ...]
    counts: tuple[int, ...]
    labels: list[int]
    content: dict[str, str]
    trainings: list[Trained] = field(default_factory=list)

    @property
    def train(self) -> int:
        """How many training images there are."""
        return sum(self.counts)

    def correct(self, training: Trained) -> np.ndarray:
        """Which validation images a training answered correctly, bool (N,)."""
        return np.array(training.answers) == np.array(self.labels)

    def curve(self, label: int | None = None) -> LearningCurve:
        """The learning curve of all images, or of those of one class. Raises UsageError for fewer than three sizes."""
        by_share = self.by_share()
        by_share.pop(1.0, None)  # a check's, of which there is but one
        if len({images for images, _ in by_share.values()}) < FEWEST:
            raise UsageError(f"A learning curve needs at least {FEWEST} numbers of images. Give more `points`.")
        chosen = np.array(self.labels) == label if label is not None else slice(None)
        points = [Point(images, self.correct(each)[chosen]) for images, found in by_share.values() for each in found]
        return fit_curve(points, rising=label is not None)

    def by_share(self) -> dict[float, tuple[int, list[Trained]]]:
        """The trainings on each share, smallest first, and their mean number of images: groups make them differ."""
        whole = [each for each in self.trainings if not each.halved]
        found = {
            share: [each for each in whole if each.share == share] for share in sorted({each.share for each in whole})
        }
        return {share: (round(np.mean([each.images for each in some])), some) for share, some in found.items()}

    def save(self, path: Path, found: Forecast | None) -> None:
        """Write forecast.json, with what was worked out where that is known yet."""
        write_json(path, {"measured": asdict(self), "forecast": found and asdict(found)})

    @classmethod
    def load(cls, path: Path) -> Measured:
        """Raises MissingError when the file is not there, DataError when it is damaged or something else."""
        if not path.is_file():
            raise MissingError(f"{path}: there is no such file. A forecast is kept as {FILE} in its folder.")
        values = read_json(path, {}, "Make the forecast again.")
        try:
            return from_dict(cls, values["measured"])
        except (KeyError, ValueError) as error:
            what = problem(error) if isinstance(error, ValueError) else "it has no 'measured'"
            raise DataError(f"{path} is not a forecast of mien's: {what}.") from error


@dataclass(frozen=True)
class Expected:
    """The accuracy (of a class: recall) that one training on so many images should reach on other validation images.

    band: where it lies in 9 of 10 cases.
    """

    images: int
    accuracy: float
    band: Band


@dataclass(frozen=True)
class Gain:
    """By how much an accuracy rises on average, 0.018 is 1.8 points, and where the rise lies in 9 of 10 cases."""

    rise: float
    band: Band


@dataclass(frozen=True)
class ClassForecast:
    """What twice the pictures of all classes should bring to one class. images: those it has now, for training."""

    label: str
    images: int
    validation: int
    now: Expected
    doubled: Expected
    gain: Gain


@dataclass(frozen=True)
class Half:
    """What half of a class's pictures brought, the others staying: to the accuracy, and to the mean recall."""

    label: str
    images: int
    accuracy: Gain
    mean_recall: Gain


@dataclass(frozen=True)
class Forecast:
    """What more pictures should bring. points: the mean accuracy of the trainings on each number of images.

    curve: from few images to four times all. halves: the class of which more would help most first; [] where that was
    not measured.
    """

    train: int
    validation: int
    points: list[tuple[int, float]]
    curve: list[Expected]
    now: Expected
    doubled: Expected
    gain: Gain
    classes: list[ClassForecast]
    halves: list[Half]

    @property
    def verdict(self) -> str:
        """What twice the pictures should bring, in a sentence."""
        low, high = self.gain.band
        return (
            f"Twice the pictures ({2 * self.train:,} for training) should bring {100 * self.gain.rise:+.1f} points "
            f"({100 * low:.1f} to {100 * high:.1f}): from {self.now.accuracy:.1%} to {self.doubled.accuracy:.1%}."
        )

    @property
    def wanted(self) -> str:
        """Of which class more pictures would help most, in a sentence; '' where that was not measured."""
        if not self.halves:
            return ""
        best, (low, high) = self.halves[0], self.halves[0].accuracy.band
        as_good = [f"'{each.label}'" for each in self.halves if each.accuracy.band[1] >= best.accuracy.rise]
        told = f"half of {best.images:,} pictures of '{best.label}' brought {100 * best.accuracy.rise:+.1f} points"
        if low <= 0 or len(as_good) > MOST_NAMED:
            return f"No class stands out: {told} ({100 * low:.1f} to {100 * high:.1f}), the most."
        return f"More of {' or '.join(as_good)} should help most: {told} ({100 * low:.1f} to {100 * high:.1f})."


@dataclass(frozen=True)
class Checked:
    """A score on more pictures beside what an earlier forecast said of it.

    same_images: whether it was scored on the very validation images of the forecast, which makes the band narrower.
    """

    images: int
    accuracy: float
    expected: float
    band: Band
    inside: bool
    same_images: bool

    @property
    def verdict(self) -> str:
        """Whether the forecast held, in a sentence."""
        low, high = self.band
        where = "within the band" if self.inside else "above the band" if self.accuracy > high else "below the band"
        return (
            f"The forecast for {self.images:,} training images was {self.expected:.1%} ({low:.1%} to {high:.1%}); "
            f"measured are {self.accuracy:.1%}: {where}."
        )


def forecast(measured: Measured) -> Forecast:
    """Work out what more pictures should bring. Raises UsageError for fewer than three numbers of images."""
    whole, train, validation = measured.curve(), measured.train, len(measured.labels)
    points = [
        (images, float(np.mean([measured.correct(each) for each in found])))
        for images, found in measured.by_share().values()
    ]
    sizes = CURVE * np.geomspace(points[0][0], train, len(CURVE))
    return Forecast(
        train=train,
        validation=validation,
        points=points,
        curve=[expected(whole, int(images)) for images in sizes],
        now=expected(whole, train),
        doubled=expected(whole, 2 * train),
        gain=Gain(*whole.gain(train, 2 * train)),
        classes=_classes(measured),
        halves=_halves(measured),
    )


def expected(curve: LearningCurve, images: int) -> Expected:
    """What a curve says of so many images, on as many other validation images as it has seen."""
    return Expected(images, curve.accuracy(images), curve.band(images, curve.validation))


def check(earlier: Measured, now: Measured) -> Checked:
    """The score of a training on all images of `now` beside what the earlier forecast says of that many.

    Raises UsageError where the two are not of the same classes and trained alike.
    """
    if earlier.classes != now.classes:
        raise UsageError(f"`check`: the forecast is of the classes {', '.join(earlier.classes)}, the data has others.")
    if earlier.how != now.how:
        raise UsageError(f"`check`: the forecast is of {told(earlier.how)}, this is {told(now.how)}. Train alike.")
    whole = next(each for each in now.trainings if each.share == 1 and not each.halved)
    accuracy, curve = float(now.correct(whole).mean()), earlier.curve()
    same = earlier.content["validation"] == now.content["validation"]
    band = curve.band(whole.images, None if same else len(now.labels))
    inside = band[0] <= accuracy <= band[1]
    return Checked(whole.images, accuracy, curve.accuracy(whole.images), band, inside, same)


def told(how: dict[str, Any]) -> str:
    """What was trained, in words."""
    return ", ".join(f"{key} {value}" for key, value in how.items())


def _classes(measured: Measured) -> list[ClassForecast]:
    """Of each class with validation images; the one that gains most first."""
    held = np.bincount(measured.labels, minlength=len(measured.classes))
    found = []
    for label, name in enumerate(measured.classes):
        if not held[label]:
            continue
        curve, train = measured.curve(label), measured.train
        now, doubled = expected(curve, train), expected(curve, 2 * train)
        gain = Gain(*curve.gain(train, 2 * train))
        found.append(ClassForecast(name, measured.counts[label], int(held[label]), now, doubled, gain))
    return sorted(found, key=lambda each: -each.gain.rise)


def _halves(measured: Measured) -> list[Half]:
    """What half of each class brought to the trainings on most images; what brought most first."""
    most = max((each.share for each in measured.trainings if each.halved), default=0.0)
    alike = [each for each in measured.trainings if each.share == most]  # other `points` and `seeds` may be kept too
    whole = {each.seed: each for each in alike if not each.halved}
    by_class: dict[str, list[Trained]] = {}
    for each in alike:
        if each.halved:
            by_class.setdefault(each.halved, []).append(each)
    labels = np.array(measured.labels)
    counts = np.bincount(labels, minlength=len(measured.classes))
    equal = 1 / (counts[labels] * (counts > 0).sum())  # weights that make the mean over images one over classes
    found = []
    for name, halved in by_class.items():
        rises = [measured.correct(whole[each.seed]).astype(float) - measured.correct(each) for each in halved]
        images = round(np.mean([whole[each.seed].images - each.images for each in halved]) * 2)
        even = np.full(len(labels), 1 / len(labels))
        found.append(Half(name, images, _rise(rises, even), _rise(rises, equal)))
    return sorted(found, key=lambda each: -each.accuracy.rise)


def _rise(rises: Sequence[np.ndarray], weights: np.ndarray) -> Gain:
    """The mean of paired differences (N,), one for each seed, with what seeds and the choice of images add to it."""
    each = np.array(rises) @ weights  # (seeds,)
    by_image = np.mean(rises, axis=0)  # (N,)
    mean = float(each.mean())
    variance = float((weights**2 * (by_image - mean) ** 2).sum())
    variance += float(each.var(ddof=1)) / len(each) if len(each) > 1 else 0.0
    half = Z90 * variance**0.5
    return Gain(mean, (mean - half, mean + half))
