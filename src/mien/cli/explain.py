"""`mien explain`: one picture through a trained model, on one page."""

from __future__ import annotations

from pathlib import Path

from mien.cli.app import Json, Path_, app, print_json
from mien.progress import note


@app.command
def explain(
    run: Path_,
    image: Path_,
    *,
    out: Path | None = None,
    face: str | None = None,
    target: str | None = None,
    methods: str | None = None,
    json_: Json = False,
) -> None:
    """Show how a picture becomes a prediction, where the reasons lie, and how far that can be believed.

    Parameters
    ----------
    run
        A finished run folder.
    image
        A picture.
    out
        Folder for the page; RUN/explain if not given. A page of another picture or run is not written over.
    face
        Which face of a photo, the largest being 1; 'none' takes the whole picture, and so does a photo without faces.
        If not given, the largest where one of the model's classes is an expression, the whole picture otherwise.
    target
        The class to explain; the predicted one if not given.
    methods
        Names with commas between them; all that the model allows if not given. Few are quicker: grad_cam,occlusion.
    """
    from mien.evaluate.metrics import warning
    from mien.explain.study import study
    from mien.report.explain_page import write_explanation

    names = methods.split(",") if methods else None
    studied = study(run, image, face=face, target=target, methods=names)
    page, explanation, trust = write_explanation(studied, out), studied.explanation, studied.trust
    best = explanation.label
    if json_:
        shares = dict(zip(explanation.labels, map(float, explanation.probabilities), strict=True))
        found = {
            name: {"verdict": one.verdict, "correlation": None if one.empty else one.correlation}
            for name, one in trust.items()
        }
        about = {"page": str(page), "label": best, "probabilities": shares, "temperature": explanation.temperature}
        print_json(about | {"methods": found})
        return
    how = "" if explanation.temperature else " (uncalibrated)"
    print(f"{page}  {best} {explanation.probabilities.max():.0%}{how}")
    for name, one in trust.items():
        print(f"  {name:<22} {one.verdict}")
    if studied.scores and (doubt := warning(studied.scores)):
        note(f"{doubt} Do not believe this one.")
    note(f"Open {page} in a browser.")
