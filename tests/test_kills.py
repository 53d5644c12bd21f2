"""The short form of benchmarks/kills.py: ten kills of the verbs that need no torch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
QUICK = ("prepare", "prepare, replacing", "predict to csv", "predict to parquet")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")
def test_what_is_killed_goes_on_with_the_same_results(tmp_path):
    out = tmp_path / "kills.json"
    command = [sys.executable, ROOT / "benchmarks" / "kills.py", "--trials", "10", "--only", *QUICK, "--out", out]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.read_text())
    assert found["trials"] == 10
    assert all(one["the_same"] == one["trials"] for one in found["kinds"].values())
