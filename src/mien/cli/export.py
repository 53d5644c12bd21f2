"""`mien export`: a run as one .onnx file, and as a web page that reads pictures in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from mien.cli.app import DataPath, Json, Path_
from mien.cli.output import print_json, print_lines, quoted
from mien.progress import note, warn

if TYPE_CHECKING:
    from mien.evaluate.calibration import Calibration
    from mien.export import Export
    from mien.web import WebFolder


def export(
    run: Path_,
    *,
    out: Path | None = None,
    weights: Literal["fp16", "fp32", "int8"] = "fp16",
    error_rate: float = 0.2,
    coverage: float = 0.9,
    outliers: Annotated[bool, Parameter(negative="--no-outliers")] = True,
    data_path: DataPath = None,
    web: Path | None = None,
    margin: float = 0.0,
    overwrite: Annotated[bool, Parameter(negative="")] = False,
    json_: Json = False,
) -> None:
    """Write a finished run as one .onnx file with labels, preprocessing and calibration, for use without torch.

    With --web also as a folder for any static host: the page of mien serve, with the network in the browser.

    Parameters
    ----------
    run
        A finished run folder; with --web also an exported .onnx file, mien:base, mien:tiny or hf-hub:OWNER/NAME.
    out
        The file; RUN/model.onnx if not given.
    weights
        How weights are stored: fp16 and fp32 compute in fp32, int8 is quantised per channel.
    error_rate
        The threshold for "unsure" is fitted so that this share of the answers above it is wrong; the export says what
        the validation images prove of it.
    coverage
        Beside each answer stands the set of classes that it leaves open; this share of the sets is to hold the true
        class, of each class.
    outliers
        The file also tells what is unlike its training images, for which up to 1,500 of them go through the network;
        --no-outliers leaves that out.
    web
        A folder for the page, the network, the finder of faces and onnxruntime-web.
    margin
        For --web: what the network sees around a found face, as a share of its side; as it was trained.
    overwrite
        Replace the web folder that is there.
    """
    from mien.arguments import is_exported, place_of
    from mien.web import refuse, write_web_folder

    options = {"weights": weights, "error_rate": error_rate, "coverage": coverage, "outliers": outliers}
    exported = is_exported(place_of(run), web, out=out, margin=margin, overwrite=overwrite, **options)
    if web is not None:
        refuse(web, margin, overwrite)
    done = None if exported else _write(run, out, options, data_path)
    page = web and write_web_folder(done.path if done else run, web, margin=margin, overwrite=overwrite)
    if json_:
        print_json((_values(done) if done else {}) | ({"web": _web_values(page)} if page else {}))
        return
    if done:
        _show(done, error_rate)
    if page:
        _show_web(page)
    elif done:
        note(f"Next: mien predict PHOTO --model {quoted(done.path)}")


def _write(run: Path, out: Path | None, options: dict[str, Any], data_path: Path | None) -> Export:
    from mien.export import export as write
    from mien.runs.data import lying_at

    with lying_at(data_path):
        return write(run, out, **options)


def _values(done: Export) -> dict[str, Any]:
    values = {"file": str(done.path), "bytes": done.size, "largest_difference": done.difference}
    values |= {"accuracy_lost": done.accuracy_lost, "sets": done.sets.to_dict()}
    values["outliers"] = done.outliers.to_dict() if done.outliers else None
    return values | {"calibration": done.calibration.to_dict()}


def _web_values(page: WebFolder) -> dict[str, Any]:
    return {"folder": str(page.path), "bytes": page.size, "files": page.files, "fingerprint": page.fingerprint}


def _show_web(page: WebFolder) -> None:
    wide = max(map(len, page.files))
    print_lines(f"{page.path}  {page.size / 1e6:.2f} MB")
    print_lines(*(f"  {name:{wide}}  {size:>9,}" for name, size in page.files.items()))
    note(f"Next: python -m http.server -d {quoted(page.path)}")
    note("or copy the folder to any static host: the camera, and use without a network, need https or localhost there.")


def _show(done: Export, error_rate: float) -> None:
    calibration = done.calibration
    print_lines(f"{done.path}  {done.size / 1e6:.2f} MB")
    note(
        f"probabilities equal the run's within {done.difference:.1g}; calibration error "
        f"{calibration.calibration_error:.3f}; {_answers(calibration)}"
    )
    note(
        f"prediction sets of {done.sets.sets.coverage:.0%}: {done.sets.size:.1f} classes on average, one alone for "
        f"{done.sets.single:.0%} of validation images, {done.sets.single_right:.0%} of these right"
    )
    if calibration.bound:
        end = f"{calibration.temperature:.3g}, the {calibration.bound} that is tried"
        warn(f"the temperature is {end}: {calibration.cause}")
    if calibration.answered and calibration.wrong_at_most > max(2 * error_rate, error_rate + 0.1):
        warn(
            f"{calibration.images:,} validation images are too few to promise an error rate of {error_rate:.0%}: they "
            f"leave room for {calibration.wrong_at_most:.0%} of wrong answers. Hold out more: --data.val_split 0.3"
        )
    if calibration.answered < 0.05:
        warn(
            "nearly every answer will be 'unsure': the model is wrong too often to answer at the error rate "
            f"of {error_rate:.0%}. Train it longer, or allow more errors: --error-rate 0.5"
        )


def _answers(calibration: Calibration) -> str:
    from mien.evaluate.calibration import NEVER

    if calibration.threshold >= NEVER:
        return "no image gets an answer, all are 'unsure'"
    if not calibration.answered:
        return "a threshold fitted on half of the validation images leaves none of the others an answer"
    return (
        f"{calibration.answered:.0%} of {calibration.images:,} validation images get an answer, "
        f"{calibration.wrong:.0%} of these a wrong one (with 95% confidence at most {calibration.wrong_at_most:.0%})"
    )
