"""Recipes and networks by their names, as functions that `import mien` shows beside the verbs of `mien.api`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mien import plugins
from mien.arguments import Source, place_of, several, verb
from mien.config import Recipe

if TYPE_CHECKING:
    from torch import nn

    from mien.pretrained import Classifier


def recipe(name: str | Path, /, **sections: Any) -> Recipe:
    """Return a recipe by its name, or from a .py file that defines one, with some settings changed.

    sections: data={"path": "pictures"}, train={"epochs": 5}, seed=1 and so on; see `Recipe`.
    Raises UsageError for a name or a setting that does not exist, with the nearest one.
    """
    from mien.recipes import load as load_recipe

    return load_recipe(str(name))[0].with_(**sections)


@verb
def from_pretrained(
    where: Source, labels: tuple[str, ...] | None = None, *, allow_code: Sequence[str] = (), **sizes: Any
) -> Classifier:
    """Return a network ready to use: calling it maps scaled images (B, C, H, W) to logits (B, K).

    where: a Run or its folder, a file or folder of weights, an .onnx file of mien's, 'mien:base', 'hf-hub:OWNER/NAME'.
    labels: the classes of a new head; None keeps the checkpoint's own. sizes: what may differ from the checkpoint
    (img_size, in_chans, drop_rate ...).
    """
    from mien.pretrained import from_pretrained as read

    with plugins.allowing(allow_code):
        return read(place_of(where), None if labels is None else tuple(several(labels)), **sizes)


@verb
def create_model(name: str, **sizes: Any) -> nn.Module:
    """Build a network with random weights; calling it maps (B, in_chans, img_size, img_size) to logits (B, K).

    name: one of `list_models()`, or 'package.module:Class' for an own network. sizes: img_size, in_chans, num_classes
    and what else the network takes, in timm's words.
    Raises UsageError for an unknown network, a size that it does not have or a value that it refuses.
    """
    from mien.models import create_model as build

    return build(name, **sizes)


def list_models(pattern: str = "*") -> list[str]:
    """Return the names of the networks that match a pattern such as '*vit*'."""
    from mien.models import list_models as names

    return names(pattern)


def list_recipes(pattern: str = "*") -> list[str]:
    """Return the names of the recipes that match a pattern such as 'fer2013_*'."""
    from fnmatch import filter as matching

    from mien.recipes import names

    return matching(names(), pattern)
