"""`mien adopt`: somebody's trained classifier as a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from mien.cli.app import Json
from mien.cli.data_settings import DataSettable
from mien.cli.output import print_json, print_lines, quoted
from mien.errors import UsageError
from mien.progress import note


def adopt(
    source: Annotated[str, Parameter(show_default=False)],
    *,
    out: Path | None = None,
    labels: str | None = None,
    size: int | None = None,
    channels: Literal[1, 3] | None = None,
    mean: str | None = None,
    std: str | None = None,
    fit: Literal["crop", "pad", "stretch"] | None = None,
    output: str | None = None,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    json_: Json = False,
    settings: DataSettable = None,
) -> None:
    """Make a run of somebody's trained classifier, to be scored, compared, explained and shipped; nothing is trained.

    With --data.path it is scored at once. Images without a validation split of their own are all held out.

    Parameters
    ----------
    source
        An image classifier of transformers or weights with a head (a folder, a file, hf-hub:OWNER/NAME), or an .onnx
        file.
    out
        The run folder to write; runs/NAME-DATE-0 if not given.
    labels
        The names of its classes in the order of its outputs, with commas between them, where it does not say them.
    size
        The side of its images, where it takes any.
    channels
        1 for grey, 3 for colour, where it takes any.
    mean
        Subtracted from pixels scaled to 0..1: one number, or three. An .onnx file does not say it.
    std
        Pixels are divided by it, after the mean.
    fit
        How a picture that is not square becomes square.
    output
        Which one of an .onnx file's outputs has the classes.
    overwrite
        Delete the run folder first if it exists.
    """
    from mien.adopt import adopt as write

    pixels = {"size": size, "channels": channels, "mean": _numbers("mean", mean), "std": _numbers("std", std)}
    names = [name.strip() for name in labels.split(",")] if labels else []
    data = settings.model_dump(exclude_unset=True).get("data", {}) if settings else {}
    folder = write(
        source, out, labels=names, output=output, data=data or None, pixels=pixels | {"fit": fit}, overwrite=overwrite
    )
    _tell(folder, json_)


def _tell(folder: Path, json_: bool) -> None:
    """Say what the run is: its scores and its page, or without data its classes."""
    from mien.runs import RunFolder

    run = RunFolder.open(folder)
    scores = run.scores.get("validation")
    if scores is None:
        shown: dict[str, Any] = {"run": str(folder), "labels": list(run.env.classes)}
        print_json(shown) if json_ else print_lines(f"{folder}  {', '.join(run.env.classes)}")
        note(f"Next: mien evaluate {quoted(folder)} --data.path PICTURES")
        return
    from mien.evaluate.metrics import headline
    from mien.report import write_report
    from mien.runs.records import to_dict

    page = write_report(folder)
    if json_:
        print_json({"run": str(folder), "report": str(page), "validation": to_dict(scores)})
        return
    print_lines(f"{folder}  {headline(scores)}")
    note(f"Open {page} in a browser. Next: mien compare {quoted(folder)} ANOTHER_RUN")


def _numbers(name: str, text: str | None) -> float | tuple[float, ...] | None:
    """One number, or three. Raises UsageError for anything else."""
    if text is None:
        return None
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) not in (1, 3):
        raise UsageError(f"--{name} {text}: give one number, or one for each of three colours: 0.485,0.456,0.406")
    return numbers[0] if len(numbers) == 1 else numbers
