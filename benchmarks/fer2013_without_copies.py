"""Publish which images of FER2013 are one photograph, and score networks on the validation images without copies.

python benchmarks/fer2013_without_copies.py FER2013                    -> results/fer2013_copies.csv
python benchmarks/fer2013_without_copies.py FER2013 --list COPIES.csv  how another list differs
python benchmarks/fer2013_without_copies.py FER2013 --score NAME [NAME …]   -> results/fer2013_clean.json

FER2013 is the folder with train/ and validation/. results/fer2013_copies.csv has a row for each image of a photograph
that is there more than once: the photograph's number, split, label, and the hash of the image's pixels (BLAKE2b of 16
bytes over the 48 x 48 grey values, row by row). COPIES.csv has the columns train, validation and kind (identical or
near), each image a file as CLASS/NAME. NAME is a run or an export (mien:base). To train without the copies:

mien run RECIPE --data.drop_leaks near
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from mien.atomic import read_json, write_json
from mien.config import Data
from mien.data import open_store, prepare
from mien.data.listing import SPLITS
from mien.data.near import NearCopies, near_copies
from mien.data.near.findings import disagreement, near_only
from mien.data.store import Store
from mien.runs import Predictions, RunFolder
from mien.runs.records import to_dict
from mien.runtime.network import Network

RESULTS = Path(__file__).parent.parent / "results"
COPIES, SCORES = RESULTS / "fer2013_copies.csv", RESULTS / "fer2013_clean.json"


def publish(store: Store, near: NearCopies) -> int:
    """Write the images of every photograph that is there more than once; returns how many photographs there are."""
    groups, counts = np.unique(near.group, return_counts=True)
    several = groups[counts > 1]
    with COPIES.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["photograph", "split", "label", "pixels"])
        for number, group in enumerate(several):
            for i in np.flatnonzero(near.group == group):
                split, label = SPLITS[store.splits[i]], store.classes[store.labels[i]]
                writer.writerow([number, split, label, store.digests[i].tobytes().hex()])
    return len(several)


def compared(store: Store, near: NearCopies, path: Path) -> str:
    """Validation images with a near copy in train and no identical one: how many both lists have, and each alone."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    listed = {row["validation"] for row in rows} - {row["validation"] for row in rows if row["kind"] == "identical"}
    validation = store.indices("validation")
    own = validation[near_only(near, validation, store.indices("train"))]
    found = {store.names[i].partition("/")[2] for i in own}
    return (
        f"{len(found & listed)} in both, {len(found - listed)} here alone, {len(listed - found)} in {path.name} alone"
    )


def scored(store: Store, found: Predictions) -> dict[str, object]:
    """The accuracy on all validation images, on those with an identical copy, a near one, and none.

    As `mien evaluate` counts: images that recipes leave out of train, such as blank ones, count too.
    """
    from mien.evaluate.clean import equals_none, is_clean
    from mien.evaluate.metrics import accuracy

    place = {store.names[i]: number for number, i in enumerate(store.indices("validation"))}
    order = [place[name] for name in found.names]
    clean, unequal = is_clean(store, "validation")[order], equals_none(store, "validation")[order]
    kinds = {
        "all": np.ones(len(order), bool),
        "identical copy in train": ~unequal,
        "near copy in train": unequal & ~clean,
        "without identical": unequal,
        "clean": clean,
    }
    return {kind: to_dict(accuracy(found.correct[chosen])) for kind, chosen in kinds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path)
    parser.add_argument("--list", type=Path)
    parser.add_argument("--score", nargs="+", default=[])
    options = parser.parse_args()
    data = Data(source="fer2013", path=options.root)
    store = prepare(data)
    near = near_copies(store)
    if options.list:
        print(compared(store, near, options.list))
    if not options.list and not options.score:
        print(f"{publish(store, near):,} photographs are there more than once -> {COPIES.name}")
        print(disagreement(store, near))
    known = read_json(SCORES, {}, "run this again")
    for name in options.score:
        from mien.evaluate.exported import predict_export

        exported = name.startswith("mien:") or name.endswith(".onnx")
        found = predict_export(Network.open(name), data) if exported else RunFolder.open(name).predictions("validation")
        known[name] = scored(open_store(data), found)
        write_json(SCORES, known)
        for kind, score in known[name].items():
            low, high = score["interval"]
            print(f"{name:<12}{kind:<26}{score['accuracy']:.1%} ({low:.1%} to {high:.1%}) of {score['images']:,}")


if __name__ == "__main__":
    main()
