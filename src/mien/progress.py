"""Progress and notes on stderr; results alone go to stdout.

Names of files and of classes may be a stranger's: whatever reaches a terminal goes through `printable`.

Notes and warnings go through the logger "mien", which prints them as they are. To silence the notes:
logging.getLogger("mien").setLevel(logging.WARNING); to send them elsewhere, replace its handlers.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:  # rich is slow to import, and needed only where something is drawn
    from rich.console import Console

Item = TypeVar("Item")


# What a terminal obeys (C0, DEL, C1, and C1 as a byte of a name that is no UTF-8), what ends a line, and what turns
# the order of letters round.
OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\udc80-\udc9f]")


def printable(text: str) -> str:
    """One line that a terminal only shows: control characters and ends of lines as escapes, such as \\x1b."""
    return OBEYED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def console() -> Console:
    """Where progress and errors go. Nothing is looked for in a text, neither markup nor emoji."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True, markup=False, emoji=False)


def track(items: Iterable[Item], what: str, total: int | None) -> Iterator[Item]:
    """The items as they come, counted in a bar with the time left, or without an end where `total` is not known."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    shown = console()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=shown, transient=True, disable=not shown.is_terminal) as bar:
        yield from bar.track(items, total=total, description=what)


class Lines(logging.Formatter):
    """A note as it is; a warning says that it is one."""

    def format(self, record: logging.LogRecord) -> str:
        return f"warning: {record.getMessage()}" if record.levelno >= logging.WARNING else record.getMessage()


class Printer(logging.Handler):
    """Prints on whatever stderr is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        if sys.stderr:  # a program without a console has none
            print(*map(printable, self.format(record).split("\n")), sep="\n", file=sys.stderr)


PRINTER = Printer()
PRINTER.setFormatter(Lines())
LOGGER = logging.getLogger("mien")
if not LOGGER.handlers:  # else somebody wants the notes elsewhere
    LOGGER.addHandler(PRINTER)
    LOGGER.propagate = False
if LOGGER.level == logging.NOTSET:
    LOGGER.setLevel(logging.INFO)


def note(*lines: str) -> None:
    """Say one or more lines to whoever waits for the result."""
    LOGGER.info("%s", "\n".join(map(printable, lines)))


def warn(text: str) -> None:
    """Say what casts doubt on the result; printed with 'warning: ' before it."""
    LOGGER.warning("%s", printable(text))
