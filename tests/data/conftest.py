"""Pictures that the tests draw themselves."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien.data.listing import Listing


def draw(seed: int, size: tuple[int, int] = (13, 13), mode: str = "L") -> Image.Image:
    """A picture of noise; the same seed gives the same picture."""
    shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


@pytest.fixture
def write_picture():
    def write(path: Path, seed: int = 0, size: tuple[int, int] = (13, 13), mode: str = "L") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        draw(seed, size, mode).save(path)
        return path

    return write


@pytest.fixture
def write_folder(tmp_path, write_picture):
    """write_folder({'train/cat': 3, ...}) writes so many PNGs into each folder, every picture another one."""

    def write(counts: dict[str, int], root: str = "pictures") -> Path:
        seed = 0
        for folder, count in counts.items():
            (tmp_path / root / folder).mkdir(parents=True)
            for number in range(count):
                write_picture(tmp_path / root / folder / f"{number}.png", seed)
                seed += 1
        return tmp_path / root

    return write


@pytest.fixture(scope="session")
def make_listing():
    """make_listing(['train', ...], labels) lists noise; `read` may be given to fail."""

    def make(splits: list[str], labels: list[int], read=draw, **more) -> Listing:
        return Listing(
            classes=("cat", "dog"),
            names=[f"{i}.png" for i in range(len(labels))],
            labels=labels,
            splits=splits,
            read=read,
            signature="made up",
            **more,
        )

    return make


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache for stores."""
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"
