"""`mien lr`: a learning rate for a recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from mien import config
from mien.cli.app import Json
from mien.cli.output import print_json, print_lines, quoted
from mien.cli.setting_flags import recipe_layers, takes_settings
from mien.config import Recipe
from mien.errors import MienError, UsageError
from mien.progress import note


@takes_settings()
def lr(
    recipe: str | None = None,
    *,
    out: Path = Path("lr.png"),
    steps: int = 100,
    config_: Annotated[Path | None, Parameter(name="--config")] = None,
    json_: Json = False,
    settings: Recipe | None = None,
) -> None:
    """Find a learning rate: make a few steps at rates that rise, and say where the loss falls fastest.

    Nothing of it is kept but the picture; a run takes the rate when it is told: mien run RECIPE --train.lr 0.003.

    Parameters
    ----------
    recipe
        A recipe's name, or a .py file that defines one.
    out
        A picture, PNG: the loss by the learning rate.
    steps
        How many steps, at least 20, from a rate of 1e-6 to 10; fewer where the loss rises to 4 times its least.
    config_
        YAML file of settings, such as a run's recipe.yaml.
    """
    from mien.data import check

    if out.suffix.lower() != ".png":
        raise UsageError(f"--out {out}: the picture is a PNG. Give it a name that ends in .png.")
    layers = [*recipe_layers(recipe, config_), settings.model_dump(exclude_unset=True) if settings else {}]
    chosen = config.build(*layers)
    check(chosen.data)

    from mien.evaluate.drawings import draw_rates
    from mien.train.lr_finder import find_lr

    found = find_lr(chosen, steps)
    draw_rates(found.rates, found.losses, found.suggestion, out)
    if json_:
        print_json({"lr": found.suggestion, "picture": str(out), "rates": found.rates, "losses": found.losses})
    if found.suggestion is None:
        raise MienError(f"The loss falls at no learning rate; see {out}. Try more --steps, or a larger batch.")
    if json_:
        return
    print_lines(f"{found.suggestion:.2g}", str(out))
    note(f"The loss falls fastest at this rate. Next: {_next(recipe, config_, settings, found.suggestion)}")


def _next(recipe: str | None, file: Path | None, settings: Recipe | None, lr: float) -> str:
    """The command that trains at this rate, with all else that the test was given."""
    words = ["mien", "run", *([recipe] if recipe else []), *(["--config", str(file)] if file else [])]
    given = settings.model_dump(mode="json", exclude_unset=True) if settings else {}
    for section, values in given.items():
        for key, value in values.items() if isinstance(values, dict) else [("", values)]:
            if (section, key) != ("train", "lr"):
                words += _flag(f"{section}.{key}".rstrip("."), value)
    return " ".join(map(quoted, [*words, "--train.lr", f"{lr:.2g}"]))


def _flag(name: str, value: Any) -> list[str]:
    """A setting as it is given on the command line: a switch, one flag for each of several values, or one value."""
    if isinstance(value, bool):
        section, _, key = name.rpartition(".")
        return [f"--{name}" if value else f"--{section}.no-{key}"]
    if isinstance(value, list):
        return [word for each in value for word in _flag(name, each)]
    return [] if value is None else [f"--{name}", json.dumps(value) if isinstance(value, dict) else str(value)]
