"""A trained model behind HTTP: an API and a page for this computer's browser. No torch, and no picture is kept."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mien.serve.app import create_app
    from mien.serve.limits import Limits

__all__ = ["Limits", "create_app"]

HOMES = {"create_app": "mien.serve.app", "Limits": "mien.serve.limits"}


def __getattr__(name: str) -> Any:
    """Imported when first used: the processes that read pictures live in this package, and need no web framework."""
    if name not in HOMES:
        raise AttributeError(f"module 'mien.serve' has no attribute '{name}'")
    return getattr(importlib.import_module(HOMES[name]), name)
