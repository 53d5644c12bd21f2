"""FER2013 in the forms people have it: folders as on Kaggle, fer2013.csv, icml_face_data.csv, train.csv.

The classes keep the order of the original CSV whatever the form, so that runs can be compared.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mien import labels
from mien.data import archives, pixel_table
from mien.data.listing import Listing, existing
from mien.data.sources import folder


def read(path: Path | None, encoding: str | None = None) -> Listing:
    """List FER2013 from a folder (train/test or train/validation/test) or from one of its tables.

    Raises MissingError when nothing is there, DataError when a class is not one of the seven.
    """
    root = existing(path, "FER2013")
    if root.is_file() and not archives.has_pictures(root):
        return pixel_table.read(root, labels.FER2013, encoding)
    listing = folder.read(root)
    order = labels.match(listing.classes, labels.FER2013)
    return replace(listing, classes=labels.FER2013, labels=[order[label] for label in listing.labels])
