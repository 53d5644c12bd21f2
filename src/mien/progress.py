"""Progress on stderr: a bar on a terminal, nothing elsewhere. Results alone go to stdout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")


def console() -> Console:
    """Where progress and notes go."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def track(items: Iterable[Item], what: str, total: int | None) -> Iterator[Item]:
    """The items as they come, counted in a bar with the time left, or without an end where `total` is not known."""
    shown = console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal) as bar:
        yield from bar.track(items, total=total, description=what)


def note(text: str) -> None:
    """One line for the person at the terminal."""
    console().print(text, markup=False)
