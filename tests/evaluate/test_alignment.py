"""Runs before and after a correction of labels: compared on the pictures whose label nobody changed."""

from pathlib import Path

import numpy as np
import pytest
from fake_runs import picture_names, write_run

from mien.atomic import write_arrays
from mien.cli import main
from mien.errors import DataError
from mien.evaluate.compare import compare
from mien.evaluate.significance import mcnemar
from mien.runs import Predictions, RunFolder, layout

RELABELLED = (2, 9, 20)  # positions in the run before
DROPPED = 4


def note_pixels(run: Path, names: list[str], content: np.ndarray) -> None:
    """Write data.npz as training does; content: (N, 16), what the pixels hash to."""
    splits = np.ones(len(names), np.uint8)
    write_arrays(run / layout.DATA, names=np.array(names), digests=content.astype(np.uint8), splits=splits)


@pytest.fixture
def before_and_after(tmp_path: Path) -> tuple[Path, Path]:
    """A run on a folder, and one on a corrected table, which has its pictures by other names and in another order."""
    names, labels = picture_names()
    (tmp_path / "pictures").mkdir()
    folder = {"source": "folder", "path": str(tmp_path / "pictures"), "size": 16}
    before = write_run(tmp_path / "before-1-0", names=names, labels=labels, skill=1, data=folder)
    kept = [i for i in reversed(range(len(names))) if i != DROPPED]
    other = np.array([(labels[i] + 1) % 3 if i in RELABELLED else labels[i] for i in kept])
    (tmp_path / "fixed.csv").write_text("path,label\n")
    table = {"source": "table", "path": str(tmp_path / "fixed.csv"), "size": 16}
    renamed = [f"pictures/{names[i]}" for i in kept]
    return before, write_run(tmp_path / "after-1-0", names=renamed, labels=other, skill=3, seed=1, data=table)


def test_the_labels_that_nobody_changed(before_and_after):
    found = compare(before_and_after)
    assert found.images == 25 - len(RELABELLED) - 1
    assert (found.left_out.relabelled, found.left_out.of_some) == (len(RELABELLED), 1)
    one, other = (RunFolder.open(run).predictions() for run in before_and_after)
    right = dict(zip(one.names, one.correct, strict=True))
    after = {name.removeprefix("pictures/"): value for name, value in zip(other.names, other.correct, strict=True)}
    same = [name for i, name in enumerate(one.names) if i not in (*RELABELLED, DROPPED)]
    a, b = np.array([right[name] for name in same]), np.array([after[name] for name in same])
    assert found.pairs[0].p_value == mcnemar(a, b)
    assert [row.scores.accuracy for row in found.rows] == [a.mean(), b.mean()]
    assert [row.scores.images for row in found.rows] == [len(same)] * 2


def test_it_is_said_on_how_many(before_and_after, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert main(["compare", *map(str, before_and_after), "--out", str(page)]) == 0
    said = "Compared on 21 pictures whose label nobody changed; left out are 3 with another label and 1 that are not"
    assert said in capsys.readouterr().out
    assert said in page.read_text()


def test_pictures_that_were_moved_are_known_by_their_pixels(before_and_after, tmp_path):
    before, after = before_and_after
    (tmp_path / "pictures").rmdir()
    text = (after / layout.RECIPE).read_text()
    (after / layout.RECIPE).write_text(
        text.replace(str(tmp_path / "fixed.csv"), str(tmp_path / "elsewhere" / "fixed.csv"))
    )
    names, _ = picture_names()
    content = np.random.default_rng(0).integers(0, 256, (25, 16))
    note_pixels(before, names, content)
    renamed = RunFolder.open(after).predictions().names
    note_pixels(after, renamed, content[[names.index(name.removeprefix("pictures/")) for name in renamed]])
    assert compare(before_and_after).images == 21


def test_mostly_other_pictures_are_refused(before_and_after):
    after = before_and_after[1]
    path = layout.predictions(after, "validation", ".csv")
    found = Predictions.load(path)
    Predictions([f"x{name}" for name in found.names], found.labels, found.probabilities, found.classes).save(path)
    with pytest.raises(DataError, match="were not evaluated on the same images: 24 and 25, of which 0 are in both"):
        compare(before_and_after)
