"""What every command shares: the app itself, the kinds of parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

import mien
from mien.cli.front import ABOUT, EPILOGUE, VERBS
from mien.errors import UsageError

app = App(name="mien", version=mien.__version__, help=ABOUT, help_epilogue=EPILOGUE, suppress_keyboard_interrupt=False)
for verb in VERBS:  # each is imported when it is asked for
    app.command(f"mien.cli.{verb}:{verb}", name=verb)

Json = Annotated[bool, Parameter(name="--json", negative="", help="Print the result as JSON.")]
Open = Annotated[bool, Parameter(name="--open", negative="", help="Open the page in the browser.")]
DataPath = Annotated[
    Path | None,
    Parameter(name="--data.path", show_default=False, help="Where the run's images lie now, where they were moved."),
]
By = Annotated[
    str | None,
    Parameter(
        show_default=False,
        help="Also by the subgroups that a column of the data's table makes: camera, sex, light.",
    ),
]
Table = Annotated[
    Path | None,
    Parameter(
        show_default=False,
        help="For --by: another table (CSV, Parquet) with that column, and the pictures' names in a column path.",
    ),
]
ComputedOn = Annotated[
    str,
    Parameter(
        name="--device",
        help="What computes the network: cpu, cuda, rocm, directml, openvino, coreml, or auto for the fastest that is "
        "there. Where it is not there, a warning says so and the CPU computes.",
    ),
]
Path_ = Annotated[Path, Parameter(show_default=False)]


def refuse_lone_table(by: str | None, table: Path | None) -> None:
    """Raise UsageError for a table of which no column is asked for."""
    if table and not by:
        raise UsageError(f"--table {table}: which of its columns? Name one: --by COLUMN")
