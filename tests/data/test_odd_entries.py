"""What stands in folders of pictures and is none: circles of links, pipes, sockets, names with newlines."""

import errno
import os
import socket
import subprocess
import sys

import pytest

from mien import media
from mien.config import Data
from mien.data import guess_source, prepare
from mien.data import store_folder as folders
from mien.data.layouts import advice_on_classes
from mien.data.listing import existing, file_stamp
from mien.data.sources.folder import read
from mien.errors import DataError, MienError, MissingError
from mien.pictures import image_files, open_image
from mien.runtime.job import pictures

pytestmark = pytest.mark.skipif(os.name == "nt", reason="has neither pipes nor links for everybody")


@pytest.fixture
def photos(write_folder, cache):
    return write_folder({"cat": 3, "dog": 3})


def names(folder, **more) -> list[str]:
    return [entry.name for entry in image_files(folder, **more)]


def test_links_that_lead_in_circles_are_left_out_with_a_word(photos, capsys):
    (photos / "itself").symlink_to("itself")
    (photos / "cat" / "up").symlink_to("..")
    (photos / "cat" / "deep").mkdir()
    (photos / "cat" / "deep" / "again").symlink_to(photos / "cat")
    before = [f"{number}.png" for number in range(3)]
    assert names(photos) == before * 2
    assert [path.name for path in pictures(photos)] == before * 2
    told = capsys.readouterr().err.replace("\n", "")
    assert told.count("leads back to a folder that it lies in, and is left out.") == 2, "each once"


def test_a_circle_of_links_is_no_class(photos, capsys):
    (photos / "everything").symlink_to(".")
    (photos / "nothing").symlink_to("nothing")
    assert read(photos).classes == ("cat", "dog")
    assert "everything leads back to a folder that it lies in" in capsys.readouterr().err.replace("\n", "")


def test_a_link_to_another_folder_is_followed(photos, tmp_path, write_picture):
    write_picture(tmp_path / "elsewhere" / "9.png")
    (photos / "dog" / "more").symlink_to(tmp_path / "elsewhere")
    (photos / "fox").symlink_to(tmp_path / "elsewhere")
    assert read(photos).names[-2:] == ["dog/more/9.png", "fox/9.png"]


def odd(path, kind) -> None:
    if kind == "a named pipe":
        os.mkfifo(path)
    elif kind == "a socket":
        with socket.socket(socket.AF_UNIX) as server:
            os.chdir(path.parent)  # a socket's address is short
            server.bind(path.name)
    else:
        path.symlink_to("/dev/zero")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a device"])
def test_what_is_no_file_is_named_and_not_waited_for(photos, kind, monkeypatch):
    monkeypatch.chdir(photos)
    odd(photos / "dog" / "f.png", kind)
    with pytest.raises(DataError, match=rf"f\.png cannot be read as an image \(it is {kind}, no file\)"):
        open_image(photos / "dog" / "f.png")
    with pytest.raises(DataError, match=rf"f\.png .*it is {kind}.* go on without .*`data\.skip_bad`"):
        prepare(Data(path=photos, size=8))
    assert list(prepare(Data(path=photos, size=8, skip_bad=True)).unreadable) == ["dog/f.png"]
    for refuse in (lambda path: existing(path, "the data"), guess_source, pictures):
        with pytest.raises(MissingError, match=rf"f\.png is {kind}; a file or a folder is needed"):
            refuse(photos / "dog" / "f.png")


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["a named pipe", "a socket", "a device"])
@pytest.mark.parametrize("name", ["f", "f.csv", "f.parquet", "f.tar"])
def test_what_is_no_file_is_not_waited_for_among_others(photos, name, kind, monkeypatch):
    monkeypatch.chdir(photos)
    odd(photos / "dog" / name, kind)
    odd(photos / name, kind)
    with pytest.raises(OSError, match="It is no file and no folder"):
        media.kind_of(photos / name)
    assert len(prepare(Data(path=photos, source=guess_source(photos), size=8))) == 6
    assert len(pictures(photos)) == 6
    assert advice_on_classes(photos).startswith(" Put the pictures")


def test_a_link_to_itself_is_an_image_that_cannot_be_read(photos):
    (photos / "dog" / "f.png").symlink_to("f.png")
    assert "f.png is missing" in file_stamp(photos / "dog" / "f.png")
    with pytest.raises(DataError, match=r"f\.png cannot be read as an image"):
        prepare(Data(path=photos, size=8))
    with pytest.raises(MissingError, match=r"f\.png cannot be looked at"):
        existing(photos / "dog" / "f.png", "the data")


def test_names_with_newlines_are_names(photos, write_picture):
    write_picture(photos / "dog" / "a\nb.png", seed=99)
    store = prepare(Data(path=photos, size=8))
    assert "dog/a\nb.png" in store.names
    assert folders.load(next(photos.parent.glob("cache/*"))).names == store.names


def test_a_folder_that_cannot_be_listed(photos, monkeypatch):
    scandir = os.scandir

    def denied(folder):
        if os.fspath(folder).endswith("dog"):
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", denied)
    refuses(photos)


def refuses(photos) -> None:
    with pytest.raises(DataError, match=r"dog cannot be listed \(Permission denied\)\. Make it readable"):
        names(photos)
    bad = {}
    assert names(photos, bad=bad) == ["0.png", "1.png", "2.png"]
    assert list(bad) == [photos / "dog"]
    assert len(pictures(photos, bad)) == 3


SHORT = """
import resource, sys
from pathlib import Path
from mien.config import Data
from mien.data import prepare
from mien.errors import MienError
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
held = []
try:
    while True:
        held.append(open("/dev/null"))
except OSError:
    for _ in range(5): held.pop().close()
from mien.data import decode
def hoard(*_, read=decode.decoded):
    for item in read(*_):
        try:
            while True: held.append(open("/dev/null"))
        except OSError:
            yield item
decode.PART, decode.WINDOW = 1, 64
decode.decoded = hoard
try:
    prepare(Data(path=Path(sys.argv[1]), size=8, skip_bad=True))
except MienError as error:
    held.clear()
    print(error.exit_code, error)
"""


def test_too_many_open_files_are_no_bad_images(photos, cache):
    """With skip_bad good images would be left out, and the smaller store kept."""
    code = [sys.executable, "-c", SHORT, str(photos), "60"]
    told = subprocess.run(code, capture_output=True, text=True, check=True).stdout
    assert told.startswith("1 "), told
    assert "Too many open files. That says nothing about the file. Allow more open files" in told
    assert len(prepare(Data(path=photos, size=8))) == 6
    assert [path.name[:7] for path in cache.iterdir()] == ["folder-"], "nothing smaller was kept, nothing is left over"


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_shortage_is_an_error_of_its_own(photos, monkeypatch, number):
    def short(*given, **more):
        raise OSError(number, os.strerror(number), "f.png")

    monkeypatch.setattr("mien.pictures.Image.open", short)
    with pytest.raises(MienError, match=r"f\.png could not be opened: .*That says nothing about the file") as caught:
        prepare(Data(path=photos, size=8, skip_bad=True))
    assert caught.value.exit_code == 1
    monkeypatch.setattr(os, "scandir", short)
    with pytest.raises(MienError, match="That says nothing about the file"):
        names(photos, bad={})
