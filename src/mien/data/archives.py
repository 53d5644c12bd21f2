"""zip and tar archives, read where they lie: nothing of them is unpacked to the disk under a name of theirs.

An archive is refused, naming the member, where a name leads out of it, where a member is a link, a device or a pipe, or
where it holds more than the limits below allow.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import IO, Any, NamedTuple, cast

from mien import media
from mien.cache import cache_folder
from mien.data.listing import file_stamp
from mien.errors import DataError, MienError
from mien.packed import PackedPath, packed
from mien.pictures import IMAGE_SUFFIXES, is_hidden

MEMBERS = 2_000_000
MEMBER_BYTES = 256 * 2**20  # of one that is read into memory; a table, which is read row by row, may have more
TOTAL_BYTES = 200 * 2**30  # of all members of a compressed archive, unpacked
RATIO, RATIO_FROM = 100, 64 * 2**20  # times its own size, once that many bytes come out: pictures shrink little
LONGEST, DEEPEST = 4096, 64  # characters and parts of a name: each folder on the way down keeps its own in memory
HEADER_BYTES = 2**20  # of one header of a tar archive, which is read into memory
PACKED_TARS = ("gzip", "bzip2", "xz")
# What is raised for an archive that is damaged, of an unknown kind, or has a password.
BROKEN = (EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, RuntimeError, ValueError, OSError)


class Member(NamedTuple):
    """A file in an archive. name: its parts joined by '/', none of them '..'. read: its bytes; raises DataError."""

    name: str
    size: int
    read: Callable[[], bytes]


def is_archive(path: Path) -> bool:
    """Whether a file is a zip archive or a tar archive, compressed or not. Raises OSError when it cannot be read."""
    kind = media.kind_of(path).name if path.is_file() else ""
    if kind not in PACKED_TARS:
        return kind in ("ZIP", "tar")
    try:
        with _Plain(path, kind).stream() as stream:
            return media.kind_of_bytes(stream.read(media.HEAD)) == media.TAR
    except BROKEN:
        return False


def has_pictures(path: Path) -> bool:
    """Whether a file is an archive with a picture in it, by the members' names. Raises as `members` does."""
    return is_archive(path) and any(each.name.lower().endswith(IMAGE_SUFFIXES) for each in members(path))


def members(path: Path) -> list[Member]:
    """The files in an archive, in its order; folders are none.

    Raises DataError naming the member that is refused, or when the archive is damaged or has a password.
    """
    return list(_members(path, file_stamp(path)))


def tree(path: Path) -> PackedPath:
    """The files of an archive as a folder; the outermost ones that hold nothing but a folder are left out.

    Raises as `members` does, and for a member that is there twice.
    """
    root = packed(str(path))
    for member in members(path):
        _grow(root, member, path)
    while len(inside := [each for each in root.iterdir() if not is_hidden(each.name)]) == 1:
        if not any(each.is_dir() for each in inside[0].iterdir()):
            break
        root = inside[0]
    return root


def _grow(root: PackedPath, member: Member, path: Path) -> None:
    folder = root
    *above, name = member.name.split("/")
    for part in above:
        assert folder.children is not None  # it is a folder
        folder = folder.children.setdefault(part, packed(f"{folder}/{part}"))
        if folder.children is None:
            raise _refused(path, member.name, "lies in a member that is a file")
    assert folder.children is not None
    if name in folder.children:
        raise _refused(path, member.name, "is there twice")
    folder.children[name] = packed(f"{folder}/{name}", member.read, member.size)


@lru_cache(maxsize=4)
def _members(path: Path, stamp: str) -> tuple[Member, ...]:  # stamp: an archive that changed is listed anew
    limits = _Limits(path)
    with _damage_told(path):
        found = tuple(_of_zip(path, limits) if media.kind_of(path).name == "ZIP" else _of_tar(path, limits))
    return found


class _Limits:
    """Counts what an archive holds, and refuses the member with which it is too much."""

    def __init__(self, path: Path) -> None:
        self.path, self.own, self.total, self.count = path, path.stat().st_size, 0, 0

    def add(self, name: str, size: int, *, compressed: bool) -> None:
        self.count += 1
        if self.count > MEMBERS:
            raise _refused(self.path, name, f"is one of more than {MEMBERS:,}, the most that mien reads")
        if name.lower().endswith(IMAGE_SUFFIXES):
            _refuse_large(self.path, name, size)
        if compressed:
            self.unpack(name, size)

    def unpack(self, name: str, size: int) -> None:
        """Count bytes that come out of a compressed archive."""
        self.total += size
        if self.total > TOTAL_BYTES:
            raise _refused(self.path, name, f"makes it unpack to over {TOTAL_BYTES // 2**30} GiB, the most allowed")
        if self.total > max(RATIO_FROM, RATIO * self.own):
            raise _refused(self.path, name, f"makes it unpack to more than {RATIO} times its size, the most allowed")


def _of_zip(path: Path, limits: _Limits) -> Iterator[Member]:
    archive = zipfile.ZipFile(path)  # closed with the last member that reads from it
    for info in archive.infolist():
        limits.add(info.filename, info.file_size, compressed=True)
        mode = stat.S_IFMT(info.external_attr >> 16)
        name = _safe_name(path, info.filename)
        if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _refused(path, info.filename, "is a link or a device")
        if info.flag_bits & 1:
            raise _refused(path, info.filename, "needs a password")
        if not info.is_dir() and name:
            yield Member(name, info.file_size, _reader(path, name, info.file_size, partial(archive.read, info)))


def _of_tar(path: Path, limits: _Limits) -> Iterator[Member]:
    kind = media.kind_of(path).name
    content = _Plain(path, kind)
    with content.stream() as stream, tarfile.open(fileobj=cast(Any, _Headers(stream, path)), mode="r:") as archive:
        for info in iter(archive.next, None):
            limits.add(info.name, info.size, compressed=kind != "tar")
            name = _safe_name(path, info.name)
            if not (info.isreg() or info.isdir()) or info.issparse():
                raise _refused(path, info.name, "is a link, a device or a sparse file")
            cast(Any, archive).members = []  # which it keeps otherwise, all of them
            if info.isreg() and name:
                start, size = info.offset_data, info.size
                yield Member(name, size, _reader(path, name, size, partial(content.read, start, size)))
        stream.seek(archive.offset)
        if stream.read(tarfile.BLOCKSIZE).strip(b"\0"):  # tarfile takes it for the end
            raise tarfile.ReadError("a header is damaged")
        while kind != "tar" and (rest := stream.read(2**20)):  # to its checksum, as `_Plain` unpacks all of it
            limits.unpack("(what follows the last one)", len(rest))


class _Headers:
    """The stream of a tar archive while it is listed: no header may be large, since each is read into memory."""

    def __init__(self, stream: IO[bytes], path: Path) -> None:
        self._stream, self._path = stream, path
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= HEADER_BYTES:
            raise DataError(f"{self._path} has a header of more than {HEADER_BYTES // 2**20} MiB, the most allowed.")
        return self._stream.read(size)


class _Plain:
    """A tar archive without its compression: itself or, on first use, a file in the cache that has no name."""

    def __init__(self, path: Path, kind: str) -> None:
        self._path, self._kind, self._lock = path, kind, Lock()
        self._file: IO[bytes] | None = None

    def stream(self) -> IO[bytes]:
        if self._kind == "tar":
            return self._path.open("rb")
        openers: dict[str, Any] = {"gzip": gzip.open, "bzip2": bz2.open, "xz": lzma.open}
        return cast(IO[bytes], openers[self._kind](self._path, "rb"))

    def read(self, start: int, size: int) -> bytes:
        with self._lock:
            if self._file is None:
                self._file = self.stream() if self._kind == "tar" else self._unpacked()
            self._file.seek(start)
            found = self._file.read(size)
        if len(found) < size:
            raise EOFError("it ends in the middle of a member")
        return found

    def _unpacked(self) -> IO[bytes]:
        place = cache_folder()
        try:
            place.mkdir(parents=True, exist_ok=True)
            file = tempfile.TemporaryFile(dir=place)  # noqa: SIM115  # the last member closes it
            with self.stream() as stream:
                shutil.copyfileobj(stream, file, 2**20)
        except OSError as error:
            raise MienError(
                f"{self._path} cannot be unpacked into {place}: {error.strerror or error}. Free some space, or choose "
                "another place with the environment variable MIEN_CACHE."
            ) from error
        return file


def _reader(path: Path, name: str, size: int, read: Callable[[], bytes]) -> Callable[[], bytes]:
    def checked() -> bytes:
        _refuse_large(path, name, size)
        try:
            return read()
        except BROKEN as error:
            raise DataError(f"{path}/{name} cannot be unpacked ({error}).") from error

    return checked


def _safe_name(path: Path, written: str) -> str:
    """A member's name with '/' between its parts; '' for the archive's own top folder. Refuses what leads out."""
    name = written.replace("\\", "/")
    if name.startswith("/") or re.match(r"[A-Za-z]:", name):
        raise _refused(path, written, "has an absolute name")
    parts = PurePosixPath(name).parts
    if ".." in parts:
        raise _refused(path, written, "leads out of the archive")
    if "\0" in name:
        raise _refused(path, written, "has a name with a NUL")
    if len(name) > LONGEST or len(parts) > DEEPEST:
        most = f"{LONGEST:,} characters or {DEEPEST} folders, the most allowed"
        raise _refused(path, written, f"has a name of more than {most}")
    return "/".join(parts)


def _refuse_large(path: Path, name: str, size: int) -> None:
    if size > MEMBER_BYTES:
        most = f"{MEMBER_BYTES // 2**20} MiB, the most that mien reads of one"
        raise _refused(path, name, f"has {size / 2**20:,.0f} MiB, more than {most}")


def _refused(path: Path, member: str, why: str) -> DataError:
    return DataError(f"{path}: the member '{member[:200]}' {why}. Nothing of the archive was read; make another one.")


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    try:
        yield
    except BROKEN as error:
        raise DataError(f"{path} cannot be unpacked ({error}). Take another copy, or unpack it.") from error
