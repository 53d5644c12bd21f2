"""Pictures in archives and shards: read where they lie, as from a folder, or refused with the member's name."""

import gzip
import io
import json
import stat
import tarfile
import zipfile

import numpy as np
import pyarrow
import pytest
from odd_inputs import png
from pyarrow import parquet as pq

from mien.config import Data
from mien.data import archives, guess_source, prepare
from mien.data.sources import fer2013, folder, parquet, webdataset
from mien.errors import DataError

FOLDERS = {f"pets/{split}/{label}/{i}.png": png(i) for split in ("train", "test") for label in ("cat", "dog")
           for i in range(2)}  # fmt: skip
SAMPLES = {"0.png": png(0), "0.cls": b"1", "1.png": png(1), "1.cls": b"0", "2.png": png(2), "2.json": b'{"label": 1}'}


def tar(path, content, mode="w"):
    with tarfile.open(path, mode) as made:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return path


def zipped(path, content):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in content.items():
            made.writestr(name, data)
    return path


def table(path, images, labels, names=()):
    made = pyarrow.table({"image": images, "label": labels})
    if names:
        feature = {"info": {"features": {"label": {"names": list(names), "_type": "ClassLabel"}}}}
        made = made.replace_schema_metadata({b"huggingface": json.dumps(feature).encode()})
    pq.write_table(made, path, row_group_size=2)
    return path


def pixels(listing):
    return {name: np.asarray(listing.read(i)).tobytes() for i, name in enumerate(listing.names)}


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_an_archive_is_read_as_its_folder(ending, tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    for name, data in FOLDERS.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    path = tmp_path / f"all.{ending}"
    made = zipped(path, FOLDERS) if ending == "zip" else tar(path, FOLDERS, f"w:{ending.partition('.')[2]}")
    assert guess_source(made) == "folder"
    packed, plain = folder.read(made), folder.read(tmp_path / "pets")
    assert (packed.classes, packed.names, packed.labels, packed.splits) == (
        plain.classes, plain.names, plain.labels, plain.splits)  # fmt: skip
    assert pixels(packed) == pixels(plain)
    assert not list((tmp_path / "cache").glob("*"))


def link(name, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


@pytest.mark.parametrize("name", ["../a.png", "cat/../../a.png", "/a.png", "C:\\a.png", "cat\\..\\..\\a.png"])
@pytest.mark.parametrize("make", [tar, zipped])
def test_a_name_that_leads_out_is_refused(name, make, tmp_path):
    path = make(tmp_path / "pets.archive", {"cat/0.png": png(0), name: png(1)})
    with pytest.raises(DataError, match=r"the member '.*a\.png' (leads out of the archive|has an absolute name)"):
        folder.read(path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(kind, tmp_path):
    with tarfile.open(tmp_path / "pets.tar", "w") as made:
        made.addfile(link("cat/0.png", kind))
    with pytest.raises(DataError, match=r"'cat/0\.png' is a link, a device"):
        folder.read(tmp_path / "pets.tar")


def test_a_link_in_a_zip_is_refused(tmp_path):
    info = zipfile.ZipInfo("cat/0.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as made:
        made.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match=r"'cat/0\.png' is a link or a device"):
        folder.read(tmp_path / "pets.zip")


@pytest.mark.parametrize(
    ("limit", "value", "told"),
    [("MEMBERS", 3, "more than 3,"), ("MEMBER_BYTES", 10, "MiB, more than"), ("RATIO_FROM", 0, "100 times its size")],
)
def test_a_bomb_is_refused_with_its_limit(limit, value, told, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, limit, value)
    path = zipped(tmp_path / "pets.zip", {f"cat/{i}.bmp": bytes(200_000) for i in range(4)})
    with pytest.raises(DataError, match=told):
        folder.read(path)


def test_a_name_that_makes_many_folders_is_refused(tmp_path):
    path = zipped(tmp_path / "pets.zip", {"cat/0.png": png(0), "dog/" + "a/" * 70 + "0.png": png(1)})
    with pytest.raises(DataError, match="has a name of more than 4,096 characters or 64 folders"):
        folder.read(path)


def test_a_large_table_in_an_archive_is_read_row_by_row(tmp_path, monkeypatch):
    """FER2013's own fer2013.tar.gz holds a CSV of 287 MiB."""
    rows = "emotion,pixels\n" + "".join(f"{i % 2},{' '.join(['7'] * 48 * 48)}\n" for i in range(4))
    path = tar(tmp_path / "fer2013.tar.gz", {"fer2013/README": b"", "fer2013/fer2013.csv": rows.encode()}, "w:gz")
    monkeypatch.setattr(archives, "MEMBER_BYTES", 100)
    assert guess_source(path) == "fer2013"
    assert len(fer2013.read(path)) == 4
    with pytest.raises(DataError, match="MiB, more than"):
        archives.members(path)[1].read()


def test_what_follows_the_end_of_a_tar_counts_too(tmp_path, monkeypatch):
    """It would be unpacked into the cache with all else."""
    path = tar(tmp_path / "pets.tar.gz", FOLDERS, "w:gz")
    with gzip.open(path, "ab") as file:
        file.write(bytes(2**21))
    assert len(folder.read(path)) == 8
    monkeypatch.setattr(archives, "RATIO_FROM", 2**20)
    archives._members.cache_clear()
    with pytest.raises(DataError, match="more than 100 times its size"):
        folder.read(path)


def test_a_wrong_checksum_is_the_archives_fault_and_no_full_disk(tmp_path):
    path = tar(tmp_path / "pets.tar.gz", FOLDERS, "w:gz")
    path.write_bytes(path.read_bytes()[:-8] + bytes(4) + path.read_bytes()[-4:])
    with pytest.raises(DataError, match=r"pets\.tar\.gz cannot be unpacked \(CRC check failed"):
        folder.read(path)


def test_a_large_header_of_a_tar_is_not_read(tmp_path):
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**30
    (tmp_path / "pets.tar").write_bytes(info.tobuf() + bytes(1024))
    with pytest.raises(DataError, match="header of more than 1 MiB"):
        folder.read(tmp_path / "pets.tar")


def test_a_damaged_tar_is_refused(tmp_path):
    path = tar(tmp_path / "pets.tar", FOLDERS)
    path.write_bytes(path.read_bytes()[:1024] + b"x" * 512 + path.read_bytes()[1536:])
    with pytest.raises(DataError, match="cannot be unpacked"):
        folder.read(path)


def test_webdataset(tmp_path):
    path = tar(tmp_path / "train-000000.tar", {**SAMPLES, "3.png": png(3), "4.txt": b"cat"})
    assert guess_source(path) == "webdataset"
    listing = folder.read(path)
    assert (listing.classes, listing.labels[:3]) == (("0", "1"), [1, 0, 1])
    assert listing.splits == ["train"] * 4
    assert "has no label" in listing.problems[3]
    assert listing.left_out["samples without a picture"] == 1
    (tmp_path / "classnames.txt").write_text("cat\ndog\n")
    tar(tmp_path / "test-000000.tar", SAMPLES)
    named = webdataset.read(tmp_path)
    assert named.classes == ("cat", "dog")
    assert set(named.splits) == {"train", "test"}
    assert guess_source(tmp_path) == "webdataset"


def test_parquet_with_a_bad_picture(tmp_path, tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path_factory.mktemp("cache")))
    images = [{"bytes": png(i), "path": f"{i}.png"} for i in range(4)] + [{"bytes": b"no picture", "path": "4.png"}]
    (tmp_path / "data").mkdir()
    table(tmp_path / "data" / "train-00000-of-00001.parquet", images, [0, 1, 0, 1, 0], ("cat", "dog"))
    table(tmp_path / "data" / "test-00000-of-00001.parquet", [png(5), png(6)], [1, -1], ("cat", "dog"))
    assert guess_source(tmp_path) == "parquet"
    listing = parquet.read(tmp_path)
    assert listing.splits == ["test"] + ["train"] * 5
    assert (listing.classes, listing.labels) == (("cat", "dog"), [1, 0, 1, 0, 1, 0])
    assert listing.left_out["rows without a label (-1)"] == 1
    data = Data(source="parquet", path=tmp_path)
    with pytest.raises(DataError, match=r"train-00000-of-00001\.parquet row 5 cannot be read as an image"):
        prepare(data)
    store = prepare(data.model_copy(update={"skip_bad": True}))
    assert list(store.unreadable) == ["train-00000-of-00001.parquet row 5"]
    assert len(store) == 5


def test_parquet_that_says_more_than_it_holds(tmp_path, monkeypatch):
    path = table(tmp_path / "pets.parquet", [png(0), png(1)] * 2, ["cat", "dog"] * 2)
    monkeypatch.setattr(parquet, "MEMBERS", 3)
    with pytest.raises(DataError, match="has 4 rows, more than 3, the most that mien reads of one file"):
        folder.read(path)


def test_half_a_character_is_no_class(tmp_path):
    """JSON can write it, and no table, no name of a file can hold it."""
    path = table(tmp_path / "pets.parquet", [png(0), png(1)], [0, 1], names=["cat", "\ud83d"])
    with pytest.raises(DataError, match=r"the class '\\ud83d' is no text"):
        folder.read(path)
    json_label = b'{"label": "\\ud83d"}'
    with pytest.raises(DataError, match="is no text"):
        folder.read(tar(tmp_path / "a.tar", {"0.png": png(0), "0.cls": b"a", "1.png": png(1), "1.json": json_label}))


def test_parquet_of_words(tmp_path):
    path = table(tmp_path / "pets.parquet", [png(0), png(1), None], ["dog", "cat", "cat"])
    listing = folder.read(path)
    assert (listing.classes, listing.labels, listing.splits) == (("cat", "dog"), [1, 0, 0], ["", "", ""])
    with pytest.raises(DataError, match=r"pets\.parquet row 3 holds no picture"):
        listing.read(2)
