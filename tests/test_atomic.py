import os

import numpy as np
import pytest

from mien.atomic import read_arrays, write_arrays, write_json, written_whole
from mien.errors import DataError, MienError


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with written_whole(path) as file:
        file.write("é\n")
    assert path.read_bytes() == "é\n".encode()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="has no umask")
@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_a_file_is_for_whom_the_umask_says(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_json(tmp_path / "a.json", {})
        assert os.umask(umask) == umask, "and it stays as it was"
    finally:
        os.umask(before)
    assert (tmp_path / "a.json").stat().st_mode & 0o777 == mode


def test_what_was_there_stays_when_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("before")

    def full(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(MienError, match=r"a\.txt failed: No space left on device"), written_whole(path) as file:
        file.write("after")
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_of_the_writer_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"a": object()})
    assert not list(tmp_path.iterdir())


def test_arrays_come_back_and_stay_when_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    write_arrays(path, of=np.array(["a", "é"]), numbers=np.arange(3))

    def full(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(MienError, match=r"a\.npz failed: No space left on device"):
        write_arrays(path, numbers=np.zeros(1))
    assert list(tmp_path.iterdir()) == [path]
    with read_arrays(path, "mien again") as saved:
        assert saved["of"].tolist() == ["a", "é"]
        assert saved["numbers"].tolist() == [0, 1, 2]


def test_arrays_are_read_or_said_to_be_damaged_wherever_the_damage_is(tmp_path):
    path = tmp_path / "a.npz"
    write_arrays(path, numbers=np.arange(40, dtype=np.float32))
    whole = path.read_bytes()
    damaged = [whole[:i] + bytes([whole[i] ^ 255]) + whole[i + 1 :] for i in range(len(whole))]
    npy = tmp_path / "one.npy"
    np.save(npy, np.arange(3))
    refused = 0
    for content in [b"", *damaged, npy.read_bytes()]:
        path.write_bytes(content)
        try:
            with read_arrays(path, "mien again") as saved:
                np.testing.assert_array_equal(saved["numbers"], np.arange(40))
        except DataError as error:
            assert "a.npz is damaged: " in str(error)  # noqa: PT017  (what is not damaged where it matters is read)
            assert str(error).endswith("Write it anew: mien again")  # noqa: PT017
            refused += 1
    assert refused > len(whole) / 2


def test_what_is_renamed_is_on_the_disk_before_and_its_name_after(tmp_path, monkeypatch):
    flush, rename, done = os.fsync, os.replace, []

    def kind(handle):
        return "folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file"

    monkeypatch.setattr(os, "fsync", lambda handle: (done.append(kind(handle)), flush(handle)))
    monkeypatch.setattr(os, "replace", lambda *paths: (done.append("rename"), rename(*paths)))
    write_json(tmp_path / "a.json", {})
    assert done == ["file", "rename", "folder"]
