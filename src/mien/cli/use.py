"""A finished network put to use: models, card, submission."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from mien.cli.app import Json, Path_, app, print_json
from mien.files import written_whole
from mien.progress import note


@app.command
def models(*, json_: Json = False) -> None:
    """List the networks that come with mien, for --model."""
    from mien.runtime.model import ASSETS, OWN, Network, shipped

    rows: list[dict[str, Any]] = []
    for name in shipped():
        path = ASSETS / name / "model.onnx"
        card = Network.open(path).card or {}
        keys = ("parameters", "validation_accuracy", "calibration_error")
        rows.append({"model": OWN + name, "bytes": path.stat().st_size, **{key: card.get(key) for key in keys}})
    if json_:
        print_json(rows)
        return
    for row in rows:
        print(
            f"{row['model']:<12} {row['parameters']:>9,} parameters  {row['bytes'] / 1e6:5.2f} MB  validation "
            f"{row['validation_accuracy']:.1%}  calibration error {row['calibration_error']:.3f}"
        )
    note(
        "What one is fit for: mien card mien:tiny" if rows else "None comes with this mien: mien export RUN makes one."
    )


@app.command
def card(model: str, *, out: Path | None = None) -> None:
    """Print the model card of an exported network: data, scores by class, calibration, what it must not be used for.

    Parameters
    ----------
    model
        An exported .onnx file, a run folder that holds one, or a model that comes with mien.
    out
        A markdown file to write instead.
    """
    from mien.runtime.card import model_card
    from mien.runtime.model import Network

    text = model_card(Network.open(model), model)
    if out is None:
        print(text, end="")
        return
    with written_whole(out) as file:
        file.write(text)
    print(out)


@app.command
def submission(
    run: Path_,
    *,
    images: Path | None = None,
    out: Path = Path("submission.csv"),
    check: Path | None = None,
    clip: Annotated[bool, Parameter(negative="")] = False,
    skip_bad: Annotated[bool, Parameter(negative="")] = False,
    json_: Json = False,
) -> None:
    """Predict the unlabelled pictures of Kaggle's Dogs vs. Cats, and write what the competition takes.

    Parameters
    ----------
    run
        A run folder, of a model that tells cats from dogs.
    images
        Folder of the unlabelled pictures, 1.jpg and so on; test1 beside the run's own data if not given.
    out
        The CSV to write: id, and the probability of a dog.
    check
        The competition's sample_submission.csv: refuse when its ids are not those of the pictures.
    clip
        Keep probabilities within 0.005 and 0.995. The score is log loss: one mistake made with
        certainty costs more than a thousand sure answers gain.
    skip_bad
        Give pictures that cannot be read 0.5, and count them.
    """
    from mien.evaluate.submission import UNKNOWN, submit

    answers = submit(run, images, check=check, skip_bad=skip_bad)
    answers.write(out, clip=clip)
    bad = answers.unreadable
    if bad:
        why = next(iter(bad.values()))
        note(f"{len(bad):,} of {len(answers.ids):,} pictures cannot be read and have {UNKNOWN}, first: {why}")
    dogs = int((answers.dog > UNKNOWN).sum())
    if json_:
        print_json({"out": str(out), "images": len(answers.ids), "dogs": dogs, "unreadable": bad})
        return
    print(f"{out}  {len(answers.ids):,} images, {dogs:,} of them more likely a dog")
