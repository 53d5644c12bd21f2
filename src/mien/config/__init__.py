"""Recipe: every setting of an experiment in one frozen object, and how it is put together.

settings.py says what can be set, layers.py builds a recipe from files, environment and flags.
"""

from mien.config.base import Settings, refusal
from mien.config.layers import build, code_of, dump, fields_of, from_environment, from_file, merge, refuse_foreign_code
from mien.config.model import Model, model_settings
from mien.config.settings import Augment, Data, Distill, Overrides, Pretrain, Recipe, Train, recipe_for

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
    "code_of",
    "dump",
    "fields_of",
    "from_environment",
    "from_file",
    "merge",
    "model_settings",
    "recipe_for",
    "refusal",
    "refuse_foreign_code",
]
