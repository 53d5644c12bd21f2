"""One of several server processes behind one address, `python -m mien.serve.worker`; see `supervisor`."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import socket
import sys
from contextlib import suppress

from mien.serve.metrics import SHARED
from mien.serve.server import run


def main() -> None:
    build, handle, parent = pickle.load(sys.stdin.buffer)  # from the supervisor, which started this process
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # which comes again when the server has drained
    try:
        if parent == os.getppid():
            run(build(), socket.socket(fileno=handle), at_once=1, parent=parent)  # so that each takes its share
    finally:
        if parent != os.getppid():  # killed, so that nobody else removes it
            shutil.rmtree(os.environ[SHARED], ignore_errors=True)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
