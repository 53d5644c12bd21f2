"""Data sets of the Hugging Face hub, `data.path` hf-hub:OWNER/NAME: their files in the hub's own cache."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from mien.hub import HUB, download
from mien.pictures import IMAGE_SUFFIXES

PARQUET = ".parquet"
OTHERS = (".tar", ".tar.gz", ".tgz", ".zip", ".csv", *IMAGE_SUFFIXES)


def is_on_hub(path: Path | None) -> bool:
    """Whether a path is the id of a data set."""
    return path is not None and path.as_posix().startswith(HUB)


def local(path: Path) -> Path:
    """A path as it is; of an id the folder with its files, which are downloaded first.

    Those are its Parquet tables where it has some, else its archives, tables and pictures.
    Raises MissingError when the hub has no such data set or cannot be reached.
    """
    return _downloaded(path.as_posix().removeprefix(HUB)) if is_on_hub(path) else path


@cache
def _downloaded(repository: str) -> Path:  # once in a process: a run opens its data several times
    return download(repository, _wanted, "Download the data set elsewhere and give its folder.", kind="dataset")


def _wanted(names: list[str] | None) -> list[str]:
    if names is None:
        return ["*"]
    tables = [name for name in names if name.endswith(PARQUET)]
    return tables or [name for name in names if name.lower().endswith(OTHERS)]
