"""Whom do the shipped networks fail? FER2013's validation images by their brightness, contrast and copies in train.

python benchmarks/subgroups.py FER2013     prints the subgroups and writes results/subgroups.json

FER2013 says nothing of age, sex or skin colour. What can be read off its pixels is written as a table, a row an image:
brightness (the mean pixel, 0..255), contrast (the standard deviation of the pixels), and whether the training images
hold an identical or a near copy. `--by` with that table then does the rest, as with any column of anybody's.
"""

from __future__ import annotations

import csv
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

import mien
from mien.config import Data
from mien.data import Store, open_store
from mien.data.near import near_copies
from mien.evaluate.clean import equals_none, is_clean
from mien.evaluate.subgroups import describe_subgroups
from mien.runs.records import to_dict

RESULT = Path(__file__).parents[1] / "results" / "subgroups.json"
COLUMNS = ("brightness", "contrast", "copy_in_train")


def write_table(store: Store, path: Path) -> None:
    """A row for each validation image: its name and the columns."""
    indices = store.indices("validation")
    pixels = np.asarray(store.images[indices]).reshape(len(indices), -1)  # (n, 1, 48, 48) -> (n, 48 * 48)
    unequal, clean = equals_none(store, "validation"), is_clean(store, "validation")
    copies = np.where(clean, "none", np.where(unequal, "near", "identical"))
    columns = (pixels.mean(axis=1).round(1), pixels.std(axis=1).round(1), copies)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", *COLUMNS])
        writer.writerows(zip((store.names[i] for i in indices), *columns, strict=True))


def main(fer2013: Path) -> None:
    store = open_store(Data(source="fer2013", path=fer2013))
    near_copies(store)
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "faces.csv"
        write_table(store, table)
        rows = []
        for name in ("mien:base", "mien:tiny"):
            for column in COLUMNS:
                data = {"source": "fer2013", "path": fer2013}
                found = mien.evaluate(name, data=data, by=column, table=table).subgroups
                assert found is not None
                print(name, *describe_subgroups(found), sep="\n")
                rows.append({"model": name, **to_dict(found)})
    values = {"mien": mien.__version__, "split": "validation", "images": len(store.indices("validation")), "rows": rows}
    RESULT.write_text(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
