"""A trained model put to use: export and predict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from mien.cli.app import Json, Path_, app, print_json
from mien.errors import DataError, MissingError
from mien.progress import note

Flag = Parameter(negative="")


@app.command
def export(
    run: Path_,
    *,
    out: Path | None = None,
    weights: Literal["fp16", "fp32", "int8"] = "fp16",
    error_rate: float = 0.2,
    json_: Json = False,
) -> None:
    """Write a finished run as one .onnx file with labels, preprocessing and calibration, for use without torch.

    Parameters
    ----------
    run
        A finished run folder.
    out
        The file; RUN/model.onnx if not given.
    weights
        How weights are stored: fp16 and fp32 compute in fp32, int8 is quantised per channel.
    error_rate
        The answer is "unsure" where more than this share of answers would be wrong.
    """
    from mien.export import export as write

    done = write(run, out, weights=weights, error_rate=error_rate)
    calibration = done.calibration
    if json_:
        values = {"file": str(done.path), "bytes": done.size, "largest_difference": done.difference}
        print_json(values | {"accuracy_lost": done.accuracy_lost, "calibration": calibration.to_dict()})
        return
    print(f"{done.path}  {done.size / 1e6:.2f} MB")
    note(
        f"probabilities equal the run's within {done.difference:.1g}; calibration error "
        f"{calibration.calibration_error:.3f}; {calibration.answered:.0%} of validation images get an answer, "
        f"{calibration.wrong:.0%} of these a wrong one\nNext: mien predict PHOTO --model {done.path}"
    )


@app.command
def predict(
    source: Path_,
    *,
    model: str = "mien:base",
    detect: Annotated[bool, Parameter(negative="--no-detect")] = True,
    detector: Path | None = None,
    margin: float = 0.0,
    draw: Path | None = None,
    out: Path | None = None,
    json_: Json = False,
) -> None:
    """Find faces in a photo or a folder of photos and read their expressions.

    Parameters
    ----------
    source
        A picture, or a folder of pictures.
    model
        An exported .onnx file, a run folder that holds one, or a model that comes with mien.
    detect
        --no-detect: the pictures are faces already.
    detector
        A YuNet model file; OpenCV's Haar cascade if not given.
    margin
        How much around a found face is shown to the model, as a share of its side.
    draw
        Folder for the pictures with boxes and bars of the probabilities.
    out
        CSV file, one row a face. If it is there already, the pictures in it are skipped.
    """
    from mien.runtime import YuNetDetector, load
    from mien.runtime.files import Table, pictures, read_all

    reader = load(model, YuNetDetector(detector) if detector else None, margin)
    paths = pictures(source)
    table = Table(out, reader.labels) if out else None
    if table:
        paths = [path for path in paths if str(path) not in table.known]
    bad: dict[Path, str] = {}
    count = 0
    for path, faces in read_all(reader, paths, detect=detect, bad=bad):
        count += len(faces)
        if table:
            table.add(path, faces)
        if draw:
            from mien.runtime.draw import save_drawing

            save_drawing(path, faces, draw)
        if json_:
            print(json.dumps({"source": str(path), "faces": [face.to_dict() for face in faces]}), flush=True)
        elif not table:
            for face in faces:
                shown = face.to_dict()
                print(f"{path}  {shown['label']} {face.confidence:.0%}  box {','.join(map(str, face.box))}")
            if not faces:
                print(f"{path}  no face")
    if table:
        print(f"{out}  {count:,} faces in {len(paths) - len(bad):,} pictures")
    if bad:
        first = next(iter(bad.values()))
        raise DataError(f"{len(bad):,} of {len(paths):,} pictures could not be read; the first: {first}")
    if source.is_dir() and not paths and not table:
        raise MissingError(f"{source} holds no pictures.")
    if not table and not json_:
        note("As a table: --out faces.csv    As pictures: --draw FOLDER")
