"""Text that the terminal or pipe cannot show is written as escapes, not as a traceback."""

from __future__ import annotations

import codecs
import sys
from io import TextIOWrapper

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
