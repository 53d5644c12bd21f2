"""mien: train, compare, look inside and use classifiers of small images.

run = mien.train(mien.recipe("folder_vit", data={"path": "pictures"}))
run.scores["validation"].accuracy
reader = mien.load("mien:base")
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inspect import Signature

    from mien.api import (
        Run,
        adopt,
        compare,
        embed,
        evaluate,
        explain,
        lr,
        resume,
        train,
        verify,
    )
    from mien.catalogue import create_model, from_pretrained, list_models, list_recipes, recipe
    from mien.config import Recipe
    from mien.data.listing import Listing
    from mien.errors import MienError
    from mien.evaluate.embedding import Embedding
    from mien.explain import Explanation
    from mien.runtime import Face, Reader
    from mien.shipping import export, load, push

__version__ = "0.2.0"

__all__ = [
    "Embedding",
    "Explanation",
    "Face",
    "Listing",
    "MienError",
    "Reader",
    "Recipe",
    "Run",
    "adopt",
    "compare",
    "create_model",
    "embed",
    "evaluate",
    "explain",
    "export",
    "from_pretrained",
    "list_models",
    "list_recipes",
    "load",
    "lr",
    "push",
    "recipe",
    "resume",
    "train",
    "verify",
]

# Where the types live, and what opens recipes and networks by their names; the verbs are functions of mien.api. All are
# imported when first used: `import mien` is free.
TYPES = {
    "Embedding": "mien.evaluate.embedding",
    "Explanation": "mien.explain",
    "Face": "mien.runtime",
    "Listing": "mien.data.listing",
    "MienError": "mien.errors",
    "Reader": "mien.runtime",
    "Recipe": "mien.config",
}
NAMED = ("create_model", "from_pretrained", "list_models", "list_recipes", "recipe")
PLACES = TYPES | dict.fromkeys(NAMED, "mien.catalogue")


# Verbs that share their name with a module: `mien.train` is both, whether or not the module has been imported before.
MODULES = ("adopt", "evaluate", "explain", "export", "push", "train", "verify")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'mien' has no attribute '{name}'")
    try:
        if name in MODULES:
            return importlib.import_module(f"mien.{name}")
        return getattr(importlib.import_module(PLACES.get(name, "mien.api")), name)
    except ModuleNotFoundError as error:
        from mien.errors import missing_extra

        raise missing_extra(error) or error from error


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


class _Verb(ModuleType):
    """A module that shares its name with a verb, and can be called as that verb: mien.train(recipe)."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function()(*args, **kwargs)

    @property
    def __signature__(self) -> Signature:
        import inspect

        return inspect.signature(self._function())

    def _function(self) -> Any:
        return getattr(importlib.import_module("mien.api"), self.__name__.rpartition(".")[2])


class _Door(ModuleType):
    """Importing mien.train puts that module where the verb of the name is; this makes the module the verb too."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and name in MODULES:
            value.__class__ = _Verb
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Door
