"""What the JSON files of a run folder hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Annotated, Any, TypeVar, cast

from pydantic import BeforeValidator, TypeAdapter

from mien.labels import LabelDisagreement

Record = TypeVar("Record")


def _number(value: Any) -> Any:
    return math.nan if value is None else value


# JSON has no nan: a number that cannot be computed is null there.
Number = Annotated[float, BeforeValidator(_number)]


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """How many of some images were answered correctly. accuracy: 0..1, nan without images.

    interval: its 95 % interval (Wilson's), (0, 1) without images.
    """

    images: int
    correct: int
    accuracy: Number
    interval: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class ClassScores:
    """The scores of one class, each 0..1. images: of this class. correct: of these, answered correctly."""

    recall: float
    correct: int
    images: int
    precision: float
    f1: float


@dataclass(frozen=True, kw_only=True)
class Subgroup(Accuracy):
    """The images of a split that share a value of a column, such as the camera.

    value: '(none)' where the table gives none. clean: as in `Scores`. difference: accuracy minus that of all others.
    p_value: Fisher's exact test against all others; adjusted_p_value: for the number of subgroups (Holm).
    small: so few images that only a gross difference shows.
    """

    value: str
    clean: Accuracy | None
    macro_f1: float
    difference: Number
    p_value: float
    adjusted_p_value: float
    more_than_chance: bool
    small: bool


@dataclass(frozen=True, kw_only=True)
class Subgroups:
    """The subgroups that a column makes of a split, the least accurate first.

    quarters: whether its numbers were put into quarters of about equally many images.
    """

    column: str
    quarters: bool
    groups: list[Subgroup]


@dataclass(frozen=True, kw_only=True)
class Scores(Accuracy):
    """Every score of one split.

    clean: of the images that are no copies of training images, neither identical nor near; None where not known.
    without_identical: of those that are no identical ones, as `clean` meant it in version 0.1; None where `clean` still
    does, in scores of that version.
    label_disagreement: how often two labels of one photograph differ, which bounds every accuracy; None where the data
    hold no photograph twice, or that was not looked for.
    per_class: by class name, in the order of `confusion_matrix`, whose rows are the truth and columns the answers.
    calibration_error: expected, 15 bins. negative_log_likelihood: mean, in nats.
    subgroups: where a column was asked for.
    """

    clean: Accuracy | None = None
    without_identical: Accuracy | None = None
    label_disagreement: LabelDisagreement | None = None
    macro_f1: float
    weighted_f1: float
    balanced_accuracy: float
    per_class: dict[str, ClassScores]
    confusion_matrix: list[list[int]]
    calibration_error: float
    negative_log_likelihood: Number
    top2_accuracy: float
    subgroups: Subgroups | None = None


@dataclass(frozen=True, kw_only=True)
class ChangeScore(Accuracy):
    """The accuracy on images with one change at one strength, such as noise of 0.1 standard deviations."""

    change: str
    strength: float
    unit: str


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """What a run notes of its data. fingerprint: of its images, labels and splits.

    images: of each split. counts: of each split, the images of each class. left_out: images by the reason.
    """

    fingerprint: str = ""
    images: dict[str, int] = field(default_factory=dict)
    counts: dict[str, list[int]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    unreadable: int = 0
    preprocessing: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TrainedShare:
    """What trains in one epoch: the share (0..1) of all the model's parameters, and of those of each of its parts."""

    epoch: int
    share: float
    parts: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class AveragedRun:
    """One of the runs that an average is made of. share: how much it counts, all add up to 1."""

    run: str
    recipe: str
    share: float
    accuracy: float | None


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one training took."""

    seconds: float
    epochs: int


@dataclass(frozen=True, kw_only=True)
class Extension:
    """More epochs for a run that had trained some. after: how many it had. epochs: how many in all. date: when."""

    after: int
    epochs: int
    date: str


@dataclass(frozen=True, kw_only=True)
class Env:
    """What a run ran on, what it cost and what it found. None: not noted, or not yet.

    warnings: what is probably not meant. init: the fingerprint of the checkpoint that it started from. teachers: their
    fingerprints, by their sources.
    trained: what trained in each epoch, () where everything did all the time.
    initial_loss: of the untrained network, on initial_loss_images training images. ln_classes, prior_entropy,
    ignorant_loss: the loss of a uniform guess, of the class frequencies, and of an output that ignores the input.
    feature_seconds: what a frozen backbone took before the first epoch. best_epoch: whose weights were kept.
    extensions: where the run was given more epochs.
    adopted: where a network comes from that was not trained here.
    average, trainings: of an average of runs, its runs, and the cost of each training behind it by its folder.
    """

    mien: str | None = None
    torch: str | None = None
    lightning: str | None = None
    numpy: str | None = None
    python: str | None = None
    commit: str | None = None
    hardware: str | None = None
    device: str | None = None
    precision: str | None = None
    threads: int | None = None
    processes: int | None = None
    seed: int | None = None
    started: str | None = None
    classes: tuple[str, ...] = ()
    parameters: int | None = None
    flops: int | None = None
    initial_loss: float | None = None
    initial_loss_images: int | None = None
    warnings: tuple[str, ...] = ()
    init: str | None = None
    adopted: str | None = None
    teachers: dict[str, str] = field(default_factory=dict)
    trained: tuple[TrainedShare, ...] = ()
    store: DataFacts = field(default_factory=DataFacts)
    ln_classes: float | None = None
    prior_entropy: float | None = None
    ignorant_loss: float | None = None
    feature_seconds: float | None = None
    seconds: float | None = None
    best_epoch: int | None = None
    epochs: int | None = None
    extensions: tuple[Extension, ...] = ()
    average: tuple[AveragedRun, ...] = ()
    trainings: dict[str, Cost] = field(default_factory=dict)


def to_dict(record: Any) -> dict[str, Any]:
    """A record as JSON types. What is None in an `Env`, and what only some runs have, is left out."""
    values: dict[str, Any] = plain(asdict(record))
    if isinstance(record, Env):
        of_some = ("extensions", "average", "trainings")
        return {key: each for key, each in values.items() if each is not None and (each or key not in of_some)}
    return values


def from_dict(kind: type[Record], values: Any) -> Record:
    """Raises pydantic's ValidationError, a ValueError, where `values` are not those of such a record."""
    return _adapter(cast(Any, kind)).validate_python(values)


def problem(error: ValueError) -> str:
    """What is wrong with a record, in a few words: the first complaint and where it is."""
    first: Mapping[str, Any] = next(iter(getattr(error, "errors", list)()), {"loc": (), "msg": str(error)})
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def plain(value: Any) -> Any:
    """The same in JSON's types: tuples as lists, and the accuracy of no images as null."""
    if isinstance(value, dict):
        found = {key: plain(each) for key, each in value.items()}
        accuracy = found.get("accuracy")
        return found | {"accuracy": None} if isinstance(accuracy, float) and math.isnan(accuracy) else found
    return [plain(each) for each in value] if isinstance(value, list | tuple) else value
