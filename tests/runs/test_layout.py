"""The names of a run folder's files are spelt in one place."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import mien
from mien.runs import layout

SOURCE = Path(mien.__file__).parent
ROOMS = [path for path in SOURCE.rglob("*.py") if path.parent.name != "runs"]
SUFFIXES = {".yaml", ".json", ".csv", ".npz", ".ckpt", ".html"}
NAMES = [
    *(value for value in vars(layout).values() if isinstance(value, str) and Path(value).suffix in SUFFIXES),
    *(layout.predictions(Path("run"), "validation", suffix).name for suffix in (".npz", ".csv")),
]


def texts(source: str) -> Iterator[str]:
    """Every string of a source but its docstrings, which may name a file where they describe it."""
    tree = ast.parse(source)
    prose = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None
        if isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in prose:
            yield node.value


def spells(text: str, name: str) -> bool:
    """Whether a text names the file; 'sweep.html.j2' does not name sweep.html."""
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w.]*\.\w)", text) is not None


def test_every_string_but_prose_is_seen() -> None:
    source = '"""env.json"""\na = "b"\nf"{a}/c"\ndef d(e="f"):\n    """env.json"""\n    return ("g", f"h {e}")'
    assert sorted(texts(source)) == ["/c", "b", "f", "g", "h "]


def test_the_names_are_known() -> None:
    assert {"recipe.yaml", "env.json", "metrics.csv", "evaluation.json", "predictions.npz", "best.ckpt"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_only_runs_spells_the_files_of_a_run_folder(name: str) -> None:
    found = [path for path in ROOMS if any(spells(text, name) for text in texts(path.read_text(encoding="utf-8")))]
    assert not found, f"{name} is spelt in {', '.join(str(path.relative_to(SOURCE)) for path in found)}"
