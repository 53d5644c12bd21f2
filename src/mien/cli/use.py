"""A finished network put to use: models, card, submission."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from mien.cli.app import Json, Path_, app, print_json
from mien.files import written_whole
from mien.progress import note


@app.command
def models(*, json_: Json = False) -> None:
    """List the networks that come with mien: those for --model, and backbones for --model.init."""
    rows = [*_ready(), *_backbones()]
    if json_:
        print_json(rows)
        return
    for row in rows:
        error = row.get("calibration_error")
        last = row["for"] if error is None else f"calibration error {error:.3f}"
        print(
            f"{row['model']:<22} {row['parameters']:>9,} parameters  {row['bytes'] / 1e6:5.2f} MB  "
            f"validation {row['validation_accuracy']:.1%}  {last}"
        )
    known = rows[0]["model"] if rows else None
    note(
        f"What one is fit for: mien card {known}" if known else "None comes with this mien: mien export RUN makes one."
    )


def _ready() -> list[dict[str, Any]]:
    """Exports that come with mien."""
    from mien.assets import OWN, asset, shipped
    from mien.runtime.model import Network

    rows: list[dict[str, Any]] = []
    for name in shipped():
        path = asset(name, "model.onnx")
        card = Network.open(path).card or {}
        keys = ("parameters", "validation_accuracy", "calibration_error")
        own = {"model": OWN + name, "for": "--model", "bytes": path.stat().st_size}
        rows.append(own | {key: card.get(key) for key in keys})
    return rows


def _backbones() -> list[dict[str, Any]]:
    """Networks that come with mien to train from."""
    from mien.assets import OWN, asset, backbones

    rows: list[dict[str, Any]] = []
    for name in backbones():
        card = json.loads(asset(name, "config.json").read_text(encoding="utf-8"))
        size = asset(name, "model.safetensors").stat().st_size
        own = {"model": OWN + name, "for": "--model.init", "bytes": size}
        rows.append(own | {key: card.get(key) for key in ("parameters", "validation_accuracy")})
    return rows


@app.command
def card(model: str, *, out: Path | None = None) -> None:
    """Print the model card of an exported network: data, scores by class, calibration, what it must not be used for.

    Parameters
    ----------
    model
        An exported .onnx file, a run folder that holds one, a network that comes with mien, or hf-hub:OWNER/NAME.
    out
        A markdown file to write instead.
    """
    from mien.assets import OWN, asset, backbones
    from mien.runtime.card import model_card
    from mien.runtime.model import Network

    name = model.removeprefix(OWN)
    if name != model and name in backbones():
        text = asset(name, "card.md").read_text(encoding="utf-8")
    else:
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
