"""One class per kind of failure; the command line turns each into its exit code.

Every message says what happened, what was given and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class MienError(Exception):
    """Something failed that is nobody's mistake (a full disk, say). Exit code 1."""

    exit_code = 1


class UsageError(MienError):
    """The request itself is wrong: an unknown recipe, key, model or size. Exit code 2."""

    exit_code = 2


class MissingError(MienError):
    """Something needed is not there: a file, a folder, an extra, a device. Exit code 3."""

    exit_code = 3


class DataError(MienError):
    """The data is bad: unreadable, foreign, mislabelled or empty. Exit code 4."""

    exit_code = 4


def nearest(name: str, choices: Iterable[str]) -> str:
    """' Did you mean 'x'?' for the choice closest to `name`, or '' when none is close."""
    found = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return f" Did you mean '{found[0]}'?" if found else ""
