"""manifest.json: the sha256 of each file of a run, so that damage is seen when a file is read.

Checkpoints are not in it: they change with every epoch and carry checksums of their own (see mien.train.trainer).
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from mien.atomic import identity, json_sha256, write_json
from mien.errors import DataError
from mien.locks import lock
from mien.progress import note
from mien.runs import layout

Hashes = dict[str, str]  # file, relative to the run -> sha256; '' while it is written

_threads = threading.RLock()
_entered: set[Path] = set()  # runs whose lock this process has


@contextmanager
def changing(run: Path, *names: str) -> Iterator[None]:
    """Within it these files of a run are written, each whole or not at all; their hashes are noted afterwards.

    Where that fails, a file that was not replaced keeps the hash it had. A process that is killed in between leaves
    them without one: they are the old ones or the new ones, and whole.
    """
    known, there = _note(run, dict.fromkeys(names, "")), {name: identity(run / name) for name in names}
    try:
        yield
    except BaseException:
        kept = {name: known.get(name, "") for name in names if identity(run / name) == there[name]}
        _note(run, _hashes(run, [name for name in names if name not in kept]) | kept)
        raise
    _note(run, _hashes(run, names))


def check(run: Path, name: str, way_out: str = "Take it from a copy of the run, or repeat the run.") -> Path:
    """Return the path of a file of a run. Raises DataError when it is not the file that was written.

    way_out: what to do then.
    """
    path = run / name
    known = read(run)
    if known is None:
        _say_without(run)
    elif path.is_file() and known.get(name) and known[name] != _sha256_of(path, *_version(path)):
        if (read(run) or {}).get(name) != known[name]:  # it was written again in the meantime
            return path
        raise DataError(f"{path} is damaged: it is not the file that was written. {way_out}")
    return path


def problems(run: Path) -> list[str]:
    """What is not as it was written, a sentence each; [] when every file of the manifest is whole.

    [] and a note where there is no manifest.
    """
    known = read(run)
    if known is None:
        _say_without(run)
        return []
    found = []
    for name, noted in sorted(known.items()):
        path = run / name
        if not noted:  # it is being written, or was when its process was killed
            continue
        if not path.is_file():
            found.append(f"{path} is missing.")
        elif sha256(path) != noted:
            found.append(f"{path} is damaged or was changed.")
    return found


def read(run: Path) -> Hashes | None:
    """The hashes of a run's files; None where it has no manifest. Raises DataError when the manifest is damaged."""
    path = run / layout.MANIFEST
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        files, own = values["files"], values["sha256"]
        if own == json_sha256(files):
            return dict(files)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise DataError(
        f"{path} is damaged: it does not match its own checksum. Take it from a copy of the run; deleted, nothing "
        "tells whether the run's files are whole."
    )


def sha256(path: Path) -> str:
    """The sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Within it no other process or thread changes the records of a run, where the file system has locks.

    Who has the lock may enter again.
    """
    with _threads:
        if run in _entered:
            yield
            return
        handle = None
        with suppress(OSError):
            handle = lock(run / layout.RECIPE, wait=True)
        _entered.add(run)
        try:
            yield
        finally:
            _entered.remove(run)
            if handle is not None:
                os.close(handle)


def _note(run: Path, hashes: Hashes) -> Hashes:
    """Add hashes to the manifest; returns those that it had before."""
    with locked(run):
        known = read(run) or {}
        files = known | hashes
        write_json(run / layout.MANIFEST, {"files": files, "sha256": json_sha256(files)})
    return known


def _hashes(run: Path, names: Iterable[str]) -> Hashes:
    return {name: sha256(run / name) for name in names if (run / name).is_file()}


def _version(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_mtime_ns, state.st_size


@cache
def _sha256_of(path: Path, modified: int, size: int) -> str:
    """A file that has not changed is read once in a process."""
    return sha256(path)


@cache
def _say_without(run: Path) -> None:
    note(f"{run} has no manifest, as runs of mien 0.1: nothing tells whether its files are whole.")
