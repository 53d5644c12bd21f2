"""`mien predict`: expressions from photos, films and cameras."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, Token

from mien.cli.app import Json, Path_, app
from mien.errors import DataError
from mien.labels import has_expressions
from mien.progress import note
from mien.report.words import count

if TYPE_CHECKING:
    from mien.runtime import Face, Reader
    from mien.runtime.table import Table


def _seconds(_: type, tokens: Sequence[Token]) -> float:
    """'0.5' and '0.5s' alike."""
    return float(tokens[0].value.removesuffix("s"))


@app.command
def predict(
    source: Path_,
    *,
    model: str | None = None,
    every: Annotated[float, Parameter(converter=_seconds)] = 0.2,
    detect: Annotated[bool | None, Parameter(negative="--no-detect")] = None,
    detector: str = "yunet",
    margin: float = 0.0,
    draw: Path | None = None,
    out: Path | None = None,
    json_: Json = False,
) -> None:
    """Find faces in a photo, a folder of photos, a video or a camera's picture and read their expressions.

    A model whose classes are no expressions reads whole pictures.

    Parameters
    ----------
    source
        A picture, a folder of pictures, a video, or 'camera' ('camera:1' for the second one).
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
        CSV or .parquet file, one row a face. If it is there already, what is in it is not read again: pictures are
        skipped, and a film that was stopped goes on.
    """
    from mien.runtime import load
    from mien.runtime.film.video import is_video
    from mien.runtime.network import default_model
    from mien.runtime.table import open_table

    reader = load(model or default_model(), detector, margin)
    if detect is None:
        detect = has_expressions(reader.names)
    table = open_table(out, reader.names) if out else None
    try:
        if is_video(source):
            _predict_video(reader, source, every, draw, table, detect, json_)
        else:
            _predict_pictures(reader, source, draw, table, detect, json_)
    finally:  # what has been read is kept
        if table:
            table.close()


def _predict_pictures(
    reader: Reader, source: Path, draw: Path | None, table: Table | None, detect: bool, json_: bool
) -> None:
    from mien.runtime import HaarDetector
    from mien.runtime.draw import save_drawing
    from mien.runtime.job import pictures, read_all

    paths = pictures(source)
    everything = len(paths)
    if table:
        paths = [path for path in paths if table.reached(path) is None]
    held = everything - len(paths)
    bad: dict[Path, str] = {}
    faces_found = unsure = 0
    for path, faces in read_all(reader, paths, detect=detect, bad=bad):
        faces_found += len(faces)
        unsure += sum(not face.sure for face in faces)
        if table:
            table.add(path, faces)
        if draw:
            save_drawing(path, faces, draw, source)
        if json_:
            print(json.dumps({"source": str(path), "faces": [face.to_dict() for face in faces]}), flush=True)
        elif not table:
            _print_faces(str(path), faces)
    if table:
        read = len(paths) - len(bad)
        found = f"{count(faces_found, 'face')} in " if has_expressions(reader.names) else ""
        told = f"{found}{count(read, 'picture')}, {unsure:,} of them unsure" if read else ""
        _print_table(f"{table.path}  {_summary(told, held)}", json_)
        if held:
            note("What a table holds already is not read again. If the model is another one, give another --out.")
    if draw:
        note(f"{draw} holds the pictures with boxes and bars")
    if bad:
        first = next(iter(bad.values()))
        raise DataError(f"{len(bad):,} of {len(paths):,} pictures could not be read; the first: {first}")
    if faces_found and not table and not draw and not json_:
        note("As a table: --out answers.csv    As pictures: --draw FOLDER")
    if paths and detect and not faces_found:
        note("No face was found. If the pictures are faces already: --no-detect")
        if isinstance(reader.detector, HaarDetector):
            note("YuNet finds more faces: --detector yunet")


def _summary(read: str, held: int) -> str:
    """'3 faces in 2 pictures, 1 of them unsure; 5 pictures were in it already'."""
    were = f"{count(held, 'picture')} {'was' if held == 1 else 'were'} in it already" if held else ""
    return "; ".join(filter(None, [read, were])) or "nothing was read"


def _predict_video(
    reader: Reader, source: Path, every: float, draw: Path | None, table: Table | None, detect: bool, json_: bool
) -> None:
    from mien.runtime.film.camera import is_camera
    from mien.runtime.film.contact_sheet import ContactSheet
    from mien.runtime.film.timeline import Film, Timeline
    from mien.runtime.film.video import read_video

    camera = is_camera(source)  # which shows something new each time
    held = table.reached(source) if table and not camera else None
    name = str(source).replace(":", "-") if camera else source.stem
    if held is not None:
        name += f"-after-{held:.2f}s"  # beside the drawing of what was read before
    timeline, sheet, frames = Timeline(), ContactSheet(), 0
    film = Film(draw / f"{name}-faces.mp4") if draw else None
    try:
        for moment in read_video(reader, source, every, detect=detect, after=held):
            faces = [tracked.face for tracked in moment.faces]
            if film:
                film.add(moment)
                timeline.add(moment)
                sheet.add(moment)
            frames += 1
            if table:
                table.add(source, faces, moment.seconds)
            if json_:
                shown = [tracked.to_dict() for tracked in moment.faces]
                print(
                    json.dumps({"source": str(source), "seconds": round(moment.seconds, 3), "faces": shown}), flush=True
                )
            elif not table:
                _print_faces(f"{source}  {moment.seconds:6.2f} s", faces)
    finally:  # also after Ctrl-C, which is how a camera ends
        if film and draw and frames:
            film.close()
            timeline.save(draw / f"{name}-faces.png")
            sheet.save(draw / f"{name}-frames.png")
    if table and held is not None and not frames:
        _print_table(f"{table.path}  {source} was in it already", json_)
        return
    written = [str(place) for place in (table.path if table else None, draw) if place]
    note(f"{count(frames, 'frame')} read" + (f"; written to {' and '.join(written)}" if written else ""))


def _print_table(text: str, as_json: bool) -> None:
    """What became of the table: the result, unless that is the JSON on stdout."""
    note(text) if as_json else print(text)


def _print_faces(where: str, faces: list[Face]) -> None:
    for face in faces:
        print(f"{where}  {face.to_dict()['label']} {face.confidence:.0%}  box {','.join(map(str, face.box))}")
    if not faces:
        print(f"{where}  no face")
