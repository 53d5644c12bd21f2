"""Progress and notes on stderr; results alone go to stdout.

Notes and warnings go through the logger "mien", which prints them as they are. To silence the notes:
logging.getLogger("mien").setLevel(logging.WARNING); to send them elsewhere, replace its handlers.
"""

from __future__ import annotations

import logging
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


class Lines(logging.Formatter):
    """A note as it is; a warning says that it is one."""

    def format(self, record: logging.LogRecord) -> str:
        return f"warning: {record.getMessage()}" if record.levelno >= logging.WARNING else record.getMessage()


class Printer(logging.Handler):
    """Prints on whatever stderr is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        console().print(self.format(record), markup=False)


PRINTER = Printer()
PRINTER.setFormatter(Lines())
LOGGER = logging.getLogger("mien")
if not LOGGER.handlers:  # else somebody wants the notes elsewhere
    LOGGER.addHandler(PRINTER)
    LOGGER.propagate = False
if LOGGER.level == logging.NOTSET:
    LOGGER.setLevel(logging.INFO)


def note(text: str) -> None:
    """Say one line to whoever waits for the result."""
    LOGGER.info(text)


def warn(text: str) -> None:
    """Say what casts doubt on the result; printed with 'warning: ' before it."""
    LOGGER.warning(text)
