"""Write the table of FER2013 without the training images that show a photograph of validation again.

python benchmarks/fer2013_without_copies.py FER2013 COPIES.csv     -> FER2013/without-copies.csv
mien run RECIPE --data.source table --data.path FER2013/without-copies.csv
python benchmarks/fer2013_without_copies.py FER2013 COPIES.csv --score RUN [RUN …]

FER2013 is the folder with train/ and validation/; COPIES.csv has the columns train and validation, each a file as
CLASS/NAME, one row for each training and validation image that are one photograph. --score says for runs how many of
all validation images are right, and of those that no training image is a copy of.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from mien.data.sources import fer2013
from mien.intervals import wilson
from mien.runs import RunFolder

TABLE = "without-copies.csv"


def copies(path: Path) -> tuple[set[str], set[str]]:
    """Training images that are copies, and the validation images that they are copies of, as CLASS/NAME."""
    with path.open(newline="") as file:
        pairs = list(csv.DictReader(file))
    return {pair["train"] for pair in pairs}, {pair["validation"] for pair in pairs}


def write_table(root: Path, without: set[str]) -> int:
    """Write path, label and split of all images but those of train in `without`; returns how many were left out."""
    listing = fer2013.read(root)
    left_out = {f"train/{name}" for name in without}
    missing = left_out - set(listing.names)
    if missing:
        raise SystemExit(f"{len(missing)} of the copies are not in {root}, such as {min(missing)}.")
    with (root / TABLE).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "split"])
        for name, label, split in zip(listing.names, listing.labels, listing.splits, strict=True):
            if name not in left_out:
                writer.writerow([name, listing.classes[label], split])
    return len(left_out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("copies", type=Path)
    parser.add_argument("--score", nargs="+", type=Path, default=[])
    options = parser.parse_args()
    of_train, of_validation = copies(options.copies)
    if not options.score:
        print(f"{write_table(options.root, of_train):,} training images left out -> {options.root / TABLE}")
    for run in options.score:
        found = RunFolder.open(run).predictions("validation")
        clean = np.array([name.partition("/")[2] not in of_validation for name in found.names])
        said = []
        for right in (found.correct, found.correct[clean]):
            low, high = wilson(int(right.sum()), len(right))
            said.append(f"{right.mean():.1%} ({100 * low:.1f} to {100 * high:.1f}) of {len(right):,}")
        print(f"{run}: {said[0]}, without copies {said[1]}")


if __name__ == "__main__":
    main()
