"""mien: train, compare, look inside and use classifiers of small images."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.2.0"

# The public verbs and where they live; imported when first used, so that `import mien` costs nothing.
VERBS = {"explain": "mien.explain", "from_pretrained": "mien.pretrained", "load": "mien.runtime"}

__all__ = ["__version__", *VERBS]


def __getattr__(name: str) -> Any:
    if name not in VERBS:
        raise AttributeError(f"module 'mien' has no attribute '{name}'")
    try:
        module = importlib.import_module(VERBS[name])
    except ModuleNotFoundError as error:
        from mien.errors import missing_extra

        missing = missing_extra(error)
        if missing is None:
            raise
        raise missing from error
    return globals().get(name) or getattr(module, name)  # a verb that is a package of its own can be called itself


def __dir__() -> list[str]:
    return sorted(__all__)
