"""Sources in parts: which there are, what is in them, and what is damaged."""

import gzip

import pyarrow
import pytest
from crop_sources import faces, write_table, write_tar
from pyarrow import parquet

import mien
from mien.cli.sources import written
from mien.errors import DataError, MissingError, UsageError
from mien.scale import source as sources
from mien.scale.job import MOST_TRIES, Job, score
from mien.scale.source import SourcePart, items, parts_of
from mien.scale.store import Place


def everything(source):
    """{name: content} of all its parts, and what is wrong."""
    bad, found = {}, {}
    for part in parts_of(str(source)):
        for name, content in items(part, Place(str(source)), bad):
            assert name not in found
            found[name] = content if isinstance(content, bytes) else content.read_bytes()
    return found, bad


def test_a_folder_a_table_and_an_archive_hold_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "PART", 4)
    contents = faces(10)
    (tmp_path / "folder").mkdir()
    for number, content in enumerate(contents):
        (tmp_path / "folder" / f"{number}.png").write_bytes(content)
    write_table(tmp_path / "one.parquet", contents)
    write_tar(tmp_path / "one.tar", contents)
    for name, parts in (("folder", 3), ("one.parquet", 3), ("one.tar", 1)):
        found, bad = everything(tmp_path / name)
        assert (list(found.values()), bad) == (contents, {})
        assert len(parts_of(str(tmp_path / name))) == parts
        there = (tmp_path / name).as_uri()  # as on an object store
        assert list(everything(there)[0].values()) == contents
        assert all(each.startswith(there) for each in everything(there)[0])
    assert list(everything(tmp_path / "one.parquet")[0])[5] == f"{tmp_path}/one.parquet row 6"
    assert list(everything(tmp_path / "one.tar")[0])[5] == f"{tmp_path}/one.tar/005.png"


def test_shards_count_and_what_is_left_out_is_said(tmp_path, caplog):
    write_table(tmp_path / "b.parquet", faces(3))
    write_table(tmp_path / "a.parquet", faces(6, seed=1))
    (tmp_path / "README.md").write_text("")
    (tmp_path / ".a.parquet.draft").write_text("")
    parts = parts_of(str(tmp_path))
    assert parts == [
        SourcePart(number, "parquet", (f"{tmp_path}/{name}.parquet",), group, row)
        for number, (name, group, row) in enumerate([("a", 0, 0), ("a", 1, 4), ("b", 0, 0)])
    ]
    assert "1 other file is left out" in caplog.text
    write_tar(tmp_path / "c.tar", faces(1))
    with pytest.raises(UsageError, match="holds Parquet tables and tar archives"):
        parts_of(str(tmp_path))


def test_what_is_damaged_is_read_as_far_as_it_goes_and_named(tmp_path):
    path = tmp_path / "one.tar"
    write_tar(path, faces(10))
    content = path.read_bytes()
    damaged = bytearray(content)
    damaged[5 * 3072 + 1536 : 5 * 3072 + 1540] = b"oops"  # somewhere in the middle
    for broken in (content[:8000], content[:8192], content[: 3 * 512], bytes(damaged), gzip.compress(content)[:4000]):
        path = tmp_path / ("one.tar.gz" if broken[:2] == b"\x1f\x8b" else "one.tar")
        path.write_bytes(broken)
        found, bad = everything(path)
        assert len(found) < 10
        assert "damaged from here on" in bad[str(path)]
    path.write_bytes(gzip.compress(content))
    assert len(everything(path)[0]) == 10


def test_a_picture_of_an_archive_that_is_too_large_is_named_and_the_others_are_read(tmp_path, monkeypatch):
    write_tar(tmp_path / "one.tar", [*faces(2), bytes(10_000), *faces(1)])
    monkeypatch.setattr(sources, "MEMBER_BYTES", 9_999)
    found, bad = everything(tmp_path / "one.tar")
    assert len(found) == 3
    ((name, reason),) = bad.items()
    assert name.endswith("one.tar/002.png")
    assert "the most allowed" in reason


def test_a_part_that_ends_its_process_again_and_again_is_given_up(tmp_path):
    write_table(tmp_path / "one.parquet", faces(3))
    (part,) = parts_of(str(tmp_path / "one.parquet"))
    out = tmp_path / "out"
    job = Job(str(tmp_path / "one.parquet"), str(out), "yunet", 0.0, False, str(tmp_path))
    reader = mien.load("mien:tiny", threads=1)
    for _ in range(MOST_TRIES):  # without the mark that it is done, as when the process was killed
        assert score(reader, job, part).pictures == 3
    done = score(reader, job, part)
    assert (done.pictures, done.bad) == (0, 1)
    named = parquet.read_table(out / "unreadable" / part.name).to_pydict()
    assert named["source"] == [f"{tmp_path}/one.parquet after row 0"]
    assert "the process that read it ended 4 times" in named["error"][0]
    assert parquet.read_table(out / "faces" / part.name).num_rows == 0


def test_sources_that_are_none(tmp_path):
    with pytest.raises(MissingError, match="there is no such file or folder"):
        parts_of(str(tmp_path / "nothing"))
    with pytest.raises(DataError, match="holds no pictures"):
        parts_of(str(tmp_path))
    with pytest.raises(UsageError, match="is no address that pyarrow reads"):
        parts_of("nowhere://bucket/folder")
    (tmp_path / "a.parquet").write_text("none")
    with pytest.raises(DataError, match="cannot be read as a Parquet table"):
        parts_of(str(tmp_path))
    parquet.write_table(pyarrow.table({"label": [1]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="has no column of pictures; it has label"):
        parts_of(str(tmp_path))


def test_addresses_survive_being_typed_as_paths(tmp_path):
    from pathlib import Path

    assert written(Path("s3://bucket/folder")) == "s3://bucket/folder"
    assert written(Path("/data/a:/b")) == "/data/a:/b"
    assert written(tmp_path) == str(tmp_path)
