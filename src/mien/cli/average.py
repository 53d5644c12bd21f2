"""`mien average`: several runs' weights as one network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from mien.cli.app import DataPath, Json
from mien.cli.output import print_json, print_lines, quoted
from mien.errors import UsageError
from mien.progress import note, warn

if TYPE_CHECKING:
    from mien.runs.records import AveragedRun


def average(
    *runs: Path,
    shares: str | None = None,
    out: Path | None = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    data_path: DataPath = None,
    json_: Json = False,
) -> None:
    """Average the weights of runs that began from the same run, or of a run and of what fine-tuning made of it.

    The mean is a run folder like any other, and no slower than one of them (arXiv 2203.05482, 2109.01903).

    Parameters
    ----------
    runs
        Two or more run folders of one model, trained on the same images.
    shares
        How much each run counts, such as 0.25,0.75; all alike if not given.
    out
        The run folder to write; runs/RECIPE_average-DATE-SEED if not given.
    overwrite
        Delete the run folder first if it exists.
    """
    counts = _numbers(shares) if shares else []

    from mien.evaluate.metrics import headline
    from mien.report import write_report
    from mien.runs import RunFolder
    from mien.runs.data import lying_at
    from mien.runs.records import to_dict
    from mien.train.average import average as average_runs

    with lying_at(data_path):
        folder = RunFolder.open(average_runs(runs, out, counts, overwrite=overwrite))
        page = write_report(folder.path)
    parts, scores = folder.env.average, folder.scores["validation"]
    for warning in folder.env.warnings:
        warn(warning)
    if json_:
        shown = {"average": [to_dict(part) for part in parts], "validation": to_dict(scores)}
        print_json({"run": str(folder.path), "report": str(page)} | shown)
        return
    for part in parts:
        note(f"  {100 * part.share:.3g}% of {part.run}  {_accuracy(part)}")
    print_lines(f"{folder.path}  {headline(scores)}")
    note(f"Open {page} in a browser. Next: mien compare {quoted(folder.path)} {quoted(parts[0].run)}")


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--shares {text}: numbers with commas between them are needed, such as 0.25,0.75.") from None


def _accuracy(part: AveragedRun) -> str:
    return "not evaluated" if part.accuracy is None else f"accuracy {part.accuracy:.1%}"
