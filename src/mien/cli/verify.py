"""`mien verify`: whether a run, a store or a file is as mien wrote it."""

from __future__ import annotations

from mien.cli.app import Json, Path_, app, print_json
from mien.errors import DataError
from mien.progress import note


@app.command
def verify(path: Path_, *, json_: Json = False) -> None:
    """Read all of a run, a store of images or a file, and say what is damaged or was changed.

    Parameters
    ----------
    path
        A run folder, a store folder, an .onnx file of mien's, a checkpoint or an .npz file.
    """
    from mien.verify import has_checksums
    from mien.verify import verify as look

    problems = look(path)
    told = bool(problems) or has_checksums(path)
    if json_:
        print_json({"path": str(path), "whole": not problems if told else None, "problems": problems})
    if problems:
        if not json_:
            print("\n".join(problems))
        raise DataError(f"{path} is not whole.")
    if not told and not json_:
        print(f"{path}: no damage was found; whether all of it is whole cannot be told.")
    elif not json_:
        print(f"{path} is whole.")
        note("Every file is as it was written. Who wrote it, checksums do not tell.")
