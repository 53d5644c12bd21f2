"""Recipes -> runs -> scores and pages: quickstart, recipes, run, evaluate, compare, report."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from mien import config
from mien.assets import OWN
from mien.cli.app import Json, Path_, Settable, app, print_json, recipe_layers
from mien.cli.data import DataSettable, DataSettings
from mien.config import Recipe
from mien.errors import MissingError, UsageError
from mien.hub import HUB
from mien.progress import note

if TYPE_CHECKING:
    from mien.evaluate.robustness import Row


@app.command
def quickstart(*, out: Path = Path("runs"), json_: Json = False) -> None:
    """Train a small CNN and a small ViT on drawn faces, and compare them: one to two minutes, nothing to download.

    One that was stopped goes on where it was.

    Parameters
    ----------
    out
        Folder for the two runs and the comparison.
    """
    import time

    from mien.evaluate.compare import compare as compare_runs
    from mien.evaluate.metrics import headline
    from mien.evaluate.run_folder import is_finished
    from mien.recipes import quickstart as recipes
    from mien.report import write_comparison, write_report
    from mien.train import run as training

    chosen = [config.build(one.model_dump(), config.from_environment()) for one in (recipes.recipe, recipes.vit)]
    stamp = _stopped_quickstart(out, chosen[0]) or time.strftime("%Y%m%d-%H%M%S")
    runs = [out / f"{recipe.name}-{stamp}-{recipe.seed}" for recipe in chosen]
    note(
        "Three steps: 1. a small CNN is trained on drawn faces (half a minute on two CPU cores), 2. a small ViT on the "
        "same (40 seconds), 3. a page compares the two. Every epoch ends with a line."
    )
    try:
        for step, (recipe, folder) in enumerate(zip(chosen, runs, strict=True), start=1):
            note(f"\nStep {step} of 3: {recipe.name}{', which has finished already' if is_finished(folder) else ''}")
            if not is_finished(folder):
                training.resume(folder) if (folder / "recipe.yaml").exists() else training.run(recipe, folder)
            write_report(folder)
    except KeyboardInterrupt:
        where = "" if out == Path("runs") else f" --out {out}"
        note(f"To go on with both runs and their comparison from there: mien quickstart{where}")
        raise
    note("\nStep 3 of 3: the comparison")
    comparison = compare_runs(runs)
    page = write_comparison(comparison, out / f"quickstart-{stamp}.html")
    if json_:
        print_json({"runs": [str(run) for run in runs], "page": str(page)} | comparison.to_dict())
        return
    for run in runs:
        print(f"{run}  {headline(_scores(run)['validation'])}")
    print(page)
    note(f"Open {page} in a browser. Next, on your own pictures: mien run folder_vit --data.path FOLDER")


@app.command(name="recipes")
def show_recipes(name: str | None = None, *, json_: Json = False) -> None:
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
            print(f"{known:<{width}}  {line}")
        note("One in full: mien recipes NAME    Train it: mien run NAME")
        return
    recipe, promise = load(name)
    size = _size(recipe)
    if json_:
        print_json({"promise": promise, "recipe": recipe.model_dump(mode="json"), **size})
        return
    counts = "  ".join(f"{value:,} {key}" for key, value in size.items())
    print(f"{promise}\n\n{counts}\n\n{config.dump(recipe, described=True)}", end="")


@app.command
def run(
    recipe: str | None = None,
    *,
    out: Path | None = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    resume: Annotated[bool, Parameter(negative="")] = False,
    config_: Annotated[Path | None, Parameter(name="--config")] = None,
    json_: Json = False,
    settings: Settable = None,
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
    config_
        YAML file of settings, such as a run's recipe.yaml.
    """
    from mien.data import check
    from mien.evaluate.run_folder import is_finished, is_first_process, refuse_used

    begun = _run_to_resume(recipe, out, settings, others=bool(config_ or overwrite)) if resume else None
    chosen = config.read_recipe(begun) if begun else _recipe(recipe, config_, settings)
    if begun and is_finished(begun):
        note(f"{begun} is finished: nothing is left to be trained. To start another run from it: --model.init {begun}")
        _show_run(begun, json_, anew=False)
        return
    # What is wrong with the names is said before torch is imported, which takes seconds.
    check(chosen.data)
    if out and not begun and is_first_process():
        refuse_used(out, overwrite)

    from mien.train import run as training

    folder = training.resume(begun) if begun else training.run(chosen, out, overwrite=overwrite)
    if is_first_process():
        _show_run(folder, json_)


def _show_run(folder: Path, json_: bool, anew: bool = True) -> None:
    """What a run ends with: its report, written anew or if it is missing, and its scores."""
    from mien.evaluate.metrics import headline, warning
    from mien.report import write_report

    report = folder / "report.html"
    if anew or not report.is_file():
        write_report(folder)
    trained = config.read_recipe(folder)
    if not trained.pretrain.is_off():
        _show_pretrained(folder, trained, report, json_)
        return
    scores = _scores(folder)["validation"]
    if json_:
        print_json({"run": str(folder), "report": str(report), "validation": scores})
        return
    print(f"{folder}  {headline(scores)}")
    if found := warning(scores):
        note(f"{found} Train longer (--train.epochs), or on more images.")
    note(f"Open {report} in a browser. Next: mien compare {folder} ANOTHER_RUN")


@app.command
def evaluate(
    run: Path_,
    *,
    split: Literal["validation", "test", "train", "all"] = "validation",
    robustness: Annotated[bool, Parameter(negative="")] = False,
    json_: Json = False,
    settings: DataSettable = None,
) -> None:
    """Score a run on a split of its data, or an exported .onnx file on any data.

    Every reading of a run's test split is noted in the run.

    Parameters
    ----------
    run
        A run folder; or, with --data.path, an .onnx file, a model that comes with mien ('mien:tiny') or one on the hub
        (hf-hub:OWNER/NAME).
    split
        Choose on validation; read test once, at the end. all: every image, for exports.
    robustness
        Also score a run on its validation images blurred, noisy, darker, shifted, turned and partly covered.
    """
    from mien.evaluate.metrics import describe

    exported = run.suffix == ".onnx" or str(run).startswith((OWN, HUB))
    if robustness and (exported or split != "validation"):
        raise UsageError("--robustness is measured on the validation images of a run folder.")
    if not exported and (settings is not None or split == "all"):
        raise UsageError(
            f"{run} is scored on a split of its own data. Export it to score it on other data: mien export {run}"
        )
    rows = _robustness(run) if robustness else []
    scores = _score_export(str(run), split, settings) if exported else _score_run(run, split)
    if json_:
        print_json(scores | ({"robustness": [asdict(row) for row in rows]} if rows else {}))
        return
    print(describe(scores, split))
    if rows:
        from mien.evaluate.robustness import describe as describe_changes

        print(describe_changes(rows, scores))


def _robustness(run: Path) -> list[Row]:
    from mien.evaluate.robustness import robustness

    return robustness(run)


def _score_export(where: str, split: str, settings: DataSettings | None) -> dict[str, Any]:
    if settings is None or (settings.data.path is None and settings.data.source != "drawn_faces"):
        raise UsageError(f"{where} has no data of its own. Say on which to score it: --data.path FOLDER")
    from mien.evaluate.exported import evaluate_export
    from mien.runtime.model import Network

    return evaluate_export(Network.open(where), settings.data, split)


def _score_run(run: Path, split: str) -> dict[str, Any]:
    from mien.evaluate.split import evaluate as score
    from mien.report import write_report

    scores = score(run, split)
    write_report(run)
    return scores


@app.command
def compare(*runs: Path, out: Path = Path("comparison.html"), json_: Json = False) -> None:
    """Compare runs on the same images: curves, accuracy with intervals, recalls, McNemar's test, one page.

    Parameters
    ----------
    runs
        Two or more run folders.
    out
        The page to write.
    """
    if out.suffix not in (".html", ".htm"):
        raise UsageError(f"--out {out}: compare writes a page. Give it a name that ends in .html.")

    from mien.evaluate.compare import compare as compare_runs
    from mien.evaluate.metrics import headline
    from mien.report import write_comparison

    comparison = compare_runs(list(runs))
    page = write_comparison(comparison, out)
    if json_:
        print_json(comparison.to_dict() | {"page": str(page)})
        return
    for row in comparison.rows:
        print(f"{row.folder}  {headline(row.scores)}")
    for pair in comparison.pairs:
        print(pair.verdict)
    print(page)
    note(f"Open {page} in a browser. Why it answers as it does: mien explain {runs[0]} PICTURE")


@app.command
def report(run: Path_, *, explain: Annotated[bool, Parameter(negative="")] = False) -> None:
    """Write a run's report.html anew.

    Parameters
    ----------
    run
        A run folder.
    explain
        Show which pixels speak for each of the most confident wrong answers (integrated gradients).
    """
    from mien.report import write_report

    print(write_report(run, explain=explain))


def _show_pretrained(folder: Path, recipe: Recipe, report: Path, json_: bool) -> None:
    """What a run without labels ends with: the best validation loss, and how its encoder is put to use."""
    from mien.train.callbacks import read_history

    best = min(read_history(folder / "metrics.csv"), key=lambda row: row["val_loss"])
    if json_:
        print_json({"run": str(folder), "report": str(report), "validation_loss": best["val_loss"]})
        return
    print(f"{folder}  validation loss {best['val_loss']:.4f} in epoch {best['epoch']:.0f} ({recipe.pretrain.method})")
    data = f" --data.path {recipe.data.path}" if recipe.data.path else ""
    note(f"Open {report} in a browser. Next, with labels: mien run RECIPE{data} --model.init {folder}")


def _stopped_quickstart(out: Path, first: Recipe) -> str | None:
    """The date in the names of the newest quickstart where it never came to its page; None where there is none.

    first: the recipe of its first run, which must be the same now.
    """
    begun = sorted(out.glob(f"{first.name}-*-{first.seed}/recipe.yaml"))
    if not begun or config.read_recipe(begun[-1].parent) != first:
        return None
    stamp = begun[-1].parent.name.removeprefix(f"{first.name}-").removesuffix(f"-{first.seed}")
    return None if (out / f"quickstart-{stamp}.html").exists() else stamp


def _recipe(name: str | None, file: Path | None, settings: Recipe | None) -> Recipe:
    """Recipe < --config file < environment < flags."""
    layers = recipe_layers(name, file)
    if settings:
        layers.append(settings.model_dump(exclude_unset=True))
    return config.build(*layers)


def _run_to_resume(name: str | None, out: Path | None, settings: Recipe | None, others: bool) -> Path:
    """The folder that was named, or the newest unfinished run of a recipe and (--seed) seed."""
    named = out or (Path(name) if name and Path(name).is_dir() else None)
    given = settings.model_dump(exclude_unset=True).keys() if settings else set()
    if others or given - (set() if named else {"seed"}):
        raise UsageError("--resume goes on with the settings of the run; it takes no others.")
    if named:
        return named
    if name is None:
        raise UsageError("--resume what? Give a run folder or a recipe: mien run RUN --resume")
    chosen = _recipe(name, None, settings)

    from mien.train.run import latest

    return latest(chosen.name, chosen.seed)


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


def _scores(run: Path) -> dict[str, Any]:
    from mien.evaluate.run_folder import read_record

    return read_record(run, "evaluation.json", {})
