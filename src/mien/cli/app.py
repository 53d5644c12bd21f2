"""What every command shares: the app itself, the kinds of parameters, printing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

import mien
from mien.config import Recipe

app = App(
    name="mien",
    version=mien.__version__,
    help="Train, compare, look inside and use classifiers of small images.\n\nStart with: mien quickstart",
)

Json = Annotated[bool, Parameter(name="--json", negative="", help="Print the result as JSON.")]
Settable = Annotated[Recipe | None, Parameter(name="*", show_default=False)]
Path_ = Annotated[Path, Parameter(show_default=False)]


def print_json(values: Any) -> None:
    print(json.dumps(values, indent=1))
