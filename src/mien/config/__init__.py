"""Recipe: every setting of an experiment in one frozen object, and how it is put together.

settings.py says what can be set, layers.py builds a recipe from files, environment and flags.
"""

from mien.config.layers import build, dump, from_environment, from_file, merge, refuse_foreign_code
from mien.config.settings import Augment, Data, Distill, Model, Overrides, Pretrain, Recipe, Settings, Train, refusal

__all__ = [
    "Augment",
    "Data",
    "Distill",
    "Model",
    "Overrides",
    "Pretrain",
    "Recipe",
    "Settings",
    "Train",
    "build",
    "dump",
    "from_environment",
    "from_file",
    "merge",
    "refusal",
    "refuse_foreign_code",
]
