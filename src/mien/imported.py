"""What a setting names as MODULE:NAME: a model or a reader, the user's own or one of ours."""

from __future__ import annotations

import importlib
import re
from typing import Any

from mien.errors import UsageError, missing_extra


def imported(place: str, what: str) -> Any:
    """What `place`, 'package.module:name', stands for; `what` is what an error calls it.

    Raises UsageError when it cannot be imported, MissingError when it needs a package of an extra that is not there.
    """
    if not re.fullmatch(r"\w+(\.\w+)*:\w+", place):
        raise UsageError(f"{what}: one of your own is named MODULE:NAME, as mine:Model is in mine.py.")
    module, _, name = place.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        missing = missing_extra(error) if isinstance(error, ModuleNotFoundError) else None
        raise missing or UsageError(
            f"{what} cannot be imported: {error}. A module is looked for in the folder where you start, and among what "
            "is installed."
        ) from error
