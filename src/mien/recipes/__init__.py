"""One Python file an experiment; `load` finds a recipe by its name, its file or its run folder."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import shlex
from pathlib import Path
from types import ModuleType

from mien import plugins
from mien.config import Recipe
from mien.errors import MissingError, UsageError, nearest
from mien.runs import is_run


def names() -> list[str]:
    """The recipes of this package."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> tuple[Recipe, str]:
    """A recipe and its docstring. name: one of `names()`, or the path of a .py file with a `recipe`.

    Raises UsageError with the nearest name when there is none.
    """
    if name.endswith(".py"):
        module = _from_file(Path(name))
    elif name in names():
        module = importlib.import_module(f"{__name__}.{name}")
    elif plugins.is_code(name):
        raise UsageError(
            f"{name} is code, not a recipe. To train a network of your own: mien run RECIPE --model.name {name}"
        )
    elif is_run(Path(name)):
        raise UsageError(
            f"{name} is a run, not a recipe. To go on with it: mien run {shlex.quote(name)} --resume. To start another "
            f"from its weights: mien run RECIPE --model.init {shlex.quote(name)}"
        )
    elif Path(name).is_dir():
        raise UsageError(
            f"{name} is a folder, not a recipe. If it holds images, a sub-folder for each class: "
            f"mien run folder_cnn --data.path {shlex.quote(name)}"
        )
    elif "/" in name:
        raise UsageError(f"There is no run folder {name}, and recipes have no '/'. 'mien recipes' lists them.")
    else:
        raise UsageError(f"Unknown recipe '{name}'.{nearest(name, names())} 'mien recipes' lists them.")
    recipe = getattr(module, "recipe", None)
    if not isinstance(recipe, Recipe):
        raise UsageError(f"{name} defines no 'recipe = Recipe(...)'.")
    return recipe, (module.__doc__ or "").strip()


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise MissingError(f"{path}: there is no such recipe file.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
