"""`mien lr`: a learning rate for a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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

    if steps < 20:
        raise UsageError(f"--steps {steps}: give at least 20.")
    layers = [*recipe_layers(recipe, config_), settings.model_dump(exclude_unset=True) if settings else {}]
    chosen = config.build(*layers)
    check(chosen.data)

    from mien.evaluate.drawings import draw_rates
    from mien.train.lr_finder import find_lr

    found = find_lr(chosen, steps)
    draw_rates(found.rates, found.losses, found.suggestion, out)
    if json_:
        print_json({"lr": found.suggestion, "picture": str(out), "rates": found.rates, "losses": found.losses})
        return
    if found.suggestion is None:
        raise MienError(f"The loss falls at no learning rate; see {out}. Try more --steps, or a larger batch.")
    print_lines(f"{found.suggestion:.2g}", str(out))
    named = [quoted(recipe)] * bool(recipe) + [f"--config {quoted(config_)}"] * bool(config_)
    note(f"The loss falls fastest at this rate. Next: mien run {' '.join(named)} --train.lr {found.suggestion:.2g}")
