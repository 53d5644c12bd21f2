"""The run folder: what a training leaves behind, written whole and checked when it is read."""

from mien.runs.folder import RunFolder, is_finished, is_run, read_recipe
from mien.runs.predictions import AskedImages, Predictions
from mien.runs.records import Accuracy, ChangeScore, ClassScores, Env, Scores, Subgroup, Subgroups

__all__ = [
    "Accuracy",
    "AskedImages",
    "ChangeScore",
    "ClassScores",
    "Env",
    "Predictions",
    "RunFolder",
    "Scores",
    "Subgroup",
    "Subgroups",
    "is_finished",
    "is_run",
    "read_recipe",
]
