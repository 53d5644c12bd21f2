"""`mien verify`: whether a run, a store or a file is as mien wrote it."""

from __future__ import annotations

from pathlib import Path

from mien.cli.app import Json, Path_, app, print_json, print_lines
from mien.errors import DataError
from mien.progress import note


@app.command
def verify(path: Path_, *more: Path_, json_: Json = False) -> None:
    """Read all of runs, stores of images or files, and say what is damaged or was changed.

    Parameters
    ----------
    path
        A run folder, a store folder, an .onnx file of mien's, a checkpoint or an .npz file.
    more
        Others, each of any kind.
    """
    from mien.verify import has_checksums
    from mien.verify import verify as look

    found = {each: look(each) for each in (path, *more)}
    whole = {each: False if problems else has_checksums(each) or None for each, problems in found.items()}
    if json_:
        rows = [{"path": str(each), "whole": whole[each], "problems": found[each]} for each in found]
        print_json(rows if more else rows[0])
    else:
        for each, problems in found.items():
            print_lines(*(problems or [_told(each, whole[each])]))
    if damaged := [str(each) for each, problems in found.items() if problems]:
        raise DataError(f"{', '.join(damaged)} {'is' if len(damaged) == 1 else 'are'} not whole.")
    if all(whole.values()) and not json_:
        note("Every file is as it was written. Who wrote it, checksums do not tell.")


def _told(path: Path, whole: bool | None) -> str:
    if whole:
        return f"{path} is whole."
    return f"{path}: no damage was found; whether all of it is whole cannot be told."
