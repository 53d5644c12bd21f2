"""Pictures that cannot be read among others, and tables that are continued."""

import io

import numpy as np
from PIL import Image

from mien.cli import main
from mien.runtime.reader import opened


def torn_animation() -> bytes:
    """A GIF whose first frame is whole and whose second one ends in its header."""
    whole, frames = io.BytesIO(), [Image.new("L", (40, 40), grey) for grey in (9, 200)]
    frames[0].save(whole, "GIF", save_all=True, append_images=frames[1:])
    content = whole.getvalue()
    return content[: content.rindex(b"!\xf9\x04") + 20]


def test_a_torn_animation_is_told_and_the_others_are_read(tmp_path, capsys):
    (tmp_path / "a.gif").write_bytes(torn_animation())
    Image.new("L", (48, 48), 90).save(tmp_path / "b.png")
    assert main(["predict", str(tmp_path), "--model", "mien:tiny", "--no-detect"]) == 4
    out, err = capsys.readouterr()
    assert "b.png" in out
    assert "1 of 2 pictures could not be read; the first" in err
    assert "a.gif cannot be read as an image" in err


def test_a_picture_in_cie_lab_is_read_in_its_colours(tmp_path, capsys):
    colours = np.random.default_rng(0).integers(0, 256, (48, 48, 3), dtype=np.uint8)
    Image.fromarray(colours).convert("LAB").save(tmp_path / "lab.tif")
    assert main(["predict", str(tmp_path), "--model", "mien:tiny", "--no-detect"]) == 0
    assert "lab.tif" in capsys.readouterr().out
    assert opened(tmp_path / "lab.tif").mode == "RGB"
