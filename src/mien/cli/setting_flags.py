"""Which sizes are flags: those of the network that a command line is about.

`mien run folder_vit --model.depth 3` is judged by the recipe's network, `--model.name mine:Net --model.kernel 5` by the
constructor of that class. So the network is found before the flags are read.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from mien.errors import UsageError, nearest

if TYPE_CHECKING:  # verbs that take no settings do without
    from pydantic import BaseModel

    from mien.config import Recipe

    Made = Callable[[type[Recipe]], type[BaseModel]]
Command = Callable[..., Any]

_offered: list[type[Recipe]] = []  # empty: Recipe itself
_commands: list[tuple[Command, Made]] = []
_recipe_flags: dict[str, str] = {}


def takes_settings(made: Made = lambda recipe: recipe, recipe_flag: str | None = None) -> Callable[[Command], Command]:
    """Mark a verb whose `settings` are those of a recipe, in the form that `made` gives them.

    recipe_flag: what names the recipe where the verb's first word does not.
    """

    def mark(command: Command) -> Command:
        _commands.append((command, made))
        if recipe_flag:
            _recipe_flags[command.__name__] = recipe_flag
        _offer(command, made(offered()))
        return command

    return mark


def offer_sizes(arguments: list[str]) -> None:
    """Make the sizes of the command line's network flags of the verbs that take settings. Raises UsageError."""
    verbs = {command.__name__ for command, _ in _commands}
    verb, *words = (arguments[1:] if arguments[:1] == ["data"] else arguments) or [""]
    if verb not in verbs:
        return
    from mien import config

    if verb in _recipe_flags:
        recipe = _value(words, _recipe_flags[verb])
        words = [recipe, *words] if recipe else ["--", *words]
    _offered[:] = [config.recipe_for(*networks_of(words))]
    for command, made in _commands:
        _offer(command, made(_offered[-1]))


def offered() -> type[Recipe]:
    """Recipe, with the sizes that are flags now."""
    from mien.config import Recipe

    return _offered[-1] if _offered else Recipe


def unknown_size(flag: str) -> str | None:
    """What is to be said of a flag such as --model.kernel that the network has no size for; None of any other flag."""
    if not flag.startswith("--model."):
        return None
    sizes = list(offered().model_fields["model"].annotation.model_fields)  # type: ignore[union-attr]
    size = flag.removeprefix("--model.").partition("=")[0].replace("-", "_")
    near = nearest(size, sizes).replace("'", "").replace("mean ", "mean --model.")
    return f"The network has no size '{size}'.{near} Known here: {', '.join(sizes)}."


def setting_called(verb: str, flag: str) -> str:
    """' Did you mean --train.lr?' for a flag such as --lr, a setting of this verb without its group; else ''."""
    key = flag.removeprefix("--").partition("=")[0].replace("-", "_")
    settings = [made(offered()) for command, made in _commands if command.__name__ == verb]
    groups = {name: field.annotation for taken in settings for name, field in taken.model_fields.items()}
    found = [name for name, group in groups.items() if key in getattr(group, "model_fields", {})]
    return f" Did you mean {' or '.join(f'--{name}.{key}' for name in found)}?" if found else ""


def networks_of(arguments: list[str]) -> list[str]:
    """The networks that the arguments of a verb are about: of the flag, the environment, --config or the recipe."""
    from mien import config
    from mien.config.sweep_plan import is_sweep
    from mien.models import DEFAULT

    if "--resume" in arguments:  # takes no settings
        return [DEFAULT]
    file = _value(arguments, "--config")
    named = _value(arguments, "--model.name") or os.environ.get("MIEN_MODEL__NAME")
    if named is None and file is not None:
        model = config.from_file(Path(file)).get("model")
        named = model.get("name") if isinstance(model, dict) else None
    if named is None and (recipe := _recipe(arguments)) and not is_sweep(Path(recipe)):  # folds name none of their own
        from mien.recipes import load

        named = load(recipe)[0].model.name
    return [name.strip() for name in named.split(",")] if isinstance(named, str) and named else [DEFAULT]


def _recipe(arguments: list[str]) -> str | None:
    """The recipe among the arguments: the first, or what else is the name of one."""
    from mien.recipes import names

    if arguments and not arguments[0].startswith("-"):
        return arguments[0]
    return next((word for word in arguments if word in names() or word.endswith(".py")), None)


def _value(arguments: list[str], flag: str) -> str | None:
    """The last value of a flag, None where it is not given."""
    found = None
    for number, word in enumerate(arguments, start=1):
        if word == flag:
            found = next(iter(arguments[number:]), None)
        elif word.startswith(f"{flag}="):
            found = word.partition("=")[2]
    return found


def _offer(command: Command, settings: type[BaseModel]) -> None:
    optional: Any = settings | None
    command.__annotations__["settings"] = Annotated[optional, Parameter(name="*", show_default=False)]


def recipe_layers(name: str | None, file: Path | None) -> list[dict[str, Any]]:
    """Recipe < --config file < environment: the settings below the flags, later ones winning."""
    from mien import config
    from mien.recipes import load

    if name is None and file is None:
        raise UsageError("Which recipe? 'mien recipes' lists them; or give --config FILE.")
    layers: list[dict[str, Any]] = [load(name)[0].model_dump()] if name else []
    if file:
        layers.append(config.from_file(file))
    return [*layers, config.from_environment()]
