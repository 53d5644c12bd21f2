"""`mien report`: a run's page, written again."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from mien.cli.app import By, DataPath, Path_, Table, refuse_lone_table
from mien.cli.output import print_lines


def report(
    run: Path_,
    *,
    explain: Annotated[bool, Parameter(negative="")] = False,
    by: By = None,
    table: Table = None,
    data_path: DataPath = None,
) -> None:
    """Write a run's report anew.

    Parameters
    ----------
    run
        A run folder.
    explain
        Show which pixels speak for each of the most confident wrong answers (integrated gradients).
    """
    from mien.report import write_report
    from mien.runs.data import lying_at

    refuse_lone_table(by, table)
    with lying_at(data_path):
        print_lines(str(write_report(run, explain=explain, by=by, table=table)))
