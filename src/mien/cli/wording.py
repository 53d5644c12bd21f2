"""What the library says, in the words of the command line.

In its errors and notes the library puts settings, arguments and calls between backticks, as Python knows them. Here
`data.path` becomes --data.path, `skip_bad` --skip-bad, and `mien.resume('runs/a')` mien run runs/a --resume.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mien import progress
from mien.errors import MienError, SettingError
from mien.progress import printable

QUOTED = re.compile(r"`([^`\n]+)`")
SETTING = re.compile(r"[a-z]\w*(\.[a-z]\w*)?")
# Functions that are not verbs of the same name -> the verb, and what stands behind its arguments.
VERBS = {"train": ("run", ()), "resume": ("run", ("--resume",)), "list_recipes": ("recipes", ())}

OPTIONS = {
    "pairs": "zip",
    "img_size": "data.size",
    "in_chans": "data.channels",
}  # arguments that are not options of the same name


def described(error: MienError) -> str:
    """What went wrong, in the words of the command line; a line for each setting that is refused."""
    if isinstance(error, SettingError):
        lines = (f"{flag(name)}: {text}" if name else worded(text) for name, text in error.problems)
        return "\n".join(map(printable, lines))
    return printable(worded(str(error)))


def worded(text: str) -> str:
    """Put a text of the library into the words of the command line."""
    return QUOTED.sub(lambda quoted: _words(quoted[1]) or quoted[0], text)


@contextmanager
def worded_notes() -> Iterator[None]:
    """Notes and warnings speak the command line's words meanwhile."""
    before = progress.PRINTER.formatter
    progress.PRINTER.setFormatter(_Worded())
    try:
        yield
    finally:
        progress.PRINTER.setFormatter(before)


class _Worded(progress.Lines):
    def format(self, record: Any) -> str:
        return worded(super().format(record))


def _words(code: str) -> str | None:
    """The flag or the command that Python's `code` stands for; None where there is none."""
    if SETTING.fullmatch(code):
        return flag(code)
    try:
        return _of_code(ast.parse(code))
    except (SyntaxError, ValueError, AssertionError, MemoryError, RecursionError):  # a stranger's name with backticks
        return None


def _of_code(tree: ast.Module) -> str | None:
    match tree.body:
        case [
            ast.Expr(
                ast.Call(ast.Attribute(ast.Call(ast.Attribute(ast.Attribute(_, "Run"), "open")) as run, verb)) as call
            )
        ]:  # a verb that is a method: mien.Run.open('a').report(explain=True)
            return " ".join(["mien", verb, *_arguments(run), *_arguments(call)])
        case [ast.Expr(ast.Call(ast.Attribute(ast.Name("mien"), _)) as call)]:
            return " ".join(["mien", *_command(call)])
        case [ast.Assign([ast.Name(name)], value)]:
            return " ".join(_option(name, value))
    return None


def flag(name: str) -> str:
    """A setting as it is written, an argument with hyphens: --data.skip_bad, but --skip-bad."""
    return "--" + (name if "." in name else OPTIONS.get(name, name).replace("_", "-"))


def _command(call: ast.Call) -> Iterator[str]:
    """'mien.evaluate('a', split='test')' -> evaluate a --split test."""
    assert isinstance(call.func, ast.Attribute)
    verb, behind = VERBS.get(call.func.attr, (call.func.attr, ()))
    yield verb
    yield from _arguments(call)
    yield from behind


def _arguments(call: ast.Call) -> Iterator[str]:
    for value in call.args:
        if isinstance(value, ast.Call):  # a recipe: its name and settings are those of the verb
            yield from _arguments(value)
        else:
            yield _word(value)
    for keyword in call.keywords:
        assert keyword.arg is not None
        yield from _option(keyword.arg, keyword.value)


def _option(name: str, value: ast.expr) -> Iterator[str]:
    if isinstance(value, ast.Dict):
        for key, inner in zip(value.keys, value.values, strict=True):
            assert key is not None
            yield from _option(f"{name}.{ast.literal_eval(key)}", inner)
    elif isinstance(value, ast.List):
        for inner in value.elts:
            yield from _option(name, inner)
    elif isinstance(value, ast.Constant) and isinstance(value.value, bool):
        yield flag(name if value.value else f"no_{name}")
    else:
        yield from (flag(name), _word(value))


def _word(value: ast.expr) -> str:
    """A text as a shell takes it; a placeholder such as RUN as it is."""
    if not isinstance(value, ast.Constant):
        return ast.unparse(value)
    return shlex.quote(value.value if isinstance(value.value, str) else repr(value.value))
