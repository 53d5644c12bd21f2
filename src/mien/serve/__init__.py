"""A trained model behind HTTP: an API and a page for this computer's browser. No torch, and no picture is kept."""

from __future__ import annotations

from mien.serve.app import create_app
from mien.serve.limits import Limits

__all__ = ["Limits", "create_app"]
