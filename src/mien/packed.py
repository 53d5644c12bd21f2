"""Paths inside an archive, which can be listed and read as those of a disk. What reads archives makes them."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    _Path = Path
else:
    _Path = type(Path())  # before Python 3.12 Path itself cannot be subclassed


class PackedPath(_Path):
    """A member of an archive, or a folder in it: 'pets.tar/cat/1.jpg'. Nothing of it lies on the disk.

    It stands for an os.DirEntry too. Only what `packed` makes can be listed and read; paths derived from it are names.
    """

    children: dict[str, PackedPath] | None = None  # of a folder
    content: Callable[[], bytes]
    size = 0

    @property
    def path(self) -> str:
        """The whole path, as an os.DirEntry gives it."""
        return str(self)

    def is_dir(self, **_: Any) -> bool:
        return self.children is not None

    def is_file(self, **_: Any) -> bool:
        return self.children is None

    def is_symlink(self) -> bool:
        return False  # archives with links are refused

    def stat(self, **_: Any) -> os.stat_result:
        kind = stat.S_IFREG if self.children is None else stat.S_IFDIR
        return os.stat_result((kind | 0o400, id(self), 0, 1, 0, 0, self.size, 0, 0, 0))

    def iterdir(self) -> Iterator[PackedPath]:  # type: ignore[override]  # Path's own type varies with the version
        return iter((self.children or {}).values())

    def open(self, *_: Any, **__: Any) -> IO[Any]:  # type: ignore[override]  # bytes, whatever the mode
        return io.BytesIO(self.content())


def packed(path: str, content: Callable[[], bytes] | None = None, size: int = 0) -> PackedPath:
    """A member with its content and size in bytes or, without content, an empty folder."""
    made = PackedPath(path)
    if content is None:
        made.children = {}
    else:
        made.content, made.size = content, size
    return made


@contextmanager
def scan(folder: Path) -> Iterator[Iterator[os.DirEntry[str] | PackedPath]]:
    """The entries of a folder on the disk or in an archive, in no order. Raises OSError when it cannot be listed."""
    if isinstance(folder, PackedPath):
        yield folder.iterdir()
    else:
        with os.scandir(folder) as found:
            yield found


def path_of(entry: os.DirEntry[str] | Path) -> Path:
    """The path of an entry that `scan` gave."""
    return entry if isinstance(entry, Path) else Path(entry.path)
