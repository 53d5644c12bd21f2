"""Small pictures as files, as a Parquet table and as a tar archive, for the tests of what a job reads."""

import io
import tarfile

import numpy as np
import pyarrow
from PIL import Image
from pyarrow import parquet


def faces(number, seed=0):
    """PNG files of as many different grey pictures."""
    made = []
    for array in np.random.default_rng(seed).integers(0, 256, (number, 24, 24), np.uint8):
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, "PNG")
        made.append(buffer.getvalue())
    return made


def write_table(path, contents, rows=4):
    pictures = [{"bytes": content, "path": None} for content in contents]
    parquet.write_table(
        pyarrow.table({"label": list(range(len(contents))), "image": pictures}), path, row_group_size=rows
    )


def write_tar(path, contents):
    with tarfile.open(path, "w") as archive:
        for number, content in enumerate(contents):
            for name, body in ((f"{number:03}.png", content), (f"{number:03}.cls", b"1"), (f".{number}.png", b"")):
                member = tarfile.TarInfo(name)
                member.size = len(body)
                archive.addfile(member, io.BytesIO(body))
