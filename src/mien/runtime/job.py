"""A folder of pictures or a film, read from its beginning to its end: into a table, into drawings, or as answers.

Reader.read_folder and Reader.read_video lead here.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mien import media
from mien.errors import DataError, MienError, MissingError, UsageError
from mien.pictures import gone, image_files, is_gone, is_readable, odd_kind
from mien.progress import note, track
from mien.runtime.film.camera import is_camera
from mien.runtime.film.video import Moment, Tracked, is_video, moments
from mien.runtime.reader import Face, Reader, opened

if TYPE_CHECKING:  # what one answer on the screen does without is imported when it is needed
    from PIL import Image

    from mien.runtime.film.drawings import Drawings
    from mien.runtime.table import Table

Name = TypeVar("Name", Path, str)  # of a picture

AT_ONCE = 32  # pictures whose faces share the network's batches
AHEAD = 4  # pictures that are decoded before they are asked for: as many as memory must hold


@dataclass
class FolderResult:
    """What became of a folder of pictures.

    faces: the faces of each picture; empty where a table or `each` took them. pictures, found, unsure: how many
    pictures were read, faces found in them, and unsure answers among these. held: pictures that the table had already,
    which were not read again. bad: what is wrong with each picture that could not be read, and folder that could not
    be listed.
    """

    faces: dict[Path, list[Face]] = field(default_factory=dict)
    pictures: int = 0
    found: int = 0
    unsure: int = 0
    held: int = 0
    bad: dict[Path, str] = field(default_factory=dict)


@dataclass
class FilmResult:
    """What became of a film or a camera's picture.

    faces: {seconds from the start: the faces of that frame}; empty where a table or `each` took them. frames: how many
    were read. held: up to which second the table had the film already, None where it had nothing of it.
    """

    faces: dict[float, list[Tracked]] = field(default_factory=dict)
    frames: int = 0
    held: float | None = None


def read_folder(
    reader: Reader,
    source: str | Path | Sequence[str | Path],
    *,
    out: str | Path | None = None,
    draw: str | Path | None = None,
    detect: bool | None = None,
    each: Callable[[Path, list[Face]], None] | None = None,
) -> FolderResult:
    """Read all pictures below a folder, or several; see Reader.read_folder."""
    result = FolderResult()
    with _table(out, reader) as table:
        if isinstance(source, str | Path):
            paths, below = pictures(Path(source), result.bad), Path(source)
        else:
            paths, below = _of_several([Path(each) for each in source], result.bad)
        new = [path for path in paths if table is None or table.reached(path) is None]
        result.held = len(paths) - len(new)
        take = each or (result.faces.__setitem__ if table is None else _nothing)
        for path, faces in read_all(reader, new, detect=detect, bad=result.bad, source=paths):
            result.pictures += 1
            result.found += len(faces)
            result.unsure += sum(not face.sure for face in faces)
            if table:
                table.add(path, faces)
            if draw:
                from mien.runtime.draw import save_drawing

                save_drawing(path, faces, Path(draw), below)
            take(path, faces)
    return result


def read_video(
    reader: Reader,
    source: str | Path,
    *,
    every: float = 0.2,
    out: str | Path | None = None,
    draw: str | Path | None = None,
    detect: bool | None = None,
    each: Callable[[Moment], None] | None = None,
) -> FilmResult:
    """Read a film or a camera's picture; see Reader.read_video."""
    result = FilmResult()
    with _table(out, reader) as table:
        camera = is_camera(source)  # which shows something new each time
        result.held = table.reached(source) if table and not camera else None
        name = str(source).replace(":", "-") if camera else Path(source).stem
        if result.held is not None:
            name += f"-after-{result.held:.2f}s"  # beside the drawings of what was read before
        with _drawings(draw, name) as drawings:
            for moment in moments(reader, source, every, detect=detect, after=result.held):
                result.frames += 1
                if drawings:
                    drawings.add(moment)
                if table:
                    table.add(source, [tracked.face for tracked in moment.faces], moment.seconds)
                if each:
                    each(moment)
                elif table is None:
                    result.faces[moment.seconds] = moment.faces
    return result


def _of_several(sources: Sequence[Path], bad: dict[Path, str]) -> tuple[list[Path], Path]:
    """The pictures of several sources, each once, and the folder that holds them all.

    A source that is not there goes into `bad`. Raises the error of the first where none can be read.
    """
    found: dict[Path, None] = {}
    first: MienError | None = None
    for source in sources:
        try:
            found |= dict.fromkeys(pictures(source, bad))
        except MienError as error:
            first = first or error
            bad[source] = str(error)
    if not found:
        raise first or UsageError("Give pictures or folders of them: the list is empty.")
    return list(found), Path(os.path.commonpath([os.path.abspath(path.parent) for path in found]))


def _table(out: str | Path | None, reader: Reader) -> AbstractContextManager[Table | None]:
    """The table to write, if any; closed at the end whatever happens, so that what has been read is kept."""
    if not out:
        return nullcontext()
    from mien.runtime.table import open_table

    return closing(open_table(Path(out), reader.names))


def _drawings(folder: str | Path | None, name: str) -> AbstractContextManager[Drawings | None]:
    """What draws a film, if it is asked for; closed at the end too."""
    if not folder:
        return nullcontext()
    from mien.runtime.film.drawings import Drawings

    return closing(Drawings(Path(folder), name))


def _nothing(path: Path, faces: list[Face]) -> None:
    """The table has them."""


def pictures(source: Path, closed: dict[Path, str] | None = None) -> list[Path]:
    """The picture itself, or all pictures below a folder, sorted.

    closed: where folders go that cannot be listed, with the reason; without it the first of them raises DataError.
    Raises MissingError when there is no such file or folder, DataError for a folder without pictures.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        if source.exists():
            raise MissingError(f"{source} is {odd_kind(source)}; a file or a folder is needed.")
        raise MissingError(f"{source}: there is no such file or folder.")
    others: list[Path] = []
    found = [Path(entry.path) for entry in image_files(source, closed, others)]
    told = media.told(media.counted(others))
    if not found:
        if closed:
            raise DataError(next(iter(closed.values())))
        raise DataError(f"{source} holds no pictures{f' (but {told})' if told else ''}.")
    if told:
        films = any(is_video(path) for path in others)
        note(f"{source}: left out are {told}.{' Films are read one by one: give each by its name.' if films else ''}")
    return found


def read_all(
    reader: Reader,
    paths: Sequence[Path],
    *,
    detect: bool | None = None,
    bad: dict[Path, str] | None = None,
    source: Sequence[Path] = (),
) -> Iterator[tuple[Path, list[Face]]]:
    """Faces of each picture, in order. One that cannot be read is put into `bad` and left out.

    source: all pictures of which these are the rest; see `decoded`.

    Files are decoded by a few threads, AHEAD of where the faces are cut out, so that memory does not grow.
    """
    problems = {} if bad is None else bad
    found = _ahead(paths, source or paths)
    if len(paths) > 1:
        found = track(found, "reading", len(paths))
    yield from read_decoded(reader, iter(found), detect, problems)


def read_decoded(
    reader: Reader, stream: Iterator[tuple[Name, Image.Image | str]], detect: bool | None, bad: dict[Name, str]
) -> Iterator[tuple[Name, list[Face]]]:
    """Faces of each picture, in order, AT_ONCE of them sharing the network's batches.

    stream: names, each with its picture, or with what is wrong with it, which goes into `bad`. Pictures are taken one
    by one, and each is let go once its faces are cut out.
    """
    ended = False

    def readable(good: list[Name]) -> Iterator[Image.Image]:
        nonlocal ended
        for _ in range(AT_ONCE):
            name, picture = next(stream, (None, None))
            if name is None or picture is None:
                ended = True
                return
            if isinstance(picture, str):
                bad[name] = picture
            else:
                good.append(name)
                yield picture

    while not ended:
        good: list[Name] = []
        faces = list(reader.read_each(readable(good), detect=detect))
        yield from zip(good, faces, strict=True)


def _ahead(paths: Sequence[Path], source: Sequence[Path]) -> Iterator[tuple[Path, Image.Image | str]]:
    """Each path with its picture, or with what is wrong with it."""
    if len(paths) == 1:
        yield paths[0], decoded(paths[0], source)
        return
    from concurrent.futures import Future, ThreadPoolExecutor

    waiting: deque[tuple[Path, Future[Image.Image | str]]] = deque()
    with ThreadPoolExecutor(AHEAD) as pool:
        for path in paths:
            waiting.append((path, pool.submit(decoded, path, source)))
            if len(waiting) == AHEAD:
                first, future = waiting.popleft()
                yield first, future.result()
        for path, future in waiting:
            yield path, future.result()


def decoded(picture: Path, source: Sequence[Path] = ()) -> Image.Image | str:
    """The picture of a file, or what is wrong with it.

    source: all pictures that are read. Raises MienError where none of the others can be opened either: that says
    nothing about them, and all would be named as damaged.
    """
    try:
        return opened(picture)
    except DataError as error:
        fault = fault_of(error)
        if fault and len(source) > 1 and is_gone(source, picture, is_readable):
            raise gone(picture, fault) from error
        return str(error)


def fault_of(error: DataError) -> OSError | None:
    """What the system said, where it gave nothing of a picture; None where the content is at fault."""
    cause = error.__cause__
    return cause if isinstance(cause, OSError) and cause.errno is not None else None
