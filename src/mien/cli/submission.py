"""`mien submission`: what Kaggle's Dogs vs. Cats takes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from mien.cli.app import Json, Path_
from mien.cli.output import print_json, print_lines
from mien.progress import note


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
    print_lines(f"{out}  {len(answers.ids):,} images, {dogs:,} of them more likely a dog")
