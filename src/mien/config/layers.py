"""A recipe from its layers, later ones winning, and back to YAML.

The layers are the recipe's own file, a YAML file, the environment (MIEN_TRAIN__EPOCHS=5) and what is typed. An unknown
key is an error.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from mien import plugins
from mien.config.base import Settings
from mien.config.model import FREE, Model
from mien.config.settings import Overrides, Recipe, parsed
from mien.errors import MissingError, UsageError
from mien.models import TIMM, list_models, sizes_of

MOST = 100_000  # values in a file of settings
# Settings that may name own code, MODULE:NAME.
CODE = (("data", "source"), ("model", "name"))
# Settings that do nothing where there are no labels and no head.
NEEDS_LABELS = (
    *("train.label_smoothing", "train.class_weights", "train.sampler", "train.trainable", "train.last_blocks"),
    *("train.layer_decay", "train.unfreeze", "augment.mixup", "augment.cutmix", "distill.teachers"),
)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over` laid on top, section by section; a value, a schedule say, is replaced whole."""
    result = dict(base)
    for key, value in over.items():
        both_sections = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = {**result[key], **value} if both_sections else value
    return result


def from_environment(environment: Mapping[str, str] = os.environ) -> Overrides:
    """Settings in variables such as MIEN_TRAIN__EPOCHS=5. Names without '__' are not configuration."""
    found: Overrides = {}
    for name, value in environment.items():
        if name.startswith("MIEN_") and "__" in name:
            section, _, key = name[len("MIEN_") :].lower().partition("__")
            found.setdefault(section, {})[key] = parsed(f"In the environment, {name}", value)
    return found


def from_file(path: Path) -> Overrides:
    """Settings of a YAML (or JSON) file."""
    import yaml

    if not path.is_file():
        raise MissingError(f"{path}: there is no such file of settings.")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        _refuse_endless(values)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not YAML: {str(error).splitlines()[0]}.") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path} must hold 'section: {{key: value}}', found {type(values).__name__}.")
    refuse_foreign_code(values, path)
    return {key: value for key, value in values.items() if value is not None}  # all lines of a section commented out


def _refuse_endless(values: Any) -> None:
    """Raise ValueError for values that are more than MOST once every alias (*name) is written out.

    A few lines of YAML may stand for billions of values, or for a list that holds itself.
    """
    waiting = [values]
    for _ in range(MOST):
        if not waiting:
            return
        value = waiting.pop()
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    raise ValueError(f"it stands for more than {MOST:,} values, the most that settings may have")


def refuse_foreign_code(values: Mapping[str, Any], source: Path) -> None:
    """Raise DataError when settings that a file brings name code that the user has not allowed, see mien.plugins."""
    for section, key in CODE:
        group = values.get(section)
        if isinstance(group, Mapping):
            plugins.refuse_foreign(group.get(key), f"{section}.{key}", source)


def code_of(recipe: Recipe) -> list[str]:
    """Return the names of code, MODULE:NAME, that a recipe asks for."""
    named = (getattr(getattr(recipe, section), key) for section, key in CODE)
    return [name for name in named if plugins.is_code(name)]


def build(*layers: Mapping[str, Any]) -> Recipe:
    """One Recipe from layers of settings, later ones winning. Raises UsageError with the nearest key.

    A layer that names another model also leaves the sizes of the earlier one behind; one that names a
    checkpoint leaves behind what the checkpoint knows, the network's sizes and the pixels' scale.
    """
    values: dict[str, Any] = {}
    for layer in layers:
        if _named(layer, "name") not in (None, _named(values, "name") or Model().name):
            values = {**values, "model": {}}
        if _names_checkpoint(layer):
            before = values.get("model", {})
            hybrid = merge(before, layer.get("model", {})).get("stem") == "resnet"  # a checkpoint may be of its stem
            model = {key: value for key, value in before.items() if hybrid or key in FREE or _is_timms(key, value)}
            data = {key: value for key, value in values.get("data", {}).items() if key not in ("mean", "std")}
            values = {**values, "model": model, "data": data}
        values = merge(values, layer)
    recipe = Recipe(**_with_text_keys(values, depth=2))
    _refuse_misfits(recipe)
    return recipe


def _with_text_keys(values: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    """The same with the names of sections and settings as text: YAML also has numbers for keys."""
    return {
        str(key): _with_text_keys(value, depth - 1) if isinstance(value, Mapping) and depth > 1 else value
        for key, value in values.items()
    }


def dump(recipe: Recipe, *, described: bool = False) -> str:
    """The recipe as YAML, every value written out; `build(from_file(...))` gives it back.

    described: with a comment on each setting, saying what it is.
    """
    import yaml

    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False)
    return "\n".join(_described(recipe, text.splitlines())) + "\n" if described else text


def _described(recipe: Recipe, lines: list[str]) -> Iterator[str]:
    """YAML lines of a recipe, each setting with its description behind it."""
    section: Settings = recipe
    for line in lines:
        key = line.strip().partition(":")[0]
        if not line.startswith((" ", "-")):
            section = recipe
        field = fields_of(section).get(key) if not line.startswith("    ") else None
        yield f"{line}  # {field.description}" if field and field.description else line
        if section is recipe and isinstance(group := getattr(recipe, key, None), Settings):
            section = group


def fields_of(group: Settings) -> dict[str, FieldInfo]:
    """The settings of a group by name, with default and description; of a Model, the sizes of its network too."""
    return group.settings() if isinstance(group, Model) else dict(type(group).model_fields)


def _refuse_misfits(recipe: Recipe) -> None:
    """Settings that are each right but not together (flags alone cannot be checked: the rest is in the recipe)."""
    train = recipe.train
    if recipe.augment.crop > recipe.data.size:
        raise UsageError(f"augment.crop {recipe.augment.crop} is larger than data.size {recipe.data.size}.")
    if train.batch_size % train.processes:
        raise UsageError(
            f"train.batch_size {train.batch_size} cannot be shared equally by train.processes {train.processes}."
        )
    share = train.batch_size // train.processes
    parts = train.processes * train.accumulate_grad_batches
    if share % 2 and parts > 1 and (recipe.augment.mixup or recipe.augment.cutmix):
        raise UsageError(
            f"augment.mixup and augment.cutmix mix two neighbours of a batch, and the {share} images of each of "
            f"train.processes {train.processes} are no pairs. Take a train.batch_size that "
            f"{2 * train.processes} divides."
        )
    if recipe.model.sizes().get("distilled") and recipe.distill.teachers:
        _refuse_for_two_answers(recipe)
    if recipe.learns == "patches":
        _refuse_for_pretraining(recipe)


def _refuse_for_two_answers(recipe: Recipe) -> None:
    """What a student with a token of its own for the teachers cannot use."""
    if recipe.distill.stored:
        raise UsageError(
            "distill.stored makes one soft label of labels and answers, and the second token of model.distilled wants "
            "the answers alone. Leave one of the two out."
        )
    if recipe.train.compile:
        raise UsageError("train.compile would do nothing for a student of two answers (model.distilled). Leave it out.")


def _refuse_for_pretraining(recipe: Recipe) -> None:
    """What needs labels, or a head that learns from them, would silently do nothing in a run that has none."""
    method = recipe.pretrain.method
    maskable = [name for name in list_models() if getattr(sizes_of(name), "has_patches", False)]
    if recipe.model.name not in maskable:
        raise UsageError(
            f"pretrain.method {method} masks the patches of a ViT, and model '{recipe.model.name}' has none. Take "
            f"`model.name` {' or '.join(maskable)}."
        )
    if recipe.augment.crop:
        raise UsageError(
            f"augment.crop {recipe.augment.crop}: pretraining masks the patches of whole images. Use augment.scale and "
            "augment.translate instead."
        )
    for key in NEEDS_LABELS:
        section, _, name = key.partition(".")
        settings = getattr(recipe, section)
        value, off = getattr(settings, name), type(settings).model_fields[name].default
        if value != off:
            raise UsageError(
                f"pretrain.method {method} learns without labels and without a head, so {key} {value} would do "
                f"nothing. Leave it at {off}."
            )


def _named(layer: Mapping[str, Any], key: str) -> Any:
    section = layer.get("model")
    return section.get(key) if isinstance(section, Mapping) else None


def _is_timms(key: str, value: Any) -> bool:
    """Whether a setting of a model says a network of timm's, which a file of weights alone does not."""
    return key == "name" and isinstance(value, str) and value.startswith(TIMM)


def _names_checkpoint(layer: Mapping[str, Any]) -> bool:
    init = _named(layer, "init")
    return isinstance(init, str) and Model(init=init).checkpoint is not None
