"""Many picture files: found, decoded ahead in the background, and read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from PIL import Image

from mien.errors import DataError, MissingError
from mien.pictures import IMAGE_SUFFIXES, image_files
from mien.progress import track
from mien.runtime.reader import Face, Reader, opened

AT_ONCE = 32  # pictures whose faces share the network's batches
AHEAD = 4  # pictures that are decoded before they are asked for: as many as memory must hold


def pictures(source: Path) -> list[Path]:
    """The picture itself, or all pictures below a folder, sorted.

    Raises MissingError when there is no such file or folder, DataError for a folder without pictures.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise MissingError(f"{source}: there is no such file or folder.")
    found = [Path(entry.path) for entry in image_files(source)]
    if not found:
        raise DataError(f"{source} holds no pictures ({', '.join(IMAGE_SUFFIXES)}).")
    return found


def read_all(
    reader: Reader, paths: Sequence[Path], *, detect: bool = True, bad: dict[Path, str] | None = None
) -> Iterator[tuple[Path, list[Face]]]:
    """Faces of each picture, in order. One that cannot be read is put into `bad` and left out.

    Files are decoded by a few threads, AHEAD of where the faces are cut out, so that memory does not grow.
    """
    problems = {} if bad is None else bad
    with ThreadPoolExecutor(AHEAD) as pool:
        decoded = _ahead(pool, paths)
        if len(paths) > 1:
            decoded = track(decoded, "reading", len(paths))
        for _ in range(0, len(paths), AT_ONCE):
            good: list[Path] = []
            group = _readable(islice(decoded, AT_ONCE), good, problems)
            faces = list(reader.read_each(group, detect=detect))
            yield from zip(good, faces, strict=True)


def _readable(
    decoded: Iterator[tuple[Path, Image.Image | str]], good: list[Path], bad: dict[Path, str]
) -> Iterator[Image.Image]:
    """The pictures that could be decoded; their paths are put into `good`, what is wrong with others into `bad`."""
    for path, picture in decoded:
        if isinstance(picture, str):
            bad[path] = picture
        else:
            good.append(path)
            yield picture


def _ahead(pool: ThreadPoolExecutor, paths: Sequence[Path]) -> Iterator[tuple[Path, Image.Image | str]]:
    """Each path with its picture, or with what is wrong with it."""
    waiting: deque[tuple[Path, Future[Image.Image | str]]] = deque()
    for path in paths:
        waiting.append((path, pool.submit(_decoded, path)))
        if len(waiting) == AHEAD:
            first, future = waiting.popleft()
            yield first, future.result()
    for path, future in waiting:
        yield path, future.result()


def _decoded(path: Path) -> Image.Image | str:
    try:
        return opened(path)
    except DataError as error:
        return str(error)
