"""Commands of mien in forked processes, one of which is killed before its n-th change of the file system.

For benchmarks/kills.py; imports nothing of mien, so that whoever forks says first what is loaded.
"""

from __future__ import annotations

import builtins
import io
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

CHANGES = ("replace", "rename", "mkdir", "rmdir", "unlink", "fsync")


def child(work: Callable[[], int], log: Path, environment: dict[str, str] | None = None) -> int:
    """Fork a process that does `work`, its output in a file; returns its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        with log.open("ab", buffering=0) as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        os.environ.update(environment or {})
        tempfile.tempdir = None
        code = work()
    except BaseException:  # a traceback is a finding
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def ended(pid: int) -> int:
    """Wait for a process; returns its exit code, -9 of one that was killed."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def command(words: Sequence[str]) -> int:
    from mien.cli import main

    try:
        return main(list(words))
    except SystemExit as ending:
        return int(ending.code or 0)


def counted(words: Sequence[str], step: int | None, notes: Path | None) -> int:
    """Run a command; this process is killed before its change number `step`.

    notes: where the number of changes is written, and what has been imported.
    """
    done = 0

    def change(really: Callable[..., Any], *given: Any, **more: Any) -> Any:
        nonlocal done
        if really is not opened or set("wax+") & set(str(more.get("mode", given[1] if len(given) > 1 else "r"))):
            if done == step:
                os.kill(os.getpid(), signal.SIGKILL)
            done += 1
        return really(*given, **more)

    opened = io.open
    for name in CHANGES:
        setattr(os, name, partial(change, getattr(os, name)))
    builtins.open = io.open = partial(change, opened)
    code = command(words)
    if notes:
        with opened(notes, "w") as file:
            json.dump([done, sorted(sys.modules)], file)
    return code
