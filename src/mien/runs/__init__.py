"""The run folder: what a training leaves behind, written whole and checked when it is read."""

from mien.runs.folder import RunFolder, Scores
from mien.runs.predictions import Predictions

__all__ = ["Predictions", "RunFolder", "Scores"]
