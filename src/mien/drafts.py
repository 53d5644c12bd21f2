"""Drafts: hidden files and folders in which something is written before it is moved to its place, whole.

A draft is locked by the process that writes it. So what a killed process left behind can be told from what another
one is writing at this moment, and is removed by the next that writes into the same folder. What the killed process was
about to replace lies in its draft too, and goes back to its place.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from mien.locks import is_at, lock

if sys.platform != "win32":
    import fcntl

SUFFIX = ".mien-draft"
OLD = "old"  # in a draft: what is being replaced, under its own name
ELSEWHERE = 24 * 3600  # seconds after which a draft of another machine, whose locks may not reach here, is left over


@contextmanager
def draft(parent: Path, *, folder: bool = False) -> Iterator[Path]:
    """An empty file or folder in `parent` for this process alone; removed at the end unless it was moved away.

    What killed processes left in `parent` is removed first. Raises OSError when `parent` cannot be written to.
    """
    clear(parent)
    path, lock = _claimed(parent, folder)
    try:
        yield path
    finally:
        _remove(path)
        if lock is not None:
            os.close(lock)


@contextmanager
def aside(path: Path) -> Iterator[None]:
    """Within it what lies at `path`, if anything, makes way for its successor; it is removed at the end.

    It comes back where there is no successor, because the block failed or its process was killed.
    """
    with draft(path.parent, folder=True) as place:
        (place / OLD).mkdir()
        with suppress(FileNotFoundError):
            os.replace(path, place / OLD / path.name)
        try:
            yield
        except BaseException:
            _bring_back(place)
            raise


@contextmanager
def alone(place: Path) -> Iterator[None]:
    """Within it no other process of this machine is in the same lines for this place; they wait for their turn.

    Not where the file system has no locks, or nothing can be written.
    """
    turn, handle = place.parent / f".{_host()}-{place.name}{SUFFIX}", None
    with suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        handle = lock(turn, wait=True, create=True)
    try:
        yield
    finally:
        if handle is not None:
            turn.unlink(missing_ok=True)
            os.close(handle)


@cache
def clear(parent: Path) -> None:
    """Remove the drafts of processes that are no more, and bring back what they were replacing.

    Looks once into each folder.
    """
    with suppress(OSError):  # the folder may not be there, or not be ours
        for name in os.listdir(parent):
            if name.startswith(".") and name.endswith(SUFFIX):
                _remove_if_left(parent / name)


def _claimed(parent: Path, folder: bool) -> tuple[Path, int | None]:
    """A new draft and the handle that locks it; one that was cleared away before it was locked is made again."""
    while True:
        path = _new(parent, folder)
        if sys.platform == "win32":
            return path, None
        try:
            lock = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            continue
        with suppress(OSError):  # a file system without locks, whose drafts `clear` leaves alone
            fcntl.flock(lock, fcntl.LOCK_EX)
        if is_at(lock, path):
            return path, lock
        os.close(lock)


def _new(parent: Path, folder: bool) -> Path:
    prefix = f".{_host()}-"
    if folder:
        return Path(tempfile.mkdtemp(SUFFIX, prefix, parent))
    handle, path = tempfile.mkstemp(SUFFIX, prefix, parent)
    os.close(handle)
    return Path(path)


def _remove_if_left(path: Path) -> None:
    """Remove a draft whose lock nobody holds."""
    if sys.platform == "win32" or (not path.name.startswith(f".{_host()}-") and _age(path) < ELSEWHERE):
        return
    with suppress(OSError):  # locked by its process, gone in the meantime, or not ours
        lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_at(lock, path):
                _bring_back(path)
                _remove(path)
        finally:
            os.close(lock)


def _bring_back(place: Path) -> None:
    """Put what a draft holds of its place back there, unless the successor has it."""
    for old in (place / OLD).iterdir() if (place / OLD).is_dir() else ():
        if not (place.parent / old.name).exists():
            old.rename(place.parent / old.name)


def _age(path: Path) -> float:
    """Seconds since a draft, or a file in it, was last written to."""
    files = [path, *path.iterdir()] if path.is_dir() else [path]
    return time.time() - max(file.stat().st_mtime for file in files)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


@cache
def _host() -> str:
    return re.sub(r"[^\w.]", "", platform.node(), flags=re.ASCII)[:32]
