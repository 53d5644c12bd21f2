"""A terminal or pipe that cannot show a letter gets an escape in its place."""

import io
import json
import sys

import numpy as np
import pytest
from fake_runs import picture_names, write_run

from mien.cli import main
from mien.cli.output import print_json

CLASSES = ("猫", "łódź", "dög")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_what_cannot_be_shown_is_escaped_and_names_keep_their_bytes(tmp_path, monkeypatch, encoding):
    monkeypatch.chdir(tmp_path)
    names, labels = picture_names(CLASSES)
    run = write_run(tmp_path / "猫 dög", names=names, labels=labels, classes=CLASSES)
    stdout = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stdout)
    assert main(["report", run.name]) == 0
    print("b\udce4d.png 猫")
    stdout.flush()
    shown = "猫 dög/report.html\nb".encode(encoding, "backslashreplace")
    assert stdout.buffer.getvalue() == shown + b"\xe4d.png " + "猫\n".encode(encoding, "backslashreplace")
    assert "łódź" in (run / "report.html").read_text(encoding="utf-8")


def test_json_has_no_nan(capsys):
    print_json({"share": float("nan"), "losses": (0.5, float("inf")), "many": [np.float64("nan"), 3, None]})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "share": None,
        "losses": [0.5, None],
        "many": [None, 3, None],
    }
