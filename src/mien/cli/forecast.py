"""`mien data forecast`: what more pictures should bring, and of what."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from mien import config
from mien.cli.app import Json, Path_
from mien.cli.output import print_json, print_lines, quoted
from mien.cli.setting_flags import recipe_layers, takes_settings
from mien.config import Recipe
from mien.errors import UsageError
from mien.progress import note

if TYPE_CHECKING:
    from mien.evaluate.forecast import Checked, Forecast
    from mien.train.forecast import Learner


@takes_settings(recipe_flag="--recipe")
def forecast(
    path: Path_,
    *,
    recipe: str | None = None,
    features: str | None = None,
    points: str = "0.1,0.2,0.4,0.8",
    seeds: int = 5,
    out: Path = Path("forecast"),
    check: Path | None = None,
    json_: Json = False,
    settings: Recipe | None = None,
) -> None:
    """Say what more pictures should bring: a learning curve with a 90 % band, overall and for each class.

    Trains on parts of the training images and scores each on validation. Heads on stored features take seconds; a
    recipe takes its own time for each part. Every finished training is kept: the same command goes on with what it has.

    Parameters
    ----------
    path
        A folder of images or a CSV file.
    recipe
        Train this recipe in place of heads on features, with its settings as flags.
    features
        The network whose features the heads read; mien:vit-tiny-imagenet if not given.
    points
        Shares of the training images to train on, at least three, with commas between them.
    seeds
        How many trainings at each share, at least two, each on other images.
    out
        The folder for forecast.json, forecast.html and forecast.svg.
    check
        An earlier forecast.json, of fewer pictures: also train on all of them, and say whether that came as forecast.
    """
    from mien.evaluate.forecast import FILE, Measured
    from mien.evaluate.forecast import check as compare_with
    from mien.evaluate.forecast import forecast as work_out
    from mien.report import write_forecast
    from mien.train.forecast import measure

    shares = _shares(points)
    if seeds < 2:
        raise UsageError(f"--seeds {seeds}: how far trainings stray shows from two on.")
    earlier = Measured.load(check) if check else None
    measured = measure(_learner(path, recipe, features, out, settings), out, shares, seeds, check)
    found = work_out(measured)
    measured.save(out / FILE, found)
    checked = compare_with(earlier, measured) if earlier else None
    page = write_forecast(measured, found, out, checked)
    if json_:
        outcome = {"check": asdict(checked)} if checked else {}
        print_json({**asdict(found), **outcome, "page": str(page), "file": str(out / FILE)})
        return
    _print_in_words(found, checked, page)
    note(f"When there are more pictures: mien data forecast PATH --out FOLDER --check {quoted(out / FILE)}")


def _print_in_words(found: Forecast, checked: Checked | None, page: Path) -> None:
    print_lines(*([checked.verdict] if checked else []), found.verdict)
    for each in found.classes:
        low, high = each.gain.band
        print_lines(
            f"  {each.label} ({each.images:,}): {100 * each.gain.rise:+.1f} ({100 * low:.1f} to {100 * high:.1f})"
        )
    print_lines(*([found.wanted] if found.wanted else []), str(page))


def _learner(path: Path, name: str | None, features: str | None, out: Path, settings: Recipe | None) -> Learner:
    from mien.data import guess_source
    from mien.train.forecast import BACKBONE, Heads, Runs

    if name and features:
        raise UsageError("--recipe trains a network, --features reads one that stays as it is. Give one of them.")
    given = settings.model_dump(exclude_unset=True) if settings else {}
    if not name and (others := given.keys() - {"data"}):
        raise UsageError(
            f"--{min(others)}: heads on features take settings of --data alone. Name a --recipe for others."
        )
    layers = recipe_layers(name, None) if name else [config.from_environment()]
    made = config.build(*layers, given)
    named = made.data.source if made.data.source != "folder" or "source" in given.get("data", {}) else None
    made = made.with_(data={"path": path, "source": named or guess_source(path, made.data.encoding)})
    return Runs(made, out) if name else Heads(features or BACKBONE, made.data)


def _shares(text: str) -> tuple[float, ...]:
    """'0.1,0.2,0.4' -> (0.1, 0.2, 0.4). Raises UsageError for fewer than three, or what is no share."""
    try:
        shares = tuple(sorted({float(part) for part in text.split(",")}))
    except ValueError:
        shares = ()
    if len(shares) < 3 or not 0 < shares[0] < shares[-1] < 1:
        raise UsageError(f"--points {text}: give at least three shares between 0 and 1, such as 0.1,0.2,0.4,0.8")
    return shares
