"""How many labels of a data set are wrong, from the suspects that were looked at and a random sample of all pictures.

Suspects alone would say too much, as they were chosen for being wrong; a random sample alone wants many pictures. So
the most suspicious pictures, looked through one by one, are counted as they are, and the random sample speaks for the
rest. Nobody who answers knows which picture is which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from mien.intervals import of_sample

Verdict = Literal["right", "wrong", "unsure"]


class Looked(NamedTuple):
    """An answer. rank: the picture's place in the order of suspicion. draw: its place in the random sample, or None."""

    rank: int
    draw: int | None
    verdict: Verdict


@dataclass(frozen=True)
class ErrorRate:
    """How many of the labels of `pictures` pictures are wrong.

    share: the best guess, None as long as no random picture has had a sure answer. interval: its 95 % interval; a "not
    sure" counts as right at its lower end and as wrong at its upper end. suspects, suspects_wrong: looked through in
    the order of suspicion without a gap. controls, controls_wrong: of the random sample, those that are not among them.
    unsure: "not sure" of both.
    """

    pictures: int
    share: float | None
    interval: tuple[float, float]
    suspects: int
    suspects_wrong: int
    controls: int
    controls_wrong: int
    unsure: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def error_rate(pictures: int, answers: Sequence[Looked]) -> ErrorRate:
    """Estimate from answers whose draws are 0, 1, 2 ... without a gap in the random sample."""
    top = _without_gap({answer.rank for answer in answers})
    drawn = _without_gap({answer.draw for answer in answers if answer.draw is not None})
    suspects = [answer.verdict for answer in answers if answer.rank < top]
    controls = [
        answer.verdict for answer in answers if answer.rank >= top and answer.draw is not None and answer.draw < drawn
    ]
    rest = pictures - top
    wrong, unsure = suspects.count("wrong"), suspects.count("unsure")
    least, _ = of_sample(controls.count("wrong"), len(controls), rest)
    _, most = of_sample(controls.count("wrong") + controls.count("unsure"), len(controls), rest)
    return ErrorRate(
        pictures=pictures,
        share=_share(pictures, rest, suspects, controls),
        interval=((wrong + least) / pictures, (wrong + unsure + most) / pictures),
        suspects=top,
        suspects_wrong=wrong,
        controls=len(controls),
        controls_wrong=controls.count("wrong"),
        unsure=unsure + controls.count("unsure"),
    )


def _without_gap(numbers: set[int]) -> int:
    """How many of 0, 1, 2 ... are there before the first that is missing."""
    return next(number for number in range(len(numbers) + 1) if number not in numbers)


def _share(pictures: int, rest: int, suspects: Sequence[Verdict], controls: Sequence[Verdict]) -> float | None:
    parts = [(len(suspects), suspects), (rest, controls)]
    shares = [(count, _wrong_of_sure(verdicts)) for count, verdicts in parts if count]
    if any(share is None for _, share in shares):
        return None
    return sum(count * (share or 0.0) for count, share in shares) / pictures


def _wrong_of_sure(verdicts: Sequence[Verdict]) -> float | None:
    sure = len(verdicts) - verdicts.count("unsure")
    return verdicts.count("wrong") / sure if sure else None
