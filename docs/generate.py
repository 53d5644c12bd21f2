"""Write the pages that come from code and records: the reference, the results, the index of the log.

Command   python docs/generate.py
Time      two seconds. A test fails when a page that it writes is stale.
"""

from __future__ import annotations

import ast
import re
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from cyclopts import App
from cyclopts.argument import Argument
from docstring_parser import parse
from page_parts import NOTE, ROOT, table
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from records import log_index, results

import mien
from mien import recipes
from mien.cli.app import app
from mien.config import Model, Recipe
from mien.models import list_models, sizes_of
from mien.models.sizes import FROM_DATA

WORDS = {int: "whole number", float: "number", str: "text", bool: "true or false", Path: "path"}
SYMBOLS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}


def main() -> None:
    for path, text in pages().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(ROOT))


def pages() -> dict[Path, str]:
    """Each page that is written, by its path."""
    docs = ROOT / "docs"
    return {
        docs / "reference" / "settings.md": settings(),
        docs / "reference" / "commands.md": commands(),
        docs / "reference" / "recipes.md": recipe_promises(),
        docs / "reference" / "python.md": python(),
        docs / "results.md": results(),
        ROOT / "log" / "README.md": log_index(),
    }


# ---- settings ----


def settings() -> str:
    """One section a group of the recipe, one row a setting."""
    return "\n".join(
        [
            NOTE,
            "# Settings",
            "",
            "Every setting of an experiment. Give one as a flag (`--train.epochs 5`), in the environment",
            "(`MIEN_TRAIN__EPOCHS=5`), or in a file for `--config` (`train: {epochs: 5}`); the flag wins over the",
            "environment, the environment over the file, the file over the recipe. `null` takes back one that may be",
            "left out (`--data.resize_size null`).",
            "`mien recipes NAME` shows what a recipe sets.",
            "",
            "## Recipe",
            "",
            setting_rows(
                "", {name: field for name, field in Recipe.model_fields.items() if name not in dict(groups(Recipe))}
            ),
            *(part for name, group in groups(Recipe) for part in section(name, group)),
        ]
    )


def groups(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield name, field.annotation


def section(name: str, group: type[BaseModel]) -> list[str]:
    found = [f"## {name}", "", described(group), "", setting_rows(f"{name}.", group.model_fields)]
    return found + [line for network in list_models() for line in sizes(network)] if group is Model else found


def sizes(network: str) -> list[str]:
    """The sizes that one network declares; the data decides the others."""
    fields = {name: field for name, field in sizes_of(network).model_fields.items() if name not in FROM_DATA}
    return [f"### {network}", "", setting_rows("model.", fields) if fields else "It has no sizes to set.\n"]


def described(group: type[BaseModel]) -> str:
    return re.sub(r"\n[ \t]+", "\n", (group.__doc__ or "").strip())


def setting_rows(prefix: str, fields: Mapping[str, FieldInfo]) -> str:
    rows = [
        (
            f"`{prefix}{name}`",
            kind(field),
            default(field.get_default(call_default_factory=True)),
            field.description or "",
        )
        for name, field in fields.items()
    ]
    return table(("setting", "takes", "unless given", ""), rows)


def kind(field: FieldInfo) -> str:
    """What a setting takes, in words: 'whole number, at least 1', '`crop`, `pad` or `stretch`'."""
    bounds = [
        f"{word} {getattr(rule, key):g}"
        for rule in field.metadata
        for key, word in SYMBOLS.items()
        if hasattr(rule, key)
    ]
    return ", ".join([named(field.annotation), *bounds])


def named(annotation: Any) -> str:
    """A type in words; None is not named, as it stands under 'unless given'."""
    origin, parts = get_origin(annotation), [part for part in get_args(annotation) if part is not types.NoneType]
    if origin is Literal:
        return " or ".join(filter(None, [", ".join(f"`{part}`" for part in parts[:-1]), f"`{parts[-1]}`"]))
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(named(part) for part in parts))
    if origin is tuple:
        return f"list: {named(parts[0])}" if parts[-1] is Ellipsis else f"{len(parts)} of: {named(parts[0])}"
    if origin in (dict, list):
        return f"{'mapping' if origin is dict else 'list'}: {' to '.join(named(part) for part in parts)}"
    if hasattr(annotation, "__metadata__"):  # Annotated: its type alone
        return named(parts[0])
    return WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def default(value: object) -> str:
    if value is None or value == () or value == {}:
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


# ---- commands ----

INTRO = """\
Results go to stdout, progress and errors to stderr; an error is one message that says what happened, which file or
value, and what to do. `mien --help` and `mien COMMAND --help` print what stands here.

Every command takes `--allow-code MODULE:NAME`, once for each name: code that a run, a settings file or a model names
may then be imported, for this call ([Extend](../how-to/extend.md)).

| exit code | |
|---|---|
| 0 | done |
| 1 | something else failed, a full disk say; or `mien data audit --fail-on` found what it was to find |
| 2 | the request is wrong: an unknown recipe, setting, model or size |
| 3 | something is missing: a file, a folder, an extra, a device |
| 4 | the data is bad: unreadable, foreign, mislabelled or empty |
| 130 | stopped with Ctrl-C; `--resume` goes on |
"""


def commands() -> str:
    """One section a verb of the command line, with its parameters."""
    return "\n".join(
        [NOTE, "# Commands", "", INTRO, *(part for name, verb in verbs(app) for part in command(name, verb))]
    )


def verbs(parent: App, before: str = "mien") -> Iterator[tuple[str, App]]:
    """Every command that does something, by its full name."""
    for name in sorted(name for name in parent if not name.startswith("-")):
        if parent[name].default_command:
            yield f"{before} {name}", parent[name]
        yield from verbs(parent[name], f"{before} {name}")


def command(name: str, verb: App) -> list[str]:
    doc = parse(verb.default_command.__doc__ or "")
    words = {param.arg_name.rstrip("_"): param.description for param in doc.params}
    found = [argument for argument in verb.assemble_argument_collection() if len(argument.keys) == 0]
    taken = [argument for argument in found if argument.name != "*"]
    usage = " ".join(argument.name.lstrip("-").upper() for argument in taken if argument.index is not None)
    parts = [f"## {name}", "", f"`{name} {usage}`".replace(" `", "`"), "", doc.short_description or "", ""]
    if doc.long_description:
        parts += [doc.long_description, ""]
    if len(taken) < len(found):
        parts += ["Takes every [setting](settings.md) as a flag besides.", ""]
    return [*parts, table(("parameter", "takes", "unless given", ""), (parameter(each, words) for each in taken)), ""]


def parameter(argument: Argument, words: dict[str, str | None]) -> tuple[str, str, str, str]:
    key = argument.field_info.name.rstrip("_").replace("-", "_")
    name = argument.name.lstrip("-").upper() if argument.index is not None else ", ".join(argument.names)
    value = argument.field_info.default
    shown = "" if value is argument.field_info.empty or value is False else default(value)
    help_ = words.get(key) or argument.parameter.help or ""
    return f"`{name}`", named(argument.hint), shown, " ".join(help_.split())


# ---- recipes ----

RECIPES = """\
Every experiment that comes with mien, with its promise: source, what the source reported, command, and what we get.
A recipe that was never run says so. `mien recipes NAME` prints the settings too.
"""


def recipe_promises() -> str:
    """A table of all recipes, then the promise of each."""
    promises = {name: recipes.load(name)[1] for name in recipes.names()}
    rows = [(f"[`{name}`](#{name})", promise.partition("\n")[0]) for name, promise in promises.items()]
    parts = [NOTE, "# Recipes", "", RECIPES, table(("recipe", ""), rows)]
    return "\n".join(
        [*parts, *(f"## {name}\n\n```text\n{promise.strip()}\n```\n" for name, promise in promises.items())]
    )


# ---- Python ----

DOOR = """\
What `import mien` gives: the main verbs of the command line as functions, and the types that they take and give. The
modules behind them follow. Errors are `MienError` and, below it, `UsageError`, `MissingError` and `DataError` of
`mien.errors`; each has an [exit code](commands.md).
"""
MODULES = {
    "Look inside": (
        "explain.capture",
        "explain.attribution",
        "explain.attention",
        "explain.faithfulness",
        "explain.drawn_truth",
        "explain.position",
    ),
    "Train": (
        "train.build",
        "train.task",
        "train.metrics",
        "train.moving_average",
        "train.masked_task",
        "train.teachers",
        "train.sweep",
        "train.average",
    ),
    "Networks": (
        "models",
        "models.protocol",
        "models.sizes",
        "models.parts.attention",
        "models.vit",
        "models.resnet",
        "models.vtff",
        "models.masked",
    ),
    "Score": (
        "evaluate.metrics",
        "evaluate.compare",
        "evaluate.calibration",
        "runs.folder",
        "runs.records",
        "runs.predictions",
    ),
    "Use": ("preprocessing", "labels", "runtime.reader", "runtime.network", "runtime.faces", "runtime.job"),
    "Data": ("data.listing", "data.store"),
}


def python() -> str:
    """The front door with its members, then the public names of the modules behind it, for mkdocstrings to fill in."""
    where = {name: module for module in ("api", "catalogue", "shipping") for name in public(module) if name != "Run"}
    verbs_ = [f"::: mien.{where[name]}.{name}\n" for name in mien.__all__ if name in where]
    types_ = [f"{mien.TYPES[name]}.{name}" for name in sorted(mien.TYPES)]
    shown = [f"::: {name}\n    options: {{members: null, filters: ['!^_']}}\n" for name in ["mien.api.Run", *types_]]
    parts = [NOTE, "# Python", "", DOOR, "## Verbs", "", *verbs_, "## Types", "", *shown]
    for title_, modules in MODULES.items():
        parts += [f"## {title_}", ""]
        for module in modules:
            parts += [f"### mien.{module}", "", *(f"::: mien.{module}.{name}\n" for name in public(module))]
    return "\n".join(parts)


def public(module: str) -> list[str]:
    """The functions and classes that a module defines and describes; read, not imported, as that may take torch."""
    place = ROOT / "src" / "mien" / Path(*module.split("."))
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    found = ast.parse(file.read_text(encoding="utf-8")).body
    kinds = (ast.FunctionDef, ast.ClassDef)
    return [node.name for node in found if isinstance(node, kinds) and node.name[0] != "_" and ast.get_docstring(node)]


if __name__ == "__main__":
    main()
