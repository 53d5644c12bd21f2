"""Files that are there whole or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from mien.errors import MienError


@contextmanager
def written_whole(path: Path) -> Iterator[TextIO]:
    """A UTF-8 text file that takes the place of `path` once it is complete.

    Raises MienError when it cannot be written (a full disk, say); what was there before then stays.
    """
    draft: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        with open(handle, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            yield file
        os.chmod(draft, 0o644)  # mkstemp's files are for their owner alone
        os.replace(draft, path)
    except OSError as error:
        raise MienError(f"Writing {path} failed: {error.strerror}. Free some space, or write elsewhere.") from error
    finally:
        if draft is not None:
            Path(draft).unlink(missing_ok=True)


def write_json(path: Path, values: Any) -> None:
    """Values as indented JSON, written whole."""
    with written_whole(path) as file:
        json.dump(values, file, indent=1)
