"""Locks on files and folders: who has one keeps it until it lets go or ends, also by kill -9."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if sys.platform != "win32":
    import fcntl


def lock(path: Path, *, wait: bool = False, create: bool = False) -> int | None:
    """Lock a file or folder for this process; closing the returned handle unlocks it, and so does the process's end.

    create: make an empty file where there is none. wait: until another process lets go.
    Returns None where there are no locks: on Windows, on some network drives. Raises BlockingIOError while another
    process has it, unless it is to wait, and other OSErrors where `path` cannot be opened.
    """
    if sys.platform == "win32":
        return None
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT if create else os.O_RDONLY, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(handle)
            raise
        except OSError:  # a file system without locks
            os.close(handle)
            return None
        if is_at(handle, path):  # else it was replaced or removed before it was locked
            return handle
        os.close(handle)


def is_at(handle: int, path: Path) -> bool:
    """Whether an open file or folder is what lies at `path` now."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False
