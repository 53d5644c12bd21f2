"""Stores that are prepared by killed processes, by two at once, on full disks: whole, and nothing left over."""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mien.config import Data
from mien.data import decode, prepare, verify
from mien.drafts import clear
from mien.errors import MienError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="forks, kills and mounts")

# Forks a child that prepares, kills it after a random time, and says what it left, again and again.
KILLS = """
import os, random, signal, sys, time
from pathlib import Path
from mien.config import Data
from mien.data import decode, prepare, verify
from mien.drafts import clear
decode.PART, decode.WINDOW = 2, 64
data, cache, random = Data(path=Path(sys.argv[1]), size=16), Path(sys.argv[2]), random.Random(18)

def child():
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        prepare(data)
        os._exit(0)
    return pid

start = time.monotonic()
os.waitpid(child(), 0)
usual = time.monotonic() - start
for _ in range(int(sys.argv[3])):
    for path in cache.glob("folder-*"):
        os.rename(path, cache / "gone")
        __import__("shutil").rmtree(cache / "gone")
    pid = child()
    time.sleep(random.random() * usual)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    drafts, stores = len(list(cache.glob(".*"))), list(cache.glob("folder-*"))
    print("killed", drafts, len(stores), sum(map(len, map(verify, stores))), flush=True)
"""


@pytest.fixture
def pictures(write_folder, cache):
    cache.mkdir()
    return write_folder({"cat": 40, "dog": 40})


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_killed_preparation_leaves_nothing_after_the_next_start(pictures, cache):
    """20 times, at random instants: never half a store, drafts only until somebody prepares again."""
    command = [sys.executable, "-c", KILLS, str(pictures), str(cache), "20"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200).stdout.split("\n")[:-1]
    kills = [tuple(map(int, line.split()[1:])) for line in told]
    assert len(kills) == 20
    assert all(problems == 0 for _, _, problems in kills), "a store in place is whole"
    assert any(drafts for drafts, _, _ in kills), "some were killed in the midst of it"
    clear.cache_clear()
    store = prepare(Data(path=pictures, size=16))
    assert [path.name[:7] for path in cache.iterdir()] == ["folder-"]
    again = prepare(Data(path=pictures, size=16), cache / "again")
    assert store.fingerprint == again.fingerprint
    assert content(next(cache.glob("folder-*"))) == content(cache / "again")


def test_processes_that_prepare_one_store_at_once_all_end_well(pictures, cache):
    imports = "from mien.config import Data; from mien.data import prepare"
    code = f"{imports}; print(prepare(Data(path={str(pictures)!r}, size=16)).fingerprint)"
    command = [sys.executable, "-c", code]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    told = [process.communicate(timeout=200) for process in started]
    assert [process.returncode for process in started] == [0] * 4, told
    assert len({out for out, _ in told}) == 1
    (place,) = cache.iterdir()
    assert verify(place) == []


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 256 kB that is unmounted at the end."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", disk]).returncode:
        pytest.skip("only root may mount a small disk")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_fails_with_the_truth_and_leaves_nothing(pictures, small_disk):
    """Wherever the space ends: before the first image, among the images, in the files after them."""
    data, out = Data(path=pictures, size=32), small_disk / "stores" / "one"  # 80 kB of pixels
    reasons = set()
    for filled in range(256, 120, -8):
        (small_disk / "filler").write_bytes(b"")
        with pytest.raises(OSError), (small_disk / "filler").open("wb") as file:  # noqa: PT012
            file.write(bytes(1024 * filled))
            file.flush()
            raise OSError
        try:
            prepare(data, out)
        except MienError as error:
            assert error.exit_code == 1  # noqa: PT017
            assert "No space left on device" in str(error) or "need" in str(error)  # noqa: PT017
            reasons.add(str(error).partition(" ")[0])
            assert not out.exists()
            assert not out.parent.exists() or not list(out.parent.iterdir())
        else:
            shutil.rmtree(out)
    assert reasons >= {"80", "Writing"}
    (small_disk / "filler").unlink()
    assert len(prepare(data, out)) == 80
    assert verify(out) == []
    assert [path.name for path in out.parent.iterdir()] == ["one"]


def test_a_store_that_cannot_be_put_in_place_leaves_the_one_before(pictures, tmp_path, monkeypatch):
    data, out = Data(path=pictures, size=16), tmp_path / "stores" / "one"
    prepare(data, out)
    before = content(out)

    def broken(beside, path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(decode, "put", broken)
    with pytest.raises(MienError, match="Input/output error"):
        prepare(data.with_(size=24), out)
    assert content(out) == before
    assert [path.name for path in out.parent.iterdir()] == ["one"]
