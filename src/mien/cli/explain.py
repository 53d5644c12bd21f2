"""`mien explain`: one picture through a trained model, on one page."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from mien.cli.app import DataPath, Json, Path_
from mien.cli.output import print_json, print_lines
from mien.errors import UsageError
from mien.progress import note, warn

if TYPE_CHECKING:
    from mien.explain.drawn_truth import Judged
    from mien.explain.explanation import Explanation


def explain(
    model: Path_,
    image: Path_ | None = None,
    *,
    drawn: Annotated[int | None, Parameter(validator=Number(gte=20))] = None,
    out: Path | None = None,
    face: str | None = None,
    target: str | None = None,
    methods: str | None = None,
    detector: str = "yunet",
    margin: float = 0.0,
    nearest: Annotated[int, Parameter(validator=Number(gte=0))] = 5,
    data_path: DataPath = None,
    json_: Json = False,
) -> None:
    """Show how a picture becomes a prediction, where the reasons lie, and how far that can be believed.

    Parameters
    ----------
    model
        A finished run folder, an exported .onnx file, or a model that comes with mien ('mien:base').
    image
        A picture; left out with --drawn.
    drawn
        Put the methods themselves to the test on so many newly drawn faces, whose brows, eyes and mouth are known, and
        half as many pairs of them that differ in one action unit: 400, say. For a model of expressions.
    out
        Folder for the page; RUN/explain if not given, or explain for an export. A page of another picture or model is
        not written over.
    face
        Which face of a photo, the largest being 1; 'none' takes the whole picture, and so does a photo without faces.
        If not given, the largest where one of the model's classes is an expression, the whole picture otherwise.
    target
        The class to explain; the predicted one if not given.
    methods
        Names with commas between them; all that the model allows if not given. Few are quicker: grad_cam,occlusion.
    detector
        What finds the faces: 'yunet', which comes with mien, 'haar' (OpenCV's cascade), or a file of YuNet's weights.
    margin
        How much around a found face is shown to the model, as a share of its side.
    nearest
        Of a run, how many of the training pictures that are most like this one to show; 0 for none.
    """
    from mien.evaluate.metrics import warning
    from mien.explain.study import study
    from mien.report.explain_page import write_explanation
    from mien.runs.data import lying_at

    names = methods.split(",") if methods else None
    if image is None or drawn is not None:
        if image is not None or drawn is None:
            raise UsageError("Give either a picture to explain, or --drawn 400 to put the methods to the test.")
        _on_drawn_faces(model, names, drawn, json_)
        return
    with lying_at(data_path):
        studied = study(
            model, image, face=face, target=target, methods=names, detector=detector, margin=margin, nearest=nearest
        )
    page = write_explanation(studied, out)
    if json_:
        _print_as_json(page, studied.explanation)
        return
    _print_in_words(page, studied.explanation)
    if studied.scores and (doubt := warning(studied.scores)):
        warn(f"{doubt} Do not believe this one.")
    note(f"Open {page} in a browser.")


def _print_as_json(page: Path, found: Explanation) -> None:
    shares = dict(zip(found.labels, map(float, found.probabilities), strict=True))
    about = {"page": str(page), "label": found.label, "probabilities": shares, "temperature": found.temperature}
    verdicts = {name: {"verdict": str(one), "correlation": one.correlation} for name, one in found.verdicts.items()}
    alike = [{"name": each.name, "label": each.label, "similarity": each.similarity} for each in found.nearest]
    print_json(about | {"methods": verdicts, "nearest": alike})


def _print_in_words(page: Path, found: Explanation) -> None:
    from mien.evaluate.training_pictures import told

    calibrated = "" if found.temperature else " (uncalibrated)"
    print_lines(f"{page}  {found.label} {found.probabilities.max():.0%}{calibrated}")
    if found.nearest:
        print_lines(f"  nearest training pictures: {told(found.nearest)}")
    for name, one in found.verdicts.items():
        print_lines(f"  {name:<22} {one}")


def _on_drawn_faces(model: Path, methods: list[str] | None, faces: int, as_json: bool) -> None:
    """Print how the methods did on drawn faces, beside maps that know nothing."""
    from mien.explain.drawn_truth import on_drawn_faces
    from mien.pretrained import from_pretrained

    found = on_drawn_faces(from_pretrained(model), methods, faces, faces // 2)
    if as_json:
        print_json(asdict(found) | {"best": found.best})
        return
    print_lines(f"{faces} drawn faces, of which the model tells {found.accuracy:.0%} right")
    print_lines(f"{'':<40} points at a feature    changes at the unit")
    for name, one in (found.methods | found.controls).items():
        print_lines(f"  {name:<38} {_told(one)}{'  the best' if name == found.best else ''}")
    fixed = found.methods[found.best].pointing.fixed
    print_lines(f"  {'the best fixed point':<38} {fixed:.0%}")


def _told(one: Judged) -> str:
    shares = ((test.hits, *test.interval) for test in (one.pointing, one.causal))
    return "  ".join(f"{f'{hits:.0%} ({low:.0%} to {high:.0%})':<21}" for hits, low, high in shares)
