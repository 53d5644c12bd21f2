"""Ray: what `on` says of it, and how it is reached."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

from mien.errors import MienError, MissingError, UsageError


def address_of(on: str) -> str | None:
    """'ray' -> None, 'ray:10.0.0.1:6379' -> '10.0.0.1:6379'. Raises UsageError for another engine."""
    engine, colon, address = on.partition(":")
    if engine != "ray" or (colon and not address):
        raise UsageError(f"`on` {on}: there are ray, which starts it on this machine, and ray:ADDRESS of a cluster.")
    return address or None


@contextmanager
def connected(address: str | None, cores: int | None = None) -> Iterator[None]:
    """Connect to a cluster, or start Ray on this machine until the end.

    cores: how many Ray gives out on this machine; all that are there if not given. What this process is connected to
    already is taken as it is. Raises UsageError for an address that is none, MissingError where no cluster answers,
    MienError where Ray does not start, on a machine that is very busy say.
    """
    import ray

    own = not ray.is_initialized()
    if own:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
        where = {"address": address} if address else {"address": "local", "num_cpus": cores, "include_dashboard": False}
        try:
            ray.init(**where, log_to_driver=False, logging_level=logging.ERROR)
        except Exception as error:  # Ray's are of no class of its own
            if address and isinstance(error, ConnectionError):
                raise MissingError(f"`on` ray:{address}: no cluster of Ray answers there ({error}).") from error
            if address and isinstance(error, ValueError):
                raise UsageError(f"`on` ray:{address}: Ray takes no such address ({error}).") from error
            ray.shutdown()
            why = str(error).partition("\n")[0].rstrip(".")
            raise MienError(f"Ray could not be {'joined' if address else 'started'} ({why}).") from error
    try:
        with redirect_stdout(sys.stderr):  # where Ray's threads say which process has ended; results go to stdout
            yield
    finally:
        if own:
            ray.shutdown()
