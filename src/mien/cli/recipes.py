"""`mien recipes`: the recipes there are, or one in full."""

from __future__ import annotations

from mien import config
from mien.cli.app import Json
from mien.cli.output import print_json, print_lines
from mien.config import Recipe
from mien.errors import MissingError
from mien.progress import note


def recipes(name: str | None = None, *, json_: Json = False) -> None:
    """List the recipes, or show one in full.

    Parameters
    ----------
    name
        A recipe, or a .py file that defines one.
    """
    from mien.recipes import load, names

    if name is None:
        first_lines = {known: load(known)[1].splitlines()[0] for known in names()}
        if json_:
            print_json(first_lines)
            return
        width = max(map(len, first_lines))
        for known, line in first_lines.items():
            print_lines(f"{known:<{width}}  {line}")
        note("One in full: mien recipes NAME    Train it: mien run NAME")
        return
    recipe, promise = load(name)
    size = _size(recipe)
    if json_:
        print_json({"promise": promise, "recipe": recipe.model_dump(mode="json"), **size})
        return
    counts = "  ".join(f"{value:,} {key}" for key, value in size.items())
    settings = config.dump(recipe, described=True).rstrip("\n")
    print_lines(*f"{promise}\n\n{counts}\n\n{settings}".split("\n"))


def _size(recipe: Recipe) -> dict[str, int]:
    """Parameters and FLOPs of the recipe's model, for seven classes where the data decides; {} without torch."""
    try:
        from mien.models import count_flops, count_parameters, create_model

        fixed = {"img_size": recipe.data.size, "in_chans": recipe.data.channels}
        model = create_model(recipe.model.name, **fixed, **recipe.model.sizes())
    except MissingError as error:
        note(f"how large it is cannot be said: {error}")
        return {}
    return {"parameters": count_parameters(model), "flops": count_flops(model, **fixed)}
