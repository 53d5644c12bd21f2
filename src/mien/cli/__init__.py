"""The command line: one verb, one file, imported when it is asked for. Heavy imports wait inside the functions.

Results go to stdout, progress and errors to stderr. Exit codes: see mien.errors; 130 after Ctrl-C.
"""

from __future__ import annotations

import os
import sys

import mien
from mien.cli import front, output
from mien.cli.output import fail, print_lines
from mien.errors import FULL, MienError, missing_extra


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    output.take_any_text()
    words = sys.argv[1:] if arguments is None else arguments
    try:
        if words[:1] == ["--version"]:
            print_lines(mien.__version__, flush=True)
            return 0
        if front.is_asked_for(words):
            print_lines(*front.page(), flush=True)
            return 0
        from mien.cli.dispatch import dispatch

        return dispatch(words)
    except MienError as error:
        from mien.cli.wording import described

        return fail(described(error), error.exit_code)
    except ModuleNotFoundError as error:
        missing = missing_extra(error)
        if missing is None:
            raise
        return fail(str(missing), missing.exit_code)
    except KeyboardInterrupt:
        return fail("stopped", 130)
    except BrokenPipeError:  # the reader of our output, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a folder that may not be written to, a file where a folder is needed
        if error.filename:
            return fail(f"{error.filename}: {error.strerror}.", MienError.exit_code)
        if error.errno not in FULL:
            raise
        _let_go_of_output()
        return fail(f"Writing failed: {error.strerror}. Free some and repeat the command.", MienError.exit_code)


def _let_go_of_output() -> None:
    """Drop what stdout could not take: Python would try once more at its end, and show a traceback."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
