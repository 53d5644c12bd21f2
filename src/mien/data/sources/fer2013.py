"""FER2013 in the forms people have it: folders as on Kaggle, fer2013.csv, icml_face_data.csv.

The classes keep the order of the original CSV whatever the form, so that runs can be compared.
"""

from __future__ import annotations

from pathlib import Path

from mien import labels
from mien.data import pixel_table
from mien.data.listing import Listing, existing
from mien.data.sources import folder


def read(path: Path | None) -> Listing:
    """List FER2013 from a folder (train/test or train/validation/test) or from one of its CSV files.

    Raises MissingError when nothing is there, DataError when a class is not one of the seven.
    """
    root = existing(path, "FER2013")
    if root.is_file():
        return pixel_table.read(root, labels.FER2013)
    folders = folder.split_folders(root)
    names = folder.class_names(folders)
    order = labels.match(names, labels.FER2013)
    listing = folder.list_classes(folders, names, root)
    return Listing(
        classes=labels.FER2013,
        names=listing.names,
        labels=[order[label] for label in listing.labels],
        splits=listing.splits,
        read=listing.read,
        signature=listing.signature,
    )
