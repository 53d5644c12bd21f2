"""`mien run`: data -> training -> evaluation -> report, as a recipe says."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from mien import config
from mien.cli.app import Json
from mien.cli.output import print_json, print_lines, quoted
from mien.cli.setting_flags import recipe_layers, takes_settings
from mien.config import Recipe
from mien.errors import UsageError
from mien.progress import note, warn

if TYPE_CHECKING:
    from mien.config.sweep_plan import Plan

PLACES = {"data": "path", "model": "init", "distill": "teachers"}  # settings that say where something lies


@takes_settings()
def run(
    recipe: str | None = None,
    *,
    out: Path | None = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    resume: Annotated[bool, Parameter(negative="")] = False,
    config_: Annotated[Path | None, Parameter(name="--config")] = None,
    on: Annotated[str | None, Parameter(show_default=False)] = None,
    json_: Json = False,
    settings: Recipe | None = None,
) -> None:
    """Data -> training -> evaluation -> report, as a recipe says.

    Any setting of the recipe can be changed: --train.epochs 5, or MIEN_TRAIN__EPOCHS=5 in the environment.

    Parameters
    ----------
    recipe
        A recipe's name, a .py file that defines one, or (with --resume) a run folder.
    out
        The run folder; runs/RECIPE-DATE-SEED if not given.
    overwrite
        Delete the run folder first if it exists.
    resume
        Go on with a run after its last finished epoch: the run folder given, or the recipe's newest unfinished run.
        --data.path, --model.init and --distill.teachers then say where these lie now, if they were moved.
        With --train.epochs 50 a run folder, finished too, goes on to 50 epochs in all, from its last weights and
        optimizer, the schedule stretched to the new length.
        Folds (--data.folds 5 trains one run for each) go on in the folder that is given; that folder with
        --data.fold all trains on everything.
    config_
        YAML file of settings, such as a run's recipe.yaml.
    on
        With --data.folds: 'ray' or 'ray:ADDRESS' trains several folds at once, as `mien sweep` does its runs.
    """
    from mien.cli.sweep import refuse_engine, train_all
    from mien.config.sweep_plan import is_sweep, read_plan
    from mien.data import check
    from mien.runs.processes import is_first_process, launched
    from mien.runs.writing import refuse_used

    refuse_engine(on)
    if resume and (folds := out or (Path(recipe) if recipe else None)) and is_sweep(folds):
        if config_ or settings:
            raise UsageError("--resume goes on with the settings of the folds; it takes no others.")
        train_all(read_plan(folds), folds, json_, on)
        return
    if resume or (recipe and is_sweep(Path(recipe))):
        _refuse_one_run(on)
    if recipe and is_sweep(Path(recipe)):
        _show_first(_on_everything(Path(recipe), out, settings), json_)
        return
    begun = _run_to_resume(recipe, out, settings, others=bool(config_ or overwrite)) if resume else None
    if begun:
        _go_on(begun, settings, json_)
        return
    chosen = _recipe(recipe, config_, settings)
    if chosen.data.folds and chosen.data.fold is None:
        if overwrite:
            raise UsageError("--overwrite: folds are never overwritten. Choose another --out, or go on with --resume.")
        plan = _plan_of_folds(recipe, config_, settings, chosen.data.folds)
        train_all(plan, out or Path("runs") / f"folds-{chosen.name}-{time.strftime('%Y%m%d-%H%M%S')}", json_, on)
        return
    _refuse_one_run(on)
    check(chosen.data)  # what is wrong with the names is said before torch is imported, which takes seconds
    if out and is_first_process() and not launched():  # what torchrun starts again goes on
        refuse_used(out, overwrite)

    from mien.train.run import run as train

    _show_first(train(chosen, out, overwrite=overwrite), json_)


def _refuse_one_run(on: str | None) -> None:
    if on is not None:
        raise UsageError(f"--on {on} trains several runs at once; this is one. Add --data.folds 5, or leave it out.")


def _plan_of_folds(recipe: str | None, file: Path | None, settings: Recipe | None, folds: int) -> Plan:
    from mien.config.sweep_plan import flat, fold_plan

    given = flat(settings.model_dump(mode="json", exclude_unset=True)) if settings else {}
    return fold_plan(recipe, file, recipe_layers(recipe, file), given, folds)


def _on_everything(folds: Path, out: Path | None, settings: Recipe | None) -> Path:
    """Train on the images of all folds together; returns the run folder, beside the folds."""
    from mien.config.sweep_plan import read_plan
    from mien.evaluate.folds import chosen_epochs, folds_beside

    given = settings.model_dump(exclude_unset=True) if settings else {}
    data = given.get("data", {})
    if given.keys() != {"data"} or data.get("fold") != "all" or data.keys() - {"fold", "path"}:
        raise UsageError(f"{folds} holds finished runs. On the images of all its folds: --data.fold all")
    place = out or folds / "all"
    runs = folds_beside(place)
    changes = {"data": {**data, "fold": "all"}, "train": {"epochs": chosen_epochs(runs)}}
    chosen = config.build(read_plan(folds).build({"data.fold": 0}).model_dump(), changes)

    from mien.train.run import run as train

    return train(chosen, place)


def _go_on(begun: Path, settings: Recipe | None, json_: bool) -> None:
    """Train what a run still lacks, or the epochs that are added to it."""
    from mien.data import check
    from mien.runs import is_finished, read_recipe
    from mien.runs.data import lying_at, moved

    chosen, epochs, places = read_recipe(begun), _epochs(settings), _places(settings)
    if is_finished(begun) and epochs is None:
        note(
            f"{begun} is finished: nothing is left to be trained. More epochs: --train.epochs "
            f"{2 * chosen.train.epochs}. Another run that starts from it: --model.init {quoted(begun)}"
        )
        _show_run(begun, json_, anew=False)
        return
    with lying_at(places.get("data"), init=places.get("model"), teachers=places.get("distill", ())):
        check(moved(chosen).data)

        from mien.train.run import resume

        _show_first(resume(begun, epochs), json_)


def _show_first(folder: Path, json_: bool) -> None:
    """What a run ends with, of several processes said by the first."""
    from mien.runs.processes import is_first_process

    if is_first_process():
        _show_run(folder, json_)


def _show_run(folder: Path, json_: bool, anew: bool = True) -> None:
    """What a run ends with: its report, written anew or if it is missing, and its scores."""
    from mien.evaluate.metrics import headline, warning
    from mien.report import write_report
    from mien.runs import RunFolder, layout
    from mien.runs.records import to_dict

    report = folder / layout.REPORT
    if anew or not report.is_file():
        write_report(folder)
    run = RunFolder.open(folder)
    if "validation" not in run.scores:
        _show_pretrained(folder, run.recipe, report, json_)
        return
    scores = run.scores["validation"]
    if json_:
        print_json({"run": str(folder), "report": str(report), "validation": to_dict(scores)})
        return
    print_lines(f"{folder}  {headline(scores)}")
    if found := warning(scores):
        warn(f"{found} Train longer (--train.epochs), or on more images.")
    note(f"Open {report} in a browser. Next: mien compare {quoted(folder)} ANOTHER_RUN")


def _show_pretrained(folder: Path, recipe: Recipe, report: Path, json_: bool) -> None:
    """What a run without labels ends with: the best validation loss, and how its encoder is put to use."""
    from mien.runs.history import read_epochs

    best = min(read_epochs(folder), key=lambda row: row["val_loss"])
    if json_:
        print_json({"run": str(folder), "report": str(report), "validation_loss": best["val_loss"]})
        return
    print_lines(
        f"{folder}  validation loss {best['val_loss']:.4f} in epoch {best['epoch']:.0f} ({recipe.pretrain.method})"
    )
    data = f" --data.path {quoted(recipe.data.path)}" if recipe.data.path else ""
    note(f"Open {report} in a browser. Next, with labels: mien run RECIPE{data} --model.init {quoted(folder)}")


def _recipe(name: str | None, file: Path | None, settings: Recipe | None) -> Recipe:
    """Recipe < --config file < environment < flags."""
    layers = recipe_layers(name, file)
    if settings:
        layers.append(settings.model_dump(exclude_unset=True))
    return config.build(*layers)


def _places(settings: Recipe | None) -> dict[str, Any]:
    """Where images and networks lie now, as far as it was said, by the section of the setting."""
    given = settings.model_dump(exclude_unset=True) if settings else {}
    return {section: given[section][place] for section, place in PLACES.items() if place in (given.get(section) or {})}


def _epochs(settings: Recipe | None) -> int | None:
    """How many epochs a run is to have in all, where that was typed."""
    typed = settings.model_dump(exclude_unset=True).get("train", {}) if settings else {}
    return typed.get("epochs")


def _run_to_resume(name: str | None, out: Path | None, settings: Recipe | None, others: bool) -> Path:
    """The folder that was named, or the newest unfinished run of a recipe and (--seed) seed."""
    from mien.runs import is_run

    named = out or (Path(name) if name and Path(name).is_dir() else None)
    given = settings.model_dump(exclude_unset=True) if settings else {}
    of_a_run = named is not None and is_run(named)
    allowed = {section for section, place in PLACES.items() if (given.get(section) or {}).keys() == {place}}
    allowed |= {"train"} if of_a_run and given.get("train", {}).keys() == {"epochs"} else set()
    if others or given.keys() - allowed - (set() if named else {"seed"}):
        raise UsageError(
            "--resume goes on with the settings of the run; it takes no others but where things lie now (--data.path, "
            "--model.init, --distill.teachers) and, for a run folder, --train.epochs."
        )
    if named:
        return named
    if name is None:
        raise UsageError("--resume what? Give a run folder or a recipe: mien run RUN --resume")
    chosen = _recipe(name, None, settings)

    from mien.train.run import latest

    return latest(chosen.name, chosen.seed)
