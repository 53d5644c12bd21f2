"""The folder that mien keeps things in for this user: decoded images, and which code the user has named."""

from __future__ import annotations

import os
from pathlib import Path

from mien.errors import MissingError


def cache_folder() -> Path:
    """Return MIEN_CACHE, else `mien` in the user's cache folder; it need not exist yet.

    Raises MissingError where the user has no home folder to look in.
    """
    chosen = os.environ.get("MIEN_CACHE")
    if chosen:
        return Path(os.path.expanduser(chosen))  # which no shell has read where a file of settings names it
    local = os.environ.get("LOCALAPPDATA") if os.name == "nt" else os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(local or Path.home() / ".cache") / "mien"
    except RuntimeError as error:  # HOME is not set, and the user id is in no list
        raise MissingError("There is no home folder to keep decoded images in. Name a folder in MIEN_CACHE.") from error
