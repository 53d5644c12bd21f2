"""What a terminal is shown of names that a stranger chose, and what a spreadsheet is."""

import ast
import logging
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_runs import picture_names, write_run
from PIL import Image

import mien.cli
from mien.cli import main
from mien.cli.wording import described
from mien.errors import DataError, SettingError
from mien.progress import console, note, printable, warn
from mien.runs import Predictions, RunFolder

NASTY = "\x1b[31mred\x1b]0;title\x07\n[bold]:x: \x9b1mok\u202egnp"


def test_what_a_terminal_obeys_is_shown_as_an_escape():
    assert printable("Überraschung 幸せ\t😀") == "Überraschung 幸せ\\t😀"
    shown = printable(NASTY)
    assert shown == "\\x1b[31mred\\x1b]0;title\\x07\\n[bold]:x: \\x9b1mok\\u202egnp"
    assert printable(shown) == shown
    assert printable("caf\udce9 \udc9b1m") == "caf\udce9 \\udc9b1m"  # bytes of a name that is no UTF-8


def test_notes_warnings_and_errors_show_names_as_they_are(capsys):
    note(f"a {NASTY}", "second line")
    warn(NASTY)
    logging.getLogger("mien").info("by another module: %s", NASTY)
    console().print(":x: [bold]b[/bold] [red]")
    error = described(DataError(NASTY)) + described(SettingError([("data.path", NASTY), ("", NASTY)]))
    err = capsys.readouterr().err
    assert err.count(":x:") == 4
    assert "[bold]b[/bold] [red]" in err
    assert not any(sign in err + error for sign in ("\x1b", "\x07", "\x9b", "\u202e"))
    assert error.count("\n") == 1
    assert "\nsecond line\n" in err


def test_every_verb_prints_through_one_function():
    for path in Path(mien.cli.__file__).parent.glob("*.py"):
        calls = [node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        found = [call.id for call in calls if isinstance(call, ast.Name) and call.id == "print"]
        assert found == (["print"] if path.name == "output.py" else []), path


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such names")
def test_names_of_files_reach_the_terminal_escaped(tmp_path, monkeypatch, capsys):
    for name in (f"a{NASTY}.png", "b.png"):
        Image.new("L", (48, 48), 90).save(tmp_path / name)
    (tmp_path / f"c{NASTY}.png").write_bytes(b"no picture")
    assert main(["predict", str(tmp_path), "--model", "mien:tiny", "--no-detect"]) == 4
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    assert printable(f"a{NASTY}.png") in out
    assert printable(f"c{NASTY}.png") in err
    assert "\x1b" not in out + err


def test_names_of_classes_reach_terminal_and_spreadsheet_escaped(tmp_path, monkeypatch, capsys):
    classes = ("=1+1", f"-b{NASTY}", "'=c", "d")
    names, labels = picture_names(classes, (2, 2, 2, 2))
    run = tmp_path / "run"
    write_run(run, names=names, labels=labels, classes=classes)
    monkeypatch.setattr(
        "mien.cli.evaluate._score_run", lambda *_, **__: (RunFolder.open(run).scores["validation"], "cpu")
    )
    assert main(["evaluate", str(run)]) == 0
    out = capsys.readouterr().out
    assert printable(classes[1]) in out
    assert "\x1b" not in out
    path = tmp_path / "predictions.csv"
    shares = np.full((3, 4), 0.25)
    Predictions(["=n", "\t@", "a"], np.array([0, 1, 2]), shares, classes).save(path)
    with open(path, newline="", encoding="utf-8") as file:
        cells = [cell for line in file.read().split("\r\n") for cell in line.replace('"', "").split(",")]
    assert not [cell for cell in cells if cell.startswith(tuple("=+-@\t\r"))]
    again = Predictions.load(path)
    assert (again.classes, again.names, again.labels.tolist()) == (classes, ["=n", "\t@", "a"], [0, 1, 2])
