"""`mien predict`: expressions from photos, films and cameras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter, Token

from mien.addresses import shown
from mien.cli.app import ComputedOn, Json, Path_
from mien.cli.output import print_json, print_lines
from mien.cli.sources import written
from mien.errors import DataError, MienError, MissingError, UsageError, require
from mien.progress import note
from mien.words import alternatives, count

if TYPE_CHECKING:
    from mien.runtime import Face, Reader
    from mien.runtime.film.video import Moment
    from mien.runtime.job import FolderResult


def _seconds(_: type, tokens: Sequence[Token]) -> float:
    """'0.5' and '0.5s' alike."""
    return float(tokens[0].value.removesuffix("s"))


def predict(
    *sources: Path_,
    model: str | None = None,
    every: Annotated[float, Parameter(converter=_seconds)] = 0.2,
    detect: Annotated[bool | None, Parameter(negative="--no-detect")] = None,
    detector: str = "yunet",
    margin: float = 0.0,
    device: ComputedOn = "cpu",
    draw: Path | None = None,
    out: Path | None = None,
    json_: Json = False,
    on: Annotated[str | None, Parameter(show_default=False)] = None,
    workers: Annotated[int | None, Parameter(show_default=False)] = None,
) -> None:
    """Find faces in a photo, a folder of photos, a video or a camera's picture and read their expressions.

    A model whose classes are no expressions reads whole pictures.

    Parameters
    ----------
    sources
        Pictures, folders of pictures, videos, as many as you like and mixed; '-' for a list of names on stdin, one a
        line; or 'camera' ('camera:1' for the second one).
    model
        An exported .onnx file, a run folder that holds one, a model that comes with mien ('mien models' lists
        them; the first one is taken if none is given), or hf-hub:OWNER/NAME.
    every
        Seconds between two frames of a video or camera.
    detect
        Find the faces first; --no-detect: the pictures are faces already. If neither is given, faces are looked for
        where one of the model's classes is an expression.
    detector
        What finds the faces: 'yunet', which comes with mien, 'haar' (OpenCV's cascade), or a file of YuNet's weights.
    margin
        How much around a found face is shown to the model, as a share of its side.
    draw
        Folder for the pictures with boxes and bars of the probabilities; for a video, the frames that were read
        as a video with boxes, a timeline of each face's probabilities and a sheet of small frames.
    out
        CSV or .parquet file, one row a face, or .jsonl file, one line a picture as --json prints it. If it
        is there already, what is in it is not read again: pictures are skipped, and a film that was stopped goes on.
        With --on a folder, of Parquet files.
    on
        'ray': by many processes of this machine; 'ray:ADDRESS': by those of a cluster. The one source is a folder of
        pictures, or of Parquet tables or tar archives with pictures in them, here or on an object store (s3://...).
    workers
        With --on: how many processes read; one a core if not given.
    """
    if on is not None or workers is not None:
        if device != "cpu":
            raise UsageError(f"--device {device}: with --on, each process computes on one core.")
        _predict_on(
            on, sources, out, draw, json_, model=model, detect=detect, detector=detector, margin=margin, workers=workers
        )
        return
    from mien.cli.sources import refuse_addresses
    from mien.runtime import load

    refuse_addresses(*sources, out, draw)
    pictures, films = _pictures_and_films(sources)
    reader = load(model, detector, margin, device=device)
    if reader.network.device != "cpu":
        note(f"Computed on {reader.network.device}")
    jobs = [partial(_predict_video, reader, film, every) for film in films]
    if pictures:
        jobs.insert(0, partial(_predict_pictures, reader, pictures))
    problems: list[MienError] = []
    for job in jobs:  # one source that cannot be read keeps none of the others from being read
        try:
            job(detect, out, draw, json_)
        except (DataError, MissingError) as error:
            problems.append(error)
    if problems:
        raise problems[0]


def _pictures_and_films(sources: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """Split into pictures and folders, films and cameras. Raises UsageError for a camera that is not alone."""
    from mien.cli.sources import listed
    from mien.runtime.film.camera import is_camera
    from mien.runtime.film.video import is_video

    given = listed(sources)
    films = [source for source in given if is_video(source)]
    camera = next(filter(is_camera, films), None)
    if camera and len(given) > 1:
        raise UsageError(f"'{camera}' shows pictures until Ctrl-C, so it stands alone. Read the others without it.")
    return [source for source in given if source not in films], films


def _predict_on(
    on: str | None, sources: Sequence[Path], out: Path | None, draw: Path | None, json_: bool, **settings: Any
) -> None:
    if on is None:
        raise UsageError("--workers is of --on ray. On one computer plain `mien predict` uses every core by itself.")
    if len(sources) != 1 or out is None or draw:
        raise UsageError(f"--on {on} reads one source into one folder: mien predict SOURCE --out FOLDER --on {on}")
    if on.partition(":")[0] == "ray":  # what else is no engine, whatever is installed
        require(f"--on {on}", "ray", "pyarrow")
    from mien.scale import predict as scaled

    folder = shown(written(out))
    done = scaled(written(sources[0]), written(out), on=on, **settings)
    held = f"; {count(done.held, 'part')} of {done.parts:,} had been written before" if done.held else ""
    found = f"{count(done.found, 'face')} in {count(done.pictures, 'picture')}, {done.unsure:,} of them unsure"
    if json_:
        print_json({**asdict(done), "bad": len(done.bad)})
    else:
        print_lines(f"{folder}  {found}{held}")
    if done.bad:
        name, first = next(iter(done.bad.items()))
        said = first if name in first else f"{name}: {first}"
        bad = f"{count(len(done.bad), 'picture')} could not be read"
        raise DataError(f"{bad}; {folder}/unreadable names them. The first: {said}")


def _predict_pictures(
    reader: Reader,
    sources: list[Path],
    detect: bool | None,
    out: Path | None,
    draw: Path | None,
    json_: bool,
) -> None:
    def show(path: Path, faces: list[Face]) -> None:
        if json_:
            print_json({"source": str(path), "faces": [face.to_dict() for face in faces]}, indent=None)
        elif not out:
            _print_faces(str(path), faces)

    done = reader.read_folder(sources if len(sources) > 1 else sources[0], out=out, draw=draw, detect=detect, each=show)
    if out:
        _print_table(f"{out}  {_summary(done, reader)}", json_)
        if done.held:
            note("What a table holds already is not read again. If the model is another one, give another --out.")
    if draw:
        note(f"{draw} holds the pictures with boxes and bars")
    if done.bad:
        first = next(iter(done.bad.values()))
        everything = done.pictures + len(done.bad)
        raise DataError(f"{len(done.bad):,} of {everything:,} pictures could not be read; the first: {first}")
    if done.found and not (out or draw or json_):
        note("As a table: --out answers.csv    As pictures: --draw FOLDER")
    if done.pictures and not done.found:
        _advise(reader)


def _advise(reader: Reader) -> None:
    """What to do where no face was found."""
    from mien.runtime import HaarDetector

    note("No face was found. If the pictures are faces already: --no-detect")
    if isinstance(reader.detector, HaarDetector):
        note("YuNet finds more faces: --detector yunet")


def _summary(done: FolderResult, reader: Reader) -> str:
    """'3 faces in 2 pictures, 1 of them unsure; 5 pictures were in it already'."""
    faces = f"{count(done.found, 'face')} in " if reader.detects else ""
    read = f"{faces}{count(done.pictures, 'picture')}, {done.unsure:,} of them unsure" if done.pictures else ""
    were = f"{count(done.held, 'picture')} {'was' if done.held == 1 else 'were'} in it already" if done.held else ""
    return "; ".join(filter(None, [read, were])) or "nothing was read"


def _predict_video(
    reader: Reader, source: Path, every: float, detect: bool | None, out: Path | None, draw: Path | None, json_: bool
) -> None:
    def show(moment: Moment) -> None:
        if json_:
            faces = [tracked.to_dict() for tracked in moment.faces]
            print_json({"source": str(source), "seconds": round(moment.seconds, 3), "faces": faces}, indent=None)
        elif not out:
            _print_faces(f"{source}  {moment.seconds:6.2f} s", [tracked.face for tracked in moment.faces])

    done = reader.read_video(source, every=every, out=out, draw=draw, detect=detect, each=show)
    if done.held is not None and not done.frames:
        _print_table(f"{out}  {source} was in it already", json_)
        return
    written = " and ".join(str(place) for place in (out, draw) if place)
    note(f"{count(done.frames, 'frame')} read" + (f"; written to {written}" if written else ""))


def _print_table(text: str, as_json: bool) -> None:
    """What became of the table: the result, unless that is the JSON on stdout."""
    note(text) if as_json else print_lines(text)


def _print_faces(where: str, faces: list[Face]) -> None:
    for face in faces:
        left = f"  ({alternatives(face.prediction_set)})" if len(face.prediction_set) > 1 else ""
        left += "  unlike all it has learned" if face.outlier else ""
        box = ",".join(map(str, face.box))
        print_lines(f"{where}  {face.to_dict()['label']} {face.confidence:.0%}{left}  box {box}")
    if not faces:
        print_lines(f"{where}  no face")
