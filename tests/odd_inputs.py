"""What the tests of odd inputs share: small files written at once, and the command that reads them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from mien.cli import main

Made = Callable[[Path], Path]  # writes something into an empty folder and returns what is given to mien


class Odd(NamedTuple):
    """An odd input. what: it is. made: it. code: mien's exit code. says: what mien prints, one part or several."""

    what: str
    made: Made
    code: int
    says: str | tuple[str, ...]
    flags: tuple[str, ...] = ()


def rows(*odd: Odd) -> Any:
    """A test for each."""
    return pytest.mark.parametrize("odd", odd, ids=[each.what for each in odd])


def prepared(odd: Odd, folder: Path, capsys: pytest.CaptureFixture[str], verb: str = "prepare") -> str:
    """Run `mien data prepare` on an odd input, compare its exit code and sentence; returns all that it printed."""
    given = odd.made(folder)
    code = main(["data", verb, str(given), "--data.size", "8", *odd.flags])
    told = "".join(capsys.readouterr()).replace(str(folder), "HERE")
    check(odd, code, told)
    return told


def check(odd: Odd, code: int, told: str) -> None:
    assert "Traceback" not in told
    assert code == odd.code, told
    for part in (odd.says,) if isinstance(odd.says, str) else odd.says:
        assert part in told, f"not found: {part}\n{told}"
    errors = [line for line in told.splitlines() if line.startswith("mien: ")]
    assert len(errors) == bool(odd.code), "one sentence, and only where something is wrong"


@cache
def png(seed: int, kind: str = "PNG") -> bytes:
    """A picture of noise as a file's bytes; the same seed gives the same picture."""
    file = io.BytesIO()
    grey = np.random.default_rng(seed).integers(0, 256, (9, 9), dtype=np.uint8)
    Image.fromarray(grey).save(file, kind)
    return file.getvalue()


def tree(content: Mapping[str, int | bytes], give: str = "") -> Made:
    """Folders with so many pictures, and files with these bytes. give: what mien is given, the root if nothing."""

    def made(folder: Path) -> Path:
        seed = 0
        for name, what in content.items():
            path = folder / name
            if isinstance(what, bytes):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(what)
                continue
            path.mkdir(parents=True, exist_ok=True)
            for number in range(what):
                (path / f"{number}.png").write_bytes(png(seed))
                seed += 1
        return folder / give

    return made
