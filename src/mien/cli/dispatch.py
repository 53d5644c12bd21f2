"""One command of the command line, run by cyclopts: which of mien's words are its flags, what it says of wrong ones."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from cyclopts import CycloptsError, MissingArgumentError, UnknownCommandError, UnknownOptionError, UnusedCliTokensError

from mien import plugins
from mien.cli.app import app
from mien.cli.front import VERBS
from mien.cli.output import fail
from mien.cli.setting_flags import offer_sizes, offered, setting_called, unknown_size
from mien.cli.sources import STDIN
from mien.cli.wording import described, worded_notes
from mien.errors import UsageError, nearest


def dispatch(arguments: list[str]) -> int:
    """Run one command; returns its exit code."""
    with suppress(FileNotFoundError):  # a working folder that was deleted
        plugins.look_in(os.getcwd())  # where an own model, --model.name mine:Model, is looked for
    words, allowed = _allowed_code(arguments)
    words = [str(STDIN) if word == "-" else word for word in words]  # else an option without a name
    try:
        with plugins.allowing(allowed), worded_notes():
            if words and words[0] in VERBS:
                app[words[0]]  # imported now, so that its settings are known
            offer_sizes(words)
            app(words, exit_on_error=False, print_error=False, result_action="return_value")
        return 0
    except CycloptsError as error:
        return fail(_usage(error), UsageError.exit_code)


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
    if cause := error.__cause__:
        from pydantic import ValidationError

        from mien import config

        if isinstance(cause, ValidationError):
            return described(config.refusal(offered(), cause))
    if isinstance(error, UnknownCommandError) and error.app and error.unused_tokens:
        given, there = error.unused_tokens[0], [name for name in error.app if not name.startswith("-")]
        return f"Unknown command '{given}'.{nearest(given, there)} There are {', '.join(sorted(there))}."
    if isinstance(error, UnknownOptionError):
        flag = error.token.keyword or ""
        setting = "" if "Did you mean" in str(error) else setting_called((error.command_chain or ("",))[-1], flag)
        return unknown_size(flag) or f"{error}{setting}"
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        return _unused(error.unused_tokens)
    if isinstance(error, MissingArgumentError) and error.argument and _is_switch(error.argument.name):
        return f"{error} In a sweep a switch has values too: {error.argument.name} true, or true,false for both."
    return str(error)


def _unused(words: list[str]) -> str:
    """What is to be said of words that belong to no flag: of a switch's value, and of data that stands alone."""
    said = f"What is {', '.join(map(repr, words))}? It belongs to no flag."
    if set(words) & {"true", "false"}:
        return f"{said} A switch takes no value: --train.compile turns it on, --train.no-compile off."
    return f"{said} Pictures to learn from are named so: --data.path {words[0]}" if Path(words[0]).exists() else said


def _is_switch(flag: str) -> bool:
    """Whether a flag such as --data.drop-leaks is a setting that is on or off."""
    section, _, key = flag.removeprefix("--").replace("-", "_").partition(".")
    group = offered().model_fields[section].annotation if section in offered().model_fields else None
    fields = getattr(group, "model_fields", {})
    return key in fields and fields[key].annotation in (bool, bool | None)
