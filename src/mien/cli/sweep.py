"""`mien sweep`: one recipe under many settings, as a grid or as a search."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import CycloptsError, Parameter
from pydantic import BaseModel, ConfigDict, Field, create_model

from mien.cli.app import Json, app
from mien.cli.output import print_json, print_lines, quoted
from mien.cli.setting_flags import recipe_layers, takes_settings
from mien.cli.wording import flag
from mien.cluster import address_of
from mien.errors import MienError, UsageError, require
from mien.progress import note, warn
from mien.words import count

if TYPE_CHECKING:
    from mien.config.sweep_plan import Plan
    from mien.evaluate.sweep_table import SweepTable
    from mien.train.sweep import Sweep


def _as_text(section: type[BaseModel]) -> Any:
    """The same fields, each holding what was typed: lists and ranges are not yet values of the field."""
    fields: dict[str, Any] = {}
    for key, field in section.model_fields.items():
        nested = isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        kind = _as_text(field.annotation) if nested else str  # type: ignore[arg-type]
        fields[key] = (kind | None, Field(default=None, description=field.description))
    return create_model(section.__name__, __config__=ConfigDict(extra="forbid"), **fields)


@takes_settings(_as_text)
def sweep(
    recipe: str | None = None,
    *,
    zip_: Annotated[bool, Parameter(name="--zip", negative="")] = False,
    search: int | None = None,
    prune: Annotated[bool, Parameter(negative="")] = False,
    out: Path | None = None,
    resume: Annotated[bool, Parameter(negative="")] = False,
    config_: Annotated[Path | None, Parameter(name="--config")] = None,
    on: Annotated[str | None, Parameter(show_default=False)] = None,
    json_: Json = False,
    settings: Annotated[BaseModel | None, Parameter(name="*", show_default=False)] = None,
) -> None:
    """Train a recipe under many settings and put the runs on one page.

    Every setting takes a list: --train.lr 1e-3,1e-4 --seed 0,1,2 makes six runs. Settings that are lists themselves
    stand in brackets: --augment.scale '[0.9,1.1],[0.8,1.2]'. A search also takes ranges: --train.lr 1e-5:1e-2:log.

    Parameters
    ----------
    recipe
        A recipe's name, a .py file that defines one, or (with --resume) the folder of a sweep.
    zip_
        Take the lists side by side (first with first, second with second) instead of every combination.
    search
        Search with this many runs instead of a grid, each chosen in the light of those before (needs 'mien[tune]').
    prune
        Give up runs of the search whose best accuracy so far is below the median of the others at that epoch.
    out
        Folder of the sweep; runs/sweep-RECIPE-DATE if not given. The same command goes on with what it has.
    resume
        Go on with a sweep: finished runs are kept, a stopped one goes on after its last finished epoch.
    config_
        YAML file of settings, such as a run's recipe.yaml.
    on
        'ray': several runs at once on this machine, each on one core, and on a GPU of its own where there are any;
        'ray:ADDRESS': on a cluster, whose machines find folder and data under the same paths.
    """
    refuse_engine(on)
    if resume:
        plan, folder = _to_resume(recipe, out, given=[settings, search, config_, zip_ or None, prune or None])
    else:
        plan = _plan(recipe, config_, settings, pairs=zip_, search=search, prune=prune)
        folder = out or _new_folder(plan)

    from mien.data import check

    for settings_ in plan.probes():
        check(plan.build(settings_).data)
    _warn_of_warm_up(plan)

    train_all(plan, folder, json_, on)


def refuse_engine(on: str | None) -> None:
    """Raise UsageError for an engine that there is not, MissingError where it is not installed."""
    if on is not None:
        address_of(on)
        require(f"--on {on}", "ray")


def train_all(plan: Plan, folder: Path, json_: bool, on: str | None = None) -> None:
    """Train every run of a plan in a folder and print what they came to. Raises MienError where one failed."""
    from mien.runs import layout
    from mien.train.sweep import start

    table = _run(start(plan, folder), on)
    _print(table, json_)
    failed = table.count("failed")
    if failed:
        raise MienError(f"{failed} of {table.total} runs failed; {folder / layout.SWEEP_PAGE} says why.")


def _warn_of_warm_up(plan: Plan) -> None:
    """Runs that are over before they have warmed up say little about anything else."""
    from mien.train.optimizers import outlasted

    for settings in plan.probes():
        if found := outlasted(plan.build(settings).train):
            warn(f"{found} Give {flag('train.warmup_epochs')} 0, or more epochs.")
            return


def _plan(recipe: str | None, file: Path | None, settings: BaseModel | None, **how: Any) -> Plan:
    from mien.config.sweep_plan import make_plan

    layers = recipe_layers(recipe, file)
    return make_plan(recipe, file, layers, _typed(settings), **how)


def _typed(settings: BaseModel | None) -> dict[str, str]:
    """What was typed, by dotted names; the seed last, so that the seeds of one setting are run in a row."""
    from mien.config.sweep_plan import flat

    given = settings.model_dump(exclude_unset=True) if settings else {}
    return flat(given)


def _new_folder(plan: Plan) -> Path:
    name = plan.build(plan.probes()[0]).name
    return Path("runs") / f"sweep-{name}-{time.strftime('%Y%m%d-%H%M%S')}"


def _to_resume(name: str | None, out: Path | None, given: list[Any]) -> tuple[Plan, Path]:
    from mien.config.sweep_plan import read_plan

    if any(value is not None for value in given):
        raise UsageError("--resume goes on with the settings of the sweep; it takes no others.")
    if name is None and out is None:
        raise UsageError("--resume what? Give the folder of a sweep: mien sweep --resume FOLDER")
    folder = out or Path(str(name))
    return read_plan(folder), folder


def _run(begun: Sweep, on: str | None) -> SweepTable:
    """Train what is to be trained; the page is written anew after every run, and when the sweep is stopped."""
    from mien.report import write_report, write_sweep

    try:
        for trial in begun.run(on):
            if trial.name not in begun.problems and trial.name not in begun.source.pruned:
                write_report(begun.folder / trial.name)
            write_sweep(_table(begun))
    except KeyboardInterrupt:
        write_sweep(_table(begun))
        note(f"The sweep was stopped; everything is kept. Go on with: mien sweep --resume {quoted(begun.folder)}")
        raise
    table = _table(begun)
    write_sweep(table)
    return table


def _table(begun: Sweep) -> SweepTable:
    from mien.evaluate.sweep_table import read_table

    return read_table(begun.plan, begun.folder, begun.trials, begun.problems, begun.total, begun.source.pruned)


def _print(table: SweepTable, as_json: bool) -> None:
    from mien.evaluate.metrics import headline
    from mien.runs import layout

    page = table.folder / layout.SWEEP_PAGE
    if as_json:
        rows = [row.to_dict() for row in table.ranked]
        means = {"means": [group.to_dict() for group in table.groups]} if table.repeats else {}
        print_json({"sweep": str(table.folder), "page": str(page), "runs": rows, **means, **_pooled(table)})
        return
    for line in _lines(table):
        note(line)
    if table.repeats in ("fold", "split") and table.best_group:  # none of them is the best
        print_lines(f"{table.folder}  {table.best_group.label}: accuracy {_spread(table)}")
        if table.pooled:
            print_lines(f"all folds together: {headline(table.pooled.scores)}")
    elif table.best and table.best.scores:
        over = f"; {_spread(table)}" if table.repeats else ""
        print_lines(f"{table.folder / table.best.name}  {headline(table.best.scores)}{over}")
    print_lines(str(page))
    if table.tied:
        note(f"The best accuracy is shared by {len(table.tied) + 1} settings; this one has the lower loss.")
    if table.warning:
        advice = "There is nothing to choose between these runs yet. Train longer, or sweep other values."
        warn(f"{table.warning} {'Train longer, or on more images.' if table.pooled else advice}")
    if table.best:
        note(f"Open {page} in a browser. Next: {_repeat(table)}")


def _pooled(table: SweepTable) -> dict[str, Any]:
    """The scores of all folds together, if the sweep is a cross-validation."""
    from mien.runs import layout
    from mien.runs.records import to_dict

    if not table.pooled:
        return {}
    place = str(table.folder / layout.OUT_OF_FOLD)
    return {"pooled": to_dict(table.pooled.scores), "temperature": table.pooled.temperature, "out_of_fold": place}


def _lines(table: SweepTable) -> list[str]:
    """A line for each run, the best first."""
    from mien.evaluate.metrics import headline

    width = max((len(row.label) for row in table.ranked), default=0)
    told = [(row.label, headline(row.scores) if row.scores else row.state) for row in table.ranked]
    return [f"  {label:<{width}}  {text}" for label, text in told]


def _spread(table: SweepTable) -> str:
    """Mean and standard deviation of the best settings' runs."""
    group = table.best_group
    assert group
    assert group.mean is not None
    deviation = "" if group.std is None else f" ± {100 * group.std:.1f}"
    return f"over {count(group.finished, table.repeats)} {group.mean:.1%}{deviation}"


def _repeat(table: SweepTable) -> str:
    """The command of the best run, by its flags where flags can say it; of folds, what trains on all of them."""
    assert table.best
    if table.pooled:
        return f"mien run {quoted(table.folder)} --data.fold all"
    command = table.plan.command(table.best.settings)
    try:
        app.parse_args(command.removeprefix("mien "), exit_on_error=False, print_error=False)
    except (CycloptsError, UsageError):
        from mien.runs import layout

        return f"mien run --config {quoted(table.folder / table.best.name / layout.RECIPE)}"
    return command
