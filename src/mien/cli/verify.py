"""`mien verify`: whether a run, a store or a file is as mien wrote it, and whether what it says of itself holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from mien.cli.app import Json, Path_
from mien.cli.data_settings import DataSettable
from mien.cli.output import print_json, print_lines
from mien.cli.wording import worded
from mien.errors import DataError, UsageError
from mien.progress import note


def verify(
    path: Path_,
    *more: Path_,
    split: Literal["validation", "test"] = "validation",
    robustness: Annotated[bool, Parameter(negative="")] = False,
    json_: Json = False,
    settings: DataSettable = None,
) -> None:
    """Read all of runs, stores of images or files, and say what is damaged or was changed.

    With --data.path, what an export or a run says of itself (which images, their copies, scores, calibration, coverage)
    is worked out again: each claim holds, fails, or cannot be checked.

    Parameters
    ----------
    path
        A run folder, a store folder, an .onnx file of mien's, a checkpoint or an .npz file; with --data.path a run, an
        .onnx file, a model that comes with mien ('mien:base') or one on the hub (hf-hub:OWNER/NAME).
    more
        Others, each of any kind.
    split
        test: read the test split too, where there are scores of it; the reading is noted in the run.
    robustness
        Also score the images blurred, noisy, darker and so on, which takes twenty times as long as all else.
    """
    if settings is not None:
        _prove([path, *more], settings.model_dump(exclude_unset=True)["data"], split, robustness, json_)
        return
    if robustness or split == "test":
        raise UsageError("--split and --robustness are of scores. Say on which images to work them out: --data.path")
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
        note("Every file is as it was written. Who wrote it, checksums do not tell; whether it is right: --data.path")


def _prove(
    paths: list[Path], data: dict[str, Any], split: Literal["validation", "test"], robustness: bool, json_: bool
) -> None:
    from mien import verify as work_out

    found = [work_out(each, data=data, split=split, robustness=robustness) for each in paths]
    if json_:
        rows = [proof.to_dict() for proof in found]
        print_json(rows if len(rows) > 1 else rows[0])
    else:
        for proof in found:
            print_lines(*worded(proof.describe()).split("\n"))
    if failed := [proof.path for proof in found if not proof.holds]:
        raise DataError(f"What {' and '.join(failed)} {'says' if len(failed) == 1 else 'say'} of itself does not hold.")


def _told(path: Path, whole: bool | None) -> str:
    if whole:
        return f"{path} is whole."
    return f"{path}: no damage was found; whether all of it is whole cannot be told."
