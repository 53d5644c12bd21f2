"""What every command shares: the app itself, the kinds of parameters, printing."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

import mien
from mien import config
from mien.config import Recipe
from mien.errors import UsageError
from mien.progress import printable

app = App(
    name="mien",
    version=mien.__version__,
    help="Train, compare, look inside and use classifiers of small images.\n\nStart with: mien quickstart\n\n"
    "Files are data: code that a run, a settings file or a model names, MODULE:NAME, is imported only if you used it "
    "on this machine before, or with --allow-code MODULE:NAME, which every command takes.",
    help_epilogue="Every command also takes --allow-code MODULE:NAME: code that files name and that may be imported.",
)

Json = Annotated[bool, Parameter(name="--json", negative="", help="Print the result as JSON.")]
Open = Annotated[bool, Parameter(name="--open", negative="", help="Open the page in the browser.")]
Settable = Annotated[Recipe | None, Parameter(name="*", show_default=False)]
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
Path_ = Annotated[Path, Parameter(show_default=False)]


def print_lines(*lines: str, flush: bool = False) -> None:
    """Print lines of a result. Every verb prints through here: names of files and classes may be a stranger's."""
    print(*map(printable, lines), sep="\n", flush=flush)


def refuse_lone_table(by: str | None, table: Path | None) -> None:
    """Raise UsageError for a table of which no column is asked for."""
    if table and not by:
        raise UsageError(f"--table {table}: which of its columns? Name one: --by COLUMN")


def quoted(name: Any) -> str:
    """A name as a shell takes it, for commands in hints."""
    return shlex.quote(str(name))


def print_json(values: Any, indent: int | None = 1) -> None:
    """Print a result as JSON, whose escapes keep it to printable characters; without indent on one line, at once."""
    print_lines(*json.dumps(values, indent=indent).split("\n"), flush=indent is None)


def recipe_layers(name: str | None, file: Path | None) -> list[dict[str, Any]]:
    """Recipe < --config file < environment: the settings below the flags, later ones winning."""
    from mien.recipes import load

    if name is None and file is None:
        raise UsageError("Which recipe? 'mien recipes' lists them; or give --config FILE.")
    layers: list[dict[str, Any]] = [load(name)[0].model_dump()] if name else []
    if file:
        layers.append(config.from_file(file))
    return [*layers, config.from_environment()]
