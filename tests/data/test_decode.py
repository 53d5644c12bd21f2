import errno
import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from mien.data import decode
from mien.data.decode import build
from mien.data.store_folder import load
from mien.errors import DataError, MienError, UsageError
from mien.preprocessing import Preprocessing

SMALL = Preprocessing(size=13)


def entries(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_a_store_holds_what_the_listing_says(tmp_path, make_listing):
    listing = make_listing(["train", "", "validation", "test"], [1, 0, 1, 0])
    store = build(listing, SMALL, tmp_path / "store")
    for i in range(4):
        np.testing.assert_array_equal(store.images[i, 0], np.asarray(listing.read(i)))
    assert store.images.dtype == np.uint8
    assert store.images.shape == (4, 1, 13, 13)
    assert store.labels.tolist() == [1, 0, 1, 0]
    assert store.splits.tolist() == [0, 0, 1, 2], "an image of no split is a training image"
    assert store.names == ["0.png", "1.png", "2.png", "3.png"]
    assert store.sizes.tolist() == [[13, 13]] * 4
    assert (store.classes, store.preprocessing) == (("cat", "dog"), SMALL)
    assert store.indices("train").tolist() == [0, 1]
    assert store.class_counts("train").tolist() == [1, 1]
    assert store.class_counts("validation").tolist() == [0, 1]
    assert store.has("test")


def test_sizes_are_those_before_preprocessing(tmp_path, make_listing):
    listing = make_listing(["train"] * 2, [0, 1], read=lambda i: Image.new("L", (17 + i, 29)))
    assert build(listing, SMALL, tmp_path / "store").sizes.tolist() == [[17, 29], [18, 29]]


def test_order_does_not_depend_on_threads(tmp_path, make_listing, monkeypatch):
    monkeypatch.setattr(decode, "PART", 3)
    monkeypatch.setattr(decode, "WINDOW", 7 * 13 * 13)  # several windows of several parts
    store = build(make_listing(["train"] * 50, [0, 1] * 25), SMALL, tmp_path / "store")
    firsts = [np.random.default_rng(i).integers(0, 256, (13, 13), dtype=np.uint8)[0, 0] for i in range(50)]
    assert store.images[:, 0, 0, 0].tolist() == firsts


@pytest.mark.skipif(os.name == "nt", reason="has no umask")
@pytest.mark.parametrize(("umask", "folder", "file"), [(0o022, 0o755, 0o644), (0o077, 0o700, 0o600)])
def test_a_store_is_for_whom_the_umask_says(tmp_path, make_listing, umask, folder, file):
    before = os.umask(umask)
    try:
        build(make_listing(["train"], [0]), SMALL, tmp_path / "store")
    finally:
        os.umask(before)
    assert (tmp_path / "store").stat().st_mode & 0o777 == folder
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "store").iterdir()} == {file}


def test_one_bad_image_stops_with_its_name_and_leaves_nothing(tmp_path, make_listing):
    def read(i):
        if i == 4:
            raise DataError("4.png cannot be read.")
        return Image.new("L", (13, 13))

    with pytest.raises(DataError, match=r"4\.png cannot be read\. Repair or remove it, or .*`data\.skip_bad`"):
        build(make_listing(["train"] * 9, [0] * 9, read=read), SMALL, tmp_path / "stores" / "one")
    assert entries(tmp_path / "stores") == []


def test_skip_bad_goes_on_and_keeps_the_names(tmp_path, make_listing):
    def read(i):
        if i in (0, 4):
            raise DataError(f"{i}.png is torn.")
        if i == 5:
            raise IndexError("strange mode")
        return Image.new("L", (13, 13), i)

    listing = make_listing(["train"] * 7, [0, 1, 0, 1, 0, 1, 1], read=read, groups=tuple("abcdefg"))
    store = build(listing, SMALL, tmp_path / "store", skip_bad=True)
    assert store.names == ["1.png", "2.png", "3.png", "6.png"]
    assert store.images[:, 0, 0, 0].tolist() == [1, 2, 3, 6]
    assert store.labels.tolist() == [1, 0, 1, 1]
    assert store.groups == tuple("bcdg")
    assert list(store.unreadable) == ["0.png", "4.png", "5.png"]
    assert store.unreadable["4.png"] == "4.png is torn."
    assert store.unreadable["5.png"] == "5.png cannot be turned into pixels (strange mode)."
    assert load(tmp_path / "store").unreadable == store.unreadable


def test_what_listing_already_knows_is_told_before_anything_is_decoded(tmp_path, make_listing):
    read = []
    listing = make_listing(["train"] * 3, [0, 1, 1], read=read.append, problems={2: "row 4 is short."})
    with pytest.raises(DataError, match=r"row 4 is short\. .*`data\.skip_bad`"):
        build(listing, SMALL, tmp_path / "store")
    assert (read, entries(tmp_path)) == ([], [])


def test_problems_are_skipped_too(tmp_path, make_listing):
    listing = make_listing(["train", "", "train"], [0, 0, 1], problems={1: "row 3 is short."})
    store = build(listing, SMALL, tmp_path / "store", skip_bad=True)
    assert store.labels.tolist() == [0, 1]
    assert store.unreadable == {"1.png": "row 3 is short."}


def test_no_readable_image_at_all(tmp_path, make_listing):
    def read(i):
        raise DataError(f"{i}.png is torn.")

    with pytest.raises(DataError, match=r"Not one of 2 images could be read\. 0\.png is torn"):
        build(make_listing(["train"] * 2, [0, 1], read=read), SMALL, tmp_path / "store", skip_bad=True)
    assert entries(tmp_path) == []


class FullDisk(io.FileIO):
    """A file on a disk with room for some 3 images."""

    def write(self, data) -> int:
        if self.tell() > 600:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(data)


def test_a_disk_that_fills_up_leaves_nothing(tmp_path, make_listing, monkeypatch):
    opened = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda path, *mode, **more: FullDisk(path, "w") if mode == ("wb",) else opened(path, *mode, **more),
    )
    with pytest.raises(MienError, match=r"Writing .*one failed: No space left on device\. Free some space") as caught:
        build(make_listing(["train"] * 20, [0, 1] * 10), SMALL, tmp_path / "stores" / "one")
    assert caught.value.exit_code == 1
    assert entries(tmp_path / "stores") == []


def test_a_disk_that_is_too_small_is_refused_before_decoding(tmp_path, make_listing, monkeypatch):
    monkeypatch.setattr(decode.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1_000_000})())
    listing = make_listing(["train"] * 9, [0] * 9, read=None)
    with pytest.raises(
        MienError, match=r"9 images of 3x512x512 need 7 MB; .* has 1 MB free\. Make `data\.size` smaller"
    ):
        build(listing, Preprocessing(size=512, channels=3), tmp_path / "store")


def test_an_interrupt_leaves_nothing(tmp_path, make_listing):
    def read(i):
        if i == 5:
            raise KeyboardInterrupt
        return Image.new("L", (13, 13))

    with pytest.raises(KeyboardInterrupt):
        build(make_listing(["train"] * 9, [0] * 9, read=read), SMALL, tmp_path / "stores" / "one")
    assert entries(tmp_path / "stores") == []


def test_a_failure_keeps_the_store_that_was_there(tmp_path, make_listing):
    before = build(make_listing(["train"] * 2, [0, 1]), SMALL, tmp_path / "store").fingerprint

    def read(i):
        raise DataError("torn.")

    with pytest.raises(DataError):
        build(make_listing(["train"] * 2, [1, 1], read=read), SMALL, tmp_path / "store")
    assert load(tmp_path / "store").fingerprint == before
    assert entries(tmp_path) == ["store"]


def test_a_store_replaces_a_store(tmp_path, make_listing):
    first = build(make_listing(["train"] * 2, [0, 1]), SMALL, tmp_path / "store")
    second = build(make_listing(["train"] * 3, [0, 1, 0]), SMALL, tmp_path / "store")
    assert (len(first), len(second), len(load(tmp_path / "store"))) == (2, 3, 3)


def test_another_process_that_prepares_the_same_store_does_no_harm(tmp_path, make_listing, monkeypatch):
    """It puts its store in place at the worst moment: when ours has just been told that there is none."""
    listing, out = make_listing(["train"] * 2, [0, 1]), tmp_path / "store"
    theirs = build(listing, SMALL, tmp_path / "theirs")
    replace_ = os.replace

    def slipped_in(source, target):
        if Path(target) == out and not out.exists() and (tmp_path / "theirs").exists():
            replace_(tmp_path / "theirs", out)
        replace_(source, target)

    monkeypatch.setattr(os, "replace", slipped_in)
    ours = build(listing, SMALL, out)
    assert ours.fingerprint == theirs.fingerprint
    assert entries(tmp_path) == ["store"]


def test_other_content_is_never_replaced(tmp_path, make_listing):
    holiday = tmp_path / "pictures" / "holiday.txt"
    holiday.parent.mkdir()
    holiday.write_text("sun")
    for out in (holiday, holiday.parent):
        with pytest.raises(UsageError, match=r"`out` .* exists and is not a store"):
            build(make_listing(["train"], [0]), SMALL, out)
    assert holiday.read_text() == "sun"


def test_a_place_that_cannot_be_written_to(tmp_path, make_listing):
    (tmp_path / "file").write_text("")
    with pytest.raises(MienError, match=r"Cannot write to .*file.*: .*Choose another place with `out`"):
        build(make_listing(["train"], [0]), SMALL, tmp_path / "file" / "store")


@settings(max_examples=25, deadline=None)
@given(bad=st.sets(st.integers(0, 10)), count=st.integers(1, 11))
def test_any_set_of_bad_images_leaves_the_others_in_order(tmp_path_factory, make_listing, bad, count):
    def read(i):
        if i in bad:
            raise DataError("torn")
        return Image.new("L", (2, 2), i * 20)

    listing = make_listing(["train"] * count, [0] * count, read=read)
    good = [i for i in range(count) if i not in bad]
    out = tmp_path_factory.mktemp("stores") / "one"
    if not good:
        with pytest.raises(DataError, match="Not one of"):
            build(listing, Preprocessing(size=2), out, skip_bad=True)
        return
    store = build(listing, Preprocessing(size=2), out, skip_bad=True)
    assert store.images[:, 0, 1, 1].tolist() == [i * 20 for i in good]
    assert len(store.unreadable) == count - len(good)
    assert load(out).names == [f"{i}.png" for i in good]
