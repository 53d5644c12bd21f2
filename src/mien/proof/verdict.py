"""A claim, what was found instead of it or the same, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mien.runs.records import plain

Verdict = Literal["holds", "fails", "cannot be checked"]
HOLDS: Verdict = "holds"
FAILS: Verdict = "fails"
CANNOT: Verdict = "cannot be checked"


@dataclass(frozen=True)
class Claim:
    """One thing that a file says of itself.

    told: what it says. found: what was worked out, None where nothing was. reason: why it cannot be checked.
    """

    name: str
    told: Any
    found: Any
    verdict: Verdict
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {name: plain(value) for name, value in vars(self).items()}


@dataclass(frozen=True)
class Proof:
    """What came of all that a file or run says of itself. problems: sentences, of what is not as mien wrote it."""

    path: str
    problems: list[str]
    claims: list[Claim]

    @property
    def holds(self) -> bool:
        """Whether nothing is damaged and no claim fails."""
        return not self.problems and not self.count(FAILS)

    def count(self, verdict: Verdict) -> int:
        """How many claims have this verdict."""
        return sum(claim.verdict == verdict for claim in self.claims)

    def describe(self) -> str:
        """A table: the claim, what the file says, what was found, the verdict; then what is damaged, and the sum."""
        rows = [(claim.name, in_words(claim.told), in_words(claim.found), _verdict(claim)) for claim in self.claims]
        rows = [("claim", "the file says", "found", "")] * bool(rows) + rows
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
        lines = ["  ".join([*map(str.ljust, row, widths), row[-1]]).rstrip() for row in rows]
        return "\n".join([*lines, *self.problems, *([self._sum()] if rows else [])])

    def _sum(self) -> str:
        kinds = {HOLDS: "hold", FAILS: "fail", CANNOT: "cannot be checked"}
        told = ", ".join(f"{self.count(kind)} {words}" for kind, words in kinds.items())
        return f"{self.path}: of {len(self.claims)} claims {told}."

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        found = [claim.to_dict() for claim in self.claims]
        return {"path": self.path, "holds": self.holds, "problems": self.problems, "claims": found}


def in_words(value: Any) -> str:
    """What a claim says, or what was found, for a table."""
    match value:
        case None:
            return "-"
        case {"accuracy": shown} | {"value": shown}:
            return _figure(shown, value, "accuracy" in value)
        case {"content": content}:
            return f"{value['images']:,} ({content[:12]})" if "images" in value else content[:12]
        case dict():
            return f"{len(value)} classes"
        case list() if all(isinstance(each, float) for each in value) and value:
            return " ".join(f"{each:.3f}" for each in value)
        case list():
            return ", ".join(str(each)[:10] for each in value) or "none"
        case float():
            return f"{value:.3f}"
        case int():
            return f"{value:,}"
    return str(value)


def _figure(shown: float, rest: Mapping[str, Any], is_share: bool) -> str:
    """'68.5% (67.0% to 70.0%) of 3,589', or '0.640 (0.622 to 0.656)'."""
    form = "{:.1%}" if is_share else "{:.3f}"
    low_high = " to ".join(map(form.format, rest.get("interval") or ()))
    between = f" ({low_high})" if low_high else ""
    return f"{form.format(shown)}{between}" + (f" of {rest['images']:,}" if "images" in rest else "")


def _verdict(claim: Claim) -> str:
    return f"{claim.verdict}: {claim.reason}" if claim.reason else claim.verdict


def judged(name: str, told: Any, found: Any, slack: float, other: str) -> Claim:
    """A claim with its verdict. slack: how far numbers may be off, counts of images not at all.

    other: why the claim cannot be judged on these images; '' where it can."""
    if isinstance(told, Mapping) and "accuracy" in told:
        told, found = share(told), found and share(found)
    if other:
        return Claim(name, told, found, CANNOT, f"{other}{_agreement(told, found)}")
    if told is None or found is None:
        return Claim(name, told, found, CANNOT, "it does not say" if told is None else "it cannot be worked out")
    return Claim(name, told, found, HOLDS if _near(told, found, slack) else FAILS)


def share(accuracy: Mapping[str, Any]) -> dict[str, Any]:
    """Of a score: the accuracy, its interval, and how many images it is of; how many were right where it is told."""
    kept = ("accuracy", "interval", "images", "correct")
    return {key: accuracy[key] for key in kept if accuracy.get(key) is not None}


def with_interval(value: float, interval: Sequence[float] | None) -> dict[str, Any]:
    """A figure that is no accuracy, with its interval where it has one."""
    return {"value": value} | ({"interval": list(interval)} if interval else {})


def _agreement(told: Any, found: Any) -> str:
    """Whether two intervals have something in common, in words; '' where there are not two."""
    if not all(isinstance(each, Mapping) and each.get("interval") for each in (told, found)):
        return ""
    (low, high), (lowest, highest) = told["interval"], found["interval"]
    return "; the intervals agree" if low <= highest and lowest <= high else "; the intervals do not agree"


def _near(told: Any, found: Any, slack: float) -> bool:
    """Whether what is told is what was found: numbers within `slack`, counts of images exactly."""
    if isinstance(told, Mapping):
        part = {"images": 0.0, "correct": slack * (told.get("images") or 0)}
        return isinstance(found, Mapping) and all(
            key in found and _near(value, found[key], part.get(key, slack)) for key, value in told.items()
        )
    if isinstance(told, list | tuple):
        same = isinstance(found, list | tuple) and len(told) == len(found)
        return same and all(_near(a, b, slack) for a, b in zip(told, found, strict=True))
    if isinstance(told, int | float) and isinstance(found, int | float):
        return bool(abs(told - found) <= slack)
    return bool(told == found)
