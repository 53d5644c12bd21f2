"""Where sources and answers lie: on this machine or an object store, whose passing faults are waited out."""

from __future__ import annotations

import errno
import io
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import pyarrow
from pyarrow import fs

from mien.addresses import shown
from mien.errors import MienError, MissingError, UsageError
from mien.pictures import is_hidden, is_readable

Answer = TypeVar("Answer")

BUFFER = 1 << 20  # bytes that are read at a time
WAITS = (1.0, 4.0, 16.0)  # seconds before a store that failed is asked again
OWN_FAULTS = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)  # a file's, not its store's
# What a drive or a network says of itself, whatever file was asked for.
PASSING = {
    getattr(errno, name)
    for name in (
        *("EIO", "ESTALE", "EREMOTEIO", "ETIMEDOUT", "EAGAIN", "ENOTCONN", "ESHUTDOWN", "EHOSTDOWN", "EHOSTUNREACH"),
        *("ENETDOWN", "ENETUNREACH", "ENETRESET", "ECONNRESET", "ECONNABORTED", "ECONNREFUSED"),
    )
    if hasattr(errno, name)
}


class Place:
    """A file or folder: a path of this machine, or the address of an object store as pyarrow knows it (s3://, gs://).

    text: the address without keys and options, as messages and tables have it. Raises UsageError for an address that
    pyarrow cannot read.
    """

    def __init__(self, address: str) -> None:
        self.local = "://" not in address
        self.text = shown(address)
        self.system, self.path = (fs.LocalFileSystem(), address) if self.local else _opened(address, self.text)
        self._before = "" if self.local else _before(unquote(self.text).rstrip("/"), self.path.rstrip("/"))

    def name(self, path: str) -> str:
        """How a file of this file system is called in tables, as `at` takes it back."""
        return self._before + path

    def at(self, name: str) -> str:
        """The path in this file system of what `name` has named."""
        return name.removeprefix(self._before)

    def below(self, name: str) -> str:
        """The path of a file in this folder."""
        return f"{self.path.rstrip('/')}/{name}"

    def info(self, name: str = "") -> fs.FileInfo:
        """What is here, or at a name below. Raises MienError where the store does not say."""
        path = self.below(name) if name else self.path
        return steadily(self.text, lambda: self.system.get_file_info(path))

    def files(self) -> list[str]:
        """Paths of all files here that are not hidden, sorted. Raises MissingError where nothing is."""
        info = self.info()
        if info.type == fs.FileType.NotFound:
            raise MissingError(f"{self.text}: there is no such file or folder.")
        if info.type == fs.FileType.File:
            return [self.path]
        base = len(self.path)
        below = fs.FileSelector(self.path, recursive=True)
        found = steadily(self.text, lambda: self.system.get_file_info(below))
        return sorted(
            each.path
            for each in found
            if each.type == fs.FileType.File and not any(map(is_hidden, each.path[base:].strip("/").split("/")))
        )

    def names(self, folder: str) -> list[str]:
        """Names of the files of a folder below that are there whole; drafts are hidden."""
        where = fs.FileSelector(self.below(folder), allow_not_found=True)
        found = steadily(self.text, lambda: self.system.get_file_info(where))
        return [info.base_name for info in found if not info.base_name.startswith(".")]

    def open(self, name: str) -> io.BufferedReader:
        """A file that `name` has named, for reading. Raises MienError where the store fails, OWN_FAULTS for its own."""
        return io.BufferedReader(StoredFile(self, name), BUFFER)

    def reads(self, name: str) -> bool:
        """Whether a byte of a file that `name` has named can be read, at the first try."""
        if self.local:
            return is_readable(Path(name))
        try:
            with closing(self.system.open_input_file(self.at(name))) as file:
                file.read_at(1, 0)
        except OSError:
            return False
        return True


class StoredFile(io.RawIOBase):
    """The bytes of a file. What the store fails to give is asked for again, so that what is wrong with them is theirs.

    Raises MienError where it goes on failing, OWN_FAULTS where there is no such file, say.
    """

    def __init__(self, place: Place, name: str) -> None:
        self._place, self._name, self._file = place, name, None
        self.size: int = steadily(name, lambda: self._opened().size())
        self._position = 0

    def _opened(self) -> Any:
        if self._file is None:
            self._file = self._place.system.open_input_file(self._place.at(self._name))
        return self._file

    def _read(self, number: int) -> bytes:
        try:
            return bytes(self._opened().read_at(number, self._position))
        except OSError:
            self._file = None  # its connection may be what failed
            raise

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), max(0, self.size - self._position))
        content = steadily(self._name, lambda: self._read(wanted)) if wanted else b""
        buffer[: len(content)] = content
        self._position += len(content)
        return len(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        return self._position

    def tell(self) -> int:
        return self._position

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


class ReachError(MienError):
    """A store, a drive or a network goes on failing."""


def steadily(name: str, action: Callable[[], Answer]) -> Answer:
    """What `action` returns, which asks the store for `name`; asked again after each of WAITS where the store fails.

    Raises ReachError where it goes on failing, and OWN_FAULTS at once.
    """
    for wait in (*WAITS, None):
        try:
            return action()
        except OWN_FAULTS:
            raise
        except OSError as error:  # pyarrow's for whatever a store says
            if wait is None:
                why = error.strerror or str(error).partition("\n")[0].rstrip(".")
                raise ReachError(f"{name} could not be reached, {len(WAITS) + 1} times in a row ({why}).") from error
            time.sleep(wait)
    raise AssertionError


def _before(address: str, path: str) -> str:
    """What stands before a path in its address; of Azure's, which name the container otherwise, the scheme."""
    return address.removesuffix(path) if address.endswith(path) else f"{address.partition('://')[0]}://"


def _opened(address: str, text: str) -> tuple[Any, str]:
    """The file system of an address and the path in it. text: what is said of it, as pyarrow's words may hold a key."""
    try:
        return fs.FileSystem.from_uri(address)
    except (pyarrow.ArrowInvalid, ValueError) as error:
        why = "" if address in str(error) else f": {error}"
        raise UsageError(f"{text} is no address that pyarrow reads{why}. Give s3://BUCKET/FOLDER, say.") from None
    except OSError as error:  # S3 asks where the bucket lies
        raise MissingError(f"{text} cannot be reached ({str(error).partition(chr(10))[0].rstrip('.')}).") from error
