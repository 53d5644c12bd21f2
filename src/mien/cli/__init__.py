"""The command line: one verb, one file. Heavy imports wait inside the functions.

Results go to stdout, progress and errors to stderr. Exit codes: see mien.errors; 130 after Ctrl-C.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress

from cyclopts import CycloptsError, MissingArgumentError, UnknownCommandError, UnknownOptionError, UnusedCliTokensError
from pydantic import ValidationError

from mien import config, plugins
from mien.cli import (  # noqa: F401  (imports add commands)
    adopt,
    average,
    card,
    compare,
    data,
    embed,
    evaluate,
    explain,
    export,
    forecast,
    models,
    output,
    predict,
    quickstart,
    recipes,
    report,
    review,
    run,
    serve,
    submission,
    sweep,
    verify,
)
from mien.cli.app import app
from mien.cli.setting_flags import offer_sizes, offered, unknown_size
from mien.cli.sources import STDIN
from mien.cli.wording import described, worded_notes
from mien.errors import MienError, UsageError, missing_extra, nearest
from mien.progress import console, printable


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    output.take_any_text()
    with suppress(FileNotFoundError):  # a working folder that was deleted
        plugins.look_in(os.getcwd())  # where an own model, --model.name mine:Model, is looked for
    try:
        words, allowed = _allowed_code(sys.argv[1:] if arguments is None else arguments)
        words = [str(STDIN) if word == "-" else word for word in words]  # else an option without a name
        with plugins.allowing(allowed), worded_notes():
            offer_sizes(words)
            app(words, exit_on_error=False, print_error=False, result_action="return_value")
        return 0
    except MienError as error:
        return _fail(described(error), error.exit_code)
    except CycloptsError as error:
        return _fail(_usage(error), UsageError.exit_code)
    except ModuleNotFoundError as error:
        missing = missing_extra(error)
        if missing is None:
            raise
        return _fail(str(missing), missing.exit_code)
    except KeyboardInterrupt:
        return _fail("stopped", 130)
    except BrokenPipeError:  # the reader of our output, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a folder that may not be written to, a file where a folder is needed
        if error.filename:
            return _fail(f"{error.filename}: {error.strerror}.", MienError.exit_code)
        if error.errno != errno.ENOSPC:
            raise
        _let_go_of_output()
        return _fail(f"Writing failed: {error.strerror}. Free some and repeat the command.", MienError.exit_code)


def _let_go_of_output() -> None:
    """Drop what stdout could not take: Python would try once more at its end, and show a traceback."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _allowed_code(arguments: list[str]) -> tuple[list[str], list[str]]:
    """The arguments without --allow-code, which every verb takes, and the names that it allows."""
    words, allowed = [], []
    rest = iter(arguments)
    for word in rest:
        flag, equals, value = word.partition("=")
        if flag != "--allow-code":
            words.append(word)
            continue
        name = value if equals else next(rest, "")
        if not name:
            raise UsageError("--allow-code what? Give the name that was refused, MODULE:NAME.")
        allowed.append(name)
    return words, allowed


def _usage(error: CycloptsError) -> str:
    """cyclopts' own sentence; for a value of the wrong kind, the key and what was given."""
    cause = error.__cause__
    if isinstance(cause, ValidationError):
        return described(config.refusal(offered(), cause))
    if isinstance(error, UnknownCommandError) and error.app and error.unused_tokens:
        given, there = error.unused_tokens[0], [name for name in error.app if not name.startswith("-")]
        return f"Unknown command '{given}'.{nearest(given, there)} There are {', '.join(sorted(there))}."
    if isinstance(error, UnknownOptionError) and (size := unknown_size(error.token.keyword or "")):
        return size
    if isinstance(error, UnusedCliTokensError) and set(error.unused_tokens or ()) & {"true", "false"}:
        return f"{error} A switch takes no value: --train.compile turns it on, --train.no-compile off."
    if isinstance(error, MissingArgumentError) and error.argument and _is_switch(error.argument.name):
        return f"{error} In a sweep a switch has values too: {error.argument.name} true, or true,false for both."
    return str(error)


def _is_switch(flag: str) -> bool:
    """Whether a flag such as --data.drop-leaks is a setting that is on or off."""
    section, _, key = flag.removeprefix("--").replace("-", "_").partition(".")
    group = offered().model_fields[section].annotation if section in offered().model_fields else None
    fields = getattr(group, "model_fields", {})
    return key in fields and fields[key].annotation in (bool, bool | None)


def _fail(text: str, code: int) -> int:
    lines = "\n".join(map(printable, f"mien: {text}".split("\n")))
    console().print(lines, style="red" if code != 130 else None)
    return code
