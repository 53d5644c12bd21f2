"""What a verb prints. Text that the terminal or pipe cannot show is written as escapes, not as a traceback."""

from __future__ import annotations

import codecs
import json
import math
import shlex
import sys
from io import TextIOWrapper
from typing import Any

from mien.progress import console, printable

HANDLER = "mien.escapes"


def take_any_text() -> None:
    """Let stdout take every text, whatever its encoding is (cp1252, ASCII); Python sees to stderr."""
    codecs.register_error(HANDLER, _escaped)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors=HANDLER)


def _escaped(error: UnicodeError) -> tuple[str | bytes, int]:
    """The bytes of a file's name that is no UTF-8 as they are, any other character as an escape such as \\u732b."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)


def print_lines(*lines: str, flush: bool = False) -> None:
    """Print lines of a result. Every verb prints through here: names of files and classes may be a stranger's."""
    print(*map(printable, lines), sep="\n", flush=flush)


def quoted(name: Any) -> str:
    """A name as a shell takes it, for commands in hints."""
    return shlex.quote(str(name))


def print_json(values: Any, indent: int | None = 1) -> None:
    """Print a result as JSON, whose escapes keep it to printable characters; without indent on one line, at once.

    A number that could not be computed, nan or infinite, is null: JSON has none.
    """
    print_lines(*json.dumps(_finite(values), indent=indent).split("\n"), flush=indent is None)


def _finite(values: Any) -> Any:
    if isinstance(values, dict):
        return {key: _finite(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [_finite(value) for value in values]
    return None if isinstance(values, float) and not math.isfinite(values) else values


def fail(text: str, code: int) -> int:
    """Print what went wrong on stderr; returns the exit code."""
    lines = "\n".join(map(printable, f"mien: {text}".split("\n")))
    console().print(lines, style="red" if code != 130 else None)
    return code
