"""The library speaks Python; the command line says the same in flags and commands."""

import ast
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import mien
from mien import progress
from mien.cli.wording import worded, worded_notes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("`data.path` x: there is no such file.", "--data.path x: there is no such file."),
        ("Repair it, or `skip_bad=True`.", "Repair it, or --skip-bad."),
        ("`detect=False` says so; `split='all'` takes all.", "--no-detect says so; --split all takes all."),
        ("`train.gradient_clip` 1", "--train.gradient_clip 1"),
        ("Finish it with: `mien.resume('runs/a b')`", "Finish it with: mien run 'runs/a b' --resume"),
        ("`mien.evaluate('a', split='test')`", "mien evaluate a --split test"),
        ("`mien.export(RUN)` makes one", "mien export RUN makes one"),
        ("`mien.Run.open('a b').report(explain=True)`", "mien report 'a b' --explain"),
        (
            "`mien.train(mien.recipe('folder_vit', model={'init': 'mien:base'}, seed=1))`",
            "mien run folder_vit --model.init mien:base --seed 1",
        ),
        (
            "a ` alone, `mien.open(`, `Net(3)` and `train.py run`",
            "a ` alone, `mien.open(`, `Net(3)` and `train.py run`",
        ),
    ],
)
def test_python_becomes_flags_and_commands(text, said):
    assert worded(text) == said


PLACES = [path for path in Path(mien.__file__).parent.rglob("*.py") if not {"cli", "recipes"} & set(path.parts)]


def said(tree: ast.AST) -> Iterator[str]:
    """The texts of errors, notes, descriptions and docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield ast.get_docstring(node) or ""
        speaks = isinstance(node, ast.Raise) or (
            isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("Error", "note", "warn", "Field"))
        )
        if speaks:
            yield from (part.value for part in ast.walk(node) if isinstance(part, ast.Constant) and is_text(part.value))


def is_text(value: object) -> bool:
    return isinstance(value, str)


@pytest.mark.parametrize("path", PLACES, ids=lambda path: "/".join(path.parts[-2:]))
def test_only_the_command_line_speaks_of_flags(path):
    texts = list(said(ast.parse(path.read_text(encoding="utf-8"))))
    assert not [text for text in texts if re.search(r"--[a-z]", text)]


@pytest.mark.parametrize("name", ["mien.x(a={b: 1})", "mien.x(a={**b})", "mien.x(**b)", "-" * 50_000 + "1", "a(\0)"])
def test_a_name_that_looks_like_code_stays_as_it_is(name):
    assert worded(f"`{name}`.png cannot be read") == f"`{name}`.png cannot be read"


def test_names_of_files_survive():
    assert worded(f"`mien.resume({chr(39)}d\\udce9{chr(39)})`") == "mien run 'd\udce9' --resume"


def test_notes_and_warnings_go_through_the_logger(capsys):
    progress.note("`data.size` is 48")
    progress.warn("a doubt")
    assert capsys.readouterr().err == "`data.size` is 48\nwarning: a doubt\n"
    with worded_notes():
        progress.note("`data.size` is 48")
    assert capsys.readouterr().err == "--data.size is 48\n"
    logging.getLogger("mien").setLevel(logging.WARNING)
    try:
        progress.note("not now")
        progress.warn("a doubt")
    finally:
        logging.getLogger("mien").setLevel(logging.INFO)
    assert capsys.readouterr().err == "warning: a doubt\n"
