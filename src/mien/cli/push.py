"""`mien push`: a run on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mien.cli.app import DataPath, Json, Path_
from mien.cli.output import print_json, print_lines, quoted
from mien.hub import HUB
from mien.progress import note


def push(
    run: Path_,
    repository: Annotated[str, Parameter(show_default=False)],
    *,
    licence: Annotated[str | None, Parameter(name=("--licence", "--license"))] = None,
    private: Annotated[bool, Parameter(negative="")] = False,
    revision: str | None = None,
    message: str | None = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    dry_run: Path | None = None,
    data_path: DataPath = None,
    json_: Json = False,
) -> None:
    """Put a finished run on the Hugging Face hub, as one commit: card, weights, settings and the sealed .onnx file.

    No picture, no prediction and no path of this computer is uploaded. Log in before: hf auth login.

    Parameters
    ----------
    run
        A finished run folder; where it was not exported yet, it is exported first.
    repository
        OWNER/NAME. It is made if it is not there; what mien pushed there before is replaced.
    licence
        Under which others may use the weights, in the hub's words: apache-2.0, mit, cc-by-nc-4.0, other. An adopted run
        needs one.
    private
        A new repository is for its owner alone.
    revision
        A branch to push to, made if it is not there; the main one if not given.
    message
        What the commit says.
    overwrite
        Also replace a model that mien did not put there.
    dry_run
        A folder to write everything into, in place of the hub.
    """
    from mien.push import push as upload
    from mien.runs.data import lying_at

    with lying_at(data_path):
        done = upload(
            run, repository, licence=licence, private=private, revision=revision, message=message,
            overwrite=overwrite, dry_run=dry_run,
        )  # fmt: skip
    if json_:
        print_json(vars(done))
        return
    print_lines(done.address)
    note("  ".join(f"{name} {max(size / 1e3, 1):,.0f} kB" for name, size in done.files.items()))
    if done.reader:
        note(f"{done.reader} reads it too")
    if dry_run:
        note("Nothing was uploaded: the same command without --dry-run does that.")
    where = quoted(done.address) if dry_run else HUB + done.repository + (f"@{revision}" if revision else "")
    note(f"Next: mien predict PHOTO --model {where}")
