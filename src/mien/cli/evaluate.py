"""`mien evaluate`: a run scored on a split of its data, an export on any data."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from mien.arguments import is_network, place_of
from mien.cli.app import By, ComputedOn, Json, Path_, Table, refuse_lone_table
from mien.cli.data_settings import DataSettable, DataSettings
from mien.cli.output import print_json, print_lines, quoted
from mien.errors import UsageError
from mien.runs.folder import is_without_data

if TYPE_CHECKING:
    from mien.runs import ChangeScore, Scores


def evaluate(
    run: Path_,
    *,
    split: Literal["validation", "test", "train", "all"] = "validation",
    robustness: Annotated[bool, Parameter(negative="")] = False,
    csv: Annotated[bool, Parameter(negative="")] = False,
    by: By = None,
    table: Table = None,
    device: ComputedOn = "cpu",
    json_: Json = False,
    settings: DataSettable = None,
) -> None:
    """Score a run on a split of its data, or an exported .onnx file on any data.

    Every reading of a run's test split is noted in the run.

    Parameters
    ----------
    run
        A run folder, whose images may have been moved to --data.path; an adopted run, which gets its data so; or, with
        --data.path, an .onnx file, a model that comes with mien ('mien:tiny') or one on the hub (hf-hub:OWNER/NAME).
    split
        Choose on validation; read test once, at the end. all: every image, for exports and adopted runs.
    robustness
        Also score a run on its validation images blurred, noisy, darker, shifted, turned, and faces with eyes
        or mouth covered.
    csv
        Also write a run's predictions as a table, a row an image, into the run folder.
    """
    from mien.runs.data import lying_at
    from mien.runs.records import to_dict

    exported = is_network(place_of(run))
    if robustness and (exported or split != "validation"):
        raise UsageError("--robustness is measured on the validation images of a run folder.")
    data = settings.model_dump(exclude_unset=True).get("data", {}) if settings else {}
    if data and not exported and is_without_data(run):
        from mien.adopt import meet

        meet(run, data, device)
        data = {}
    if not exported and data.keys() - {"path"}:
        raise UsageError(
            f"{run} is scored on a split of its own data. Export it to score it on other data: "
            f"mien export {quoted(run)}"
        )
    refuse_lone_table(by, table)
    if csv and exported:
        raise UsageError("--csv writes the predictions of a run into its folder; an export has none.")
    with lying_at(None if exported else data.get("path")):
        rows = _robustness(run, device) if robustness else []
        score = partial(_score_export, str(run), split, settings) if exported else partial(_score_run, run, split, csv)
        scores, used = score(by=by, table=table, device=device)
    if json_:
        changes = {"robustness": [to_dict(row) for row in rows]} if rows else {}
        print_json(to_dict(scores) | {"device": used} | changes)
    else:
        _show(scores, split, rows)


def _show(scores: Scores, split: str, rows: list[ChangeScore]) -> None:
    """In words. rows: of changed images."""
    from mien.evaluate.metrics import describe

    print_lines(*describe(scores, split).split("\n"))
    if scores.subgroups:
        from mien.evaluate.subgroups import describe_subgroups

        print_lines(*describe_subgroups(scores.subgroups))
    if rows:
        from mien.evaluate.robustness import describe as describe_changes

        print_lines(*describe_changes(rows, scores).split("\n"))


def _robustness(run: Path, device: str) -> list[ChangeScore]:
    from mien.evaluate.robustness import robustness

    return robustness(run, device=device)


def _score_export(
    where: str, split: str, settings: DataSettings | None, *, by: str | None, table: Path | None, device: str
) -> tuple[Scores, str]:
    """The scores, and what computed them."""
    if settings is None or (settings.data.path is None and settings.data.source != "drawn_faces"):
        raise UsageError(f"{where} has no data of its own. Say on which to score it: --data.path FOLDER")
    from mien.evaluate.exported import evaluate_export
    from mien.runtime.network import Network

    network = Network.open(where, device=device)
    return evaluate_export(network, settings.data, split, by=by, table=table), network.device


def _score_run(
    run: Path, split: str, csv: bool, *, by: str | None, table: Path | None, device: str
) -> tuple[Scores, str]:
    """As `_score_export`."""
    from mien.evaluate.run_model import computing
    from mien.evaluate.split import evaluate as score
    from mien.report import write_report

    scores = score(run, split, csv=csv, by=by, table=table, device=device)
    write_report(run)
    return scores, computing(run, device)
