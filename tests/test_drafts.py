"""Drafts: what killed processes left is removed, what others write at this moment is not."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

import mien
from mien import drafts
from mien.atomic import written_whole
from mien.data import decode
from mien.data.decode import build
from mien.data.sources import drawn_faces
from mien.data.store_folder import load
from mien.drafts import SUFFIX, aside, clear, draft
from mien.preprocessing import Preprocessing
from mien.runs.writing import new_folder, release

pytestmark = pytest.mark.skipif(os.name == "nt", reason="has no such locks")

WRITER = """
import sys, time
from pathlib import Path
from mien.drafts import draft
with draft(Path(sys.argv[1]), folder=sys.argv[2] == "folder") as path:
    (path / "images.npy" if path.is_dir() else path).write_bytes(b"half")
    print(path.name, flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def _forget():
    clear.cache_clear()


@pytest.fixture
def writer(tmp_path):
    """writer(kind) starts a process that writes a draft in tmp_path and gives it with the draft's name."""
    started = []

    def start(kind: str) -> tuple[subprocess.Popen, str]:
        command = [sys.executable, "-c", WRITER, str(tmp_path), kind]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1], started[-1].stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.communicate()


def entries(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_drafts_of_the_living_stay_and_those_of_the_dead_go(tmp_path, writer, kind):
    process, name = writer(kind)
    with written_whole(tmp_path / "a.txt"):
        assert name in entries(tmp_path), "another process writes it at this moment"
    process.send_signal(signal.SIGKILL)
    process.wait()
    clear.cache_clear()
    with written_whole(tmp_path / "b.txt"):
        pass
    assert entries(tmp_path) == ["a.txt", "b.txt"]


def test_own_drafts_stay_while_they_are_written(tmp_path):
    with draft(tmp_path) as mine, draft(tmp_path, folder=True) as folder:
        clear.cache_clear()
        clear(tmp_path)
        assert mine.is_file()
        assert folder.is_dir()
    assert entries(tmp_path) == []


def test_only_drafts_are_cleared_away(tmp_path):
    for name in (".settings", "a.mien-draft", ".a-x.mien-draft.txt", ".git"):
        (tmp_path / name).write_text("mine")
    clear(tmp_path)
    assert len(entries(tmp_path)) == 4


def test_drafts_of_another_machine_go_after_a_day(tmp_path):
    """Its locks may not reach here, so that its age has to do."""
    folder, file = tmp_path / f".elsewhere-1{SUFFIX}", tmp_path / f".elsewhere-2{SUFFIX}"
    folder.mkdir()
    for path in (folder / "images.npy", file):
        path.write_text("half")
    os.utime(folder, (1, 1))
    clear(tmp_path)
    assert entries(tmp_path) == [folder.name, file.name], "the folder is old, what is in it is new"
    for path in (folder / "images.npy", file, folder):
        os.utime(path, (time.time() - drafts.ELSEWHERE - 9,) * 2)
    clear.cache_clear()
    clear(tmp_path)
    assert entries(tmp_path) == []


@pytest.mark.parametrize("opened", [False, True])
def test_a_draft_cleared_away_before_it_was_locked_is_made_again(tmp_path, monkeypatch, opened):
    """Before it was opened to lock it, or between that and the lock."""
    where, name = (drafts.fcntl, "flock") if opened else (drafts, "_new")
    really, times = getattr(where, name), []

    def cleared_away_the_first_time(*given):
        times.append(given)
        if opened and len(times) == 1:
            clear.cache_clear()
            clear(tmp_path)
            return None
        found = really(*given)
        if len(times) == 1:
            drafts._remove_if_left(found)
        return found

    monkeypatch.setattr(where, name, cleared_away_the_first_time)
    with draft(tmp_path) as path:
        assert path.exists()
    assert len(times) > 1
    assert entries(tmp_path) == []


def test_a_file_system_without_locks_keeps_what_it_has(tmp_path, monkeypatch):
    def none(*given):
        raise OSError(45, "Operation not supported")

    monkeypatch.setattr(drafts.fcntl, "flock", none)
    with draft(tmp_path, folder=True) as path:
        clear.cache_clear()
        clear(tmp_path)
        assert path.is_dir()
    assert entries(tmp_path) == []


def test_names_as_long_as_there_can_be_are_written(tmp_path):
    with written_whole(tmp_path / ("x" * 255)) as file:
        file.write("whole")
    assert entries(tmp_path) == ["x" * 255]


def dying(work) -> None:
    """Do `work` in a process that is killed at its end, as by kill -9."""
    child = os.fork()
    if not child:
        try:
            work()
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)


@pytest.mark.parametrize("successor", [False, True])
def test_what_a_killed_process_was_replacing_comes_back_unless_its_successor_stands(tmp_path, successor):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "a").write_text("before")

    def replaced():
        with aside(tmp_path / "store"):
            if successor:
                (tmp_path / "store").mkdir()
                (tmp_path / "store" / "a").write_text("after")
            os.kill(os.getpid(), signal.SIGKILL)

    dying(replaced)
    assert len(entries(tmp_path)) == 1 + successor
    clear(tmp_path)
    assert entries(tmp_path) == ["store"]
    assert (tmp_path / "store" / "a").read_text() == ("after" if successor else "before")


def dying_at(step: int, work) -> bool:
    """Do `work` in a process that is killed before its step-th change of a folder; returns whether it came to that."""

    def counted(really, *given):
        calls.append(given)
        if len(calls) > step:
            os.kill(os.getpid(), signal.SIGKILL)
        return really(*given)

    calls: list[tuple] = []
    child = os.fork()
    if not child:
        for name in ("replace", "rename", "mkdir"):
            setattr(os, name, partial(counted, getattr(os, name)))
        try:
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def test_a_run_that_was_being_overwritten_is_not_lost(tmp_path):
    recipe, run = mien.recipe("quickstart"), tmp_path / "run"
    release(new_folder(recipe, run, False))
    other, step = recipe.with_(seed=7), 0
    (run / "mine.txt").write_text("before")
    while dying_at(step, lambda: new_folder(other, run, True)):
        clear.cache_clear()
        seed = mien.Run.open(run).recipe.seed  # of one of the two, whole
        assert (run / "mine.txt").is_file() == (seed == recipe.seed)
        clear(tmp_path)
        assert entries(tmp_path) == ["run"]
        step += 1
    assert step > 4
    assert mien.Run.open(run).recipe.seed == other.seed


def test_a_store_that_was_being_replaced_is_not_lost(tmp_path, monkeypatch):
    faces = drawn_faces.read(9, 16, seed=0)
    settings = Preprocessing(size=16, channels=1)
    before = build(faces, settings, tmp_path / "store").fingerprint

    def replaced():
        monkeypatch.setattr(decode, "put", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        build(drawn_faces.read(12, 16, seed=1), settings, tmp_path / "store")

    dying(replaced)
    assert not (tmp_path / "store").exists()
    clear.cache_clear()
    assert load(tmp_path / "store").fingerprint == before
    assert entries(tmp_path) == ["store"]
