"""The same reading of faces, spread over the processes of one machine or many with Ray. No torch."""

from __future__ import annotations

from mien.scale.driver import predict
from mien.scale.job import ScaleResult

__all__ = ["ScaleResult", "predict"]
