"""`mien quickstart`: the whole tour in about a minute, nothing to download."""

from __future__ import annotations

from pathlib import Path

from mien import config
from mien.cli.app import Json
from mien.cli.output import print_json, print_lines, quoted
from mien.config import Recipe
from mien.progress import note


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
    from mien.recipes import quickstart as recipes
    from mien.report import write_comparison, write_report
    from mien.runs import RunFolder, is_finished, is_run
    from mien.train import run as training

    chosen = [one.with_(**config.from_environment()) for one in (recipes.recipe, recipes.vit)]
    stamp = _stopped(out, chosen[0]) or time.strftime("%Y%m%d-%H%M%S")
    runs = [out / f"{recipe.name}-{stamp}-{recipe.seed}" for recipe in chosen]
    note(
        "Three steps: 1. a small CNN is trained on drawn faces (half a minute on two CPU cores), 2. a small ViT on the "
        "same (40 seconds), 3. a page compares the two. Every epoch ends with a line."
    )
    try:
        for step, (recipe, folder) in enumerate(zip(chosen, runs, strict=True), start=1):
            note("", f"Step {step} of 3: {recipe.name}{', which has finished already' if is_finished(folder) else ''}")
            if not is_finished(folder):
                training.resume(folder) if is_run(folder) else training.run(recipe, folder)
            write_report(folder)
    except KeyboardInterrupt:
        where = "" if out == Path("runs") else f" --out {quoted(out)}"
        note(f"To go on with both runs and their comparison from there: mien quickstart{where}")
        raise
    note("", "Step 3 of 3: the comparison")
    comparison = compare_runs(runs)
    page = write_comparison(comparison, out / f"quickstart-{stamp}.html")
    if json_:
        print_json({"runs": [str(run) for run in runs], "page": str(page)} | comparison.to_dict())
        return
    for run in runs:
        print_lines(f"{run}  {headline(RunFolder.open(run).scores['validation'])}")
    print_lines(str(page))
    note(f"Open {page} in a browser. Next, on your own pictures: mien run folder_vit --data.path FOLDER")


def _stopped(out: Path, first: Recipe) -> str | None:
    """The date in the names of the newest quickstart where it never came to its page; None where there is none.

    first: the recipe of its first run, which must be the same now.
    """
    from mien.runs.folder import read_recipe, runs_in

    begun = runs_in(out, f"{first.name}-*-{first.seed}")
    if not begun or read_recipe(begun[-1]) != first:
        return None
    stamp = begun[-1].name.removeprefix(f"{first.name}-").removesuffix(f"-{first.seed}")
    return None if (out / f"quickstart-{stamp}.html").exists() else stamp
