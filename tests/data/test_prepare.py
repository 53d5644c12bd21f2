"""mien.data.prepare and open_store: what is decoded, what is reused, what is refused."""

import os
import shutil
import sys

import numpy as np
import pytest

from mien.cache import cache_folder
from mien.config import Data
from mien.data import decode, open_store, prepare, preprocessing_of, verify
from mien.errors import DataError, UsageError


@pytest.fixture
def pictures(write_folder, cache):
    return write_folder({"cat": 20, "dog": 20})


@pytest.fixture
def builds(monkeypatch):
    """Counts how often something is decoded."""
    calls = []
    build = decode.build
    monkeypatch.setattr("mien.data.build", lambda *given, **more: calls.append(given) or build(*given, **more))
    return calls


def test_an_unchanged_source_is_decoded_once(pictures, builds):
    data = Data(path=pictures, size=13)
    first, second = prepare(data), prepare(data)
    assert len(builds) == 1
    assert first.fingerprint == second.fingerprint


def test_settings_that_change_no_pixel_share_a_store(pictures, builds):
    folds = {"folds": 5, "fold": 0}
    for more in ({}, {"val_split": 0.3}, folds, {"skip_bad": True}, {"drop_leaks": True}, {"split_seed": 7}):
        open_store(Data(path=pictures, size=13, **more))
    assert len(builds) == 1


@pytest.mark.parametrize("more", [{"size": 17}, {"channels": 3}, {"fit": "pad"}])
def test_other_preprocessing_is_another_store(pictures, builds, more):
    prepare(Data(path=pictures, size=13))
    store = prepare(Data(**{"path": pictures, "size": 13} | more))
    assert len(builds) == 2
    assert store.preprocessing == preprocessing_of(Data(**{"size": 13} | more))


def test_a_changed_picture_is_seen(pictures, builds, write_picture):
    data = Data(path=pictures, size=13)
    before = prepare(data).fingerprint
    write_picture(pictures / "cat" / "3.png", seed=999)
    os.utime(pictures / "cat" / "3.png", ns=(1, 1))
    assert prepare(data).fingerprint != before
    assert len(builds) == 2


def test_a_new_picture_is_seen(pictures, write_picture):
    data = Data(path=pictures, size=13)
    prepare(data)
    write_picture(pictures / "cat" / "new.png", seed=999)
    assert len(prepare(data)) == 41


def test_out_holds_the_store_and_is_reused(pictures, builds, tmp_path, cache):
    data = Data(path=pictures, size=13)
    for _ in range(2):
        prepare(data, tmp_path / "here")
    assert (tmp_path / "here" / "images.npy").is_file()
    assert len(builds) == 1
    assert not cache.exists()


def test_out_is_made_anew_when_it_holds_another_set(pictures, builds, tmp_path):
    prepare(Data(path=pictures, size=13), tmp_path / "here")
    assert prepare(Data(path=pictures, size=17), tmp_path / "here").images.shape == (40, 1, 17, 17)
    assert len(builds) == 2


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "digests.npy", "store.json"])
@pytest.mark.parametrize("harm", ["truncated", "gone"])
def test_a_damaged_store_is_made_anew(pictures, builds, capsys, name, harm):
    data = Data(path=pictures, size=13)
    before = prepare(data).fingerprint
    path = next(cache_folder().glob("folder-*")) / name
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-9])
    assert prepare(data).fingerprint == before
    assert len(builds) == 2
    if name != "store.json":
        assert "It is prepared anew." in capsys.readouterr().err.replace("\n", " ")


def test_a_store_with_a_flipped_bit_is_made_anew_whichever_it_is(write_folder, cache):
    data = Data(path=write_folder({"cat": 2, "dog": 2}), size=8, val_split=0.5)
    before = prepare(data).fingerprint
    place, random = next(cache_folder().glob("folder-*")), np.random.default_rng(7)
    for name in sorted(path.name for path in place.iterdir() if path.name != "images.npy"):
        for _ in range(6):
            content = bytearray((place / name).read_bytes())
            content[random.integers(len(content))] ^= 1 << random.integers(8)
            (place / name).write_bytes(content)
            assert prepare(data).fingerprint == before
            assert not verify(place)


def test_a_store_of_version_0_1_0_is_made_anew_with_a_word(pictures, builds, capsys):
    data = Data(path=pictures, size=13)
    before = prepare(data)
    place = next(cache_folder().glob("folder-*"))
    (place / "checksums.json").unlink()
    (place / "store.json").write_text((place / "store.json").read_text().replace('"format": 3', '"format": 2'))
    assert prepare(data).fingerprint == before.fingerprint
    assert "of another version of mien. It is prepared anew." in capsys.readouterr().err.replace("\n", " ")
    assert len(builds) == 2


def test_a_store_with_a_changed_pixel_is_made_anew(pictures, builds):
    data = Data(path=pictures, size=13)
    before = prepare(data).fingerprint
    path = next(cache_folder().glob("folder-*")) / "images.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"pixels of dog/9\.png are not those .* Repeat the command: it is prepared"):
        np.asarray(prepare(data).images)
    assert prepare(data).fingerprint == before
    assert len(builds) == 2


def test_the_size_is_said_before_decoding(pictures, capsys):
    prepare(Data(path=pictures, size=64, channels=3))
    assert "Decoding 40 images into" in capsys.readouterr().err


def test_unreadable_pictures_are_named_counted_and_not_forgotten(pictures, builds):
    (pictures / "dog" / "4.png").write_text("no picture")
    data = Data(path=pictures, size=13)
    with pytest.raises(DataError, match=r"dog.4\.png cannot be read as an image .*`data\.skip_bad`"):
        prepare(data)
    skipping = data.model_copy(update={"skip_bad": True})
    assert list(prepare(skipping).unreadable) == ["dog/4.png"]
    with pytest.raises(DataError, match=r"dog.4\.png cannot be read as an image .*`data\.skip_bad`"):
        prepare(data)
    assert len(prepare(skipping)) == 39
    assert len(builds) == 2, "once in vain, once with skip_bad; the store then says what it lacks"


def test_a_failure_leaves_the_cache_empty(pictures, cache):
    (pictures / "dog" / "4.png").write_text("no picture")
    with pytest.raises(DataError):
        prepare(Data(path=pictures, size=13))
    assert list(cache.iterdir()) == []


def test_the_cache_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("MIEN_CACHE")
    name = "LOCALAPPDATA" if os.name == "nt" else "XDG_CACHE_HOME"
    monkeypatch.setenv(name, str(tmp_path / "users"))
    assert cache_folder() == tmp_path / "users" / "mien"


OWN = """
from dataclasses import replace
from mien.data.sources import folder
from mien.data.listing import Listing

number = 7

def read(path) -> Listing:
    return folder.read(path)

def names(path) -> Listing:
    return folder.read(path).names

def fewer(path) -> Listing:
    return replace(folder.read(path), labels=[0])

def labels(path) -> Listing:
    return replace(folder.read(path), labels=[2] * len(folder.read(path)))

def splits(path) -> Listing:
    return replace(folder.read(path), splits=["trian"] * len(folder.read(path)))

def undeclared(path):
    raise AssertionError("this was called")
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of readers of one's own."""
    (tmp_path / "own_readers.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_readers", raising=False)
    return tmp_path / "own_readers.py"


def test_a_reader_of_ones_own_has_a_store_of_its_own_until_it_is_changed(pictures, builds, own):
    data = Data(path=pictures, source="own_readers:read", size=13)
    assert prepare(data).fingerprint == prepare(data).fingerprint == prepare(Data(path=pictures, size=13)).fingerprint
    assert len(builds) == 2
    os.utime(own, ns=(1, 1))
    prepare(data)
    assert len(builds) == 3


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("no_readers:read", "'no_readers:read' cannot be imported: No module named 'no_readers'.*where you start"),
        ("own_readers:raed", "'own_readers:raed' cannot be imported: .*has no attribute 'raed'"),
        ("own_readers:", "name an own one MODULE:NAME"),
        ("own_readers:number", r"does not say that it is a reader, so it is not called: .*def read\(path: Path\) -> "),
        ("own_readers:undeclared", "does not say that it is a reader, so it is not called"),
        ("shutil:rmtree", "does not say that it is a reader, so it is not called"),
        ("own_readers:names", r"gave a list, not a mien\.data\.listing\.Listing"),
        ("own_readers:fewer", "gave 40 names, 1 labels, 40 splits; each image has one of each"),
        ("own_readers:labels", "a label is the place of its class, 0 to 1, not 2"),
        ("own_readers:splits", "a split is train, validation, test or '', not 'trian'"),
    ],
)
def test_what_is_wrong_with_a_reader_of_ones_own_is_said(pictures, own, source, text):
    with pytest.raises(UsageError, match=text):
        prepare(Data(path=pictures, source=source))


def test_drawn_faces_need_no_path(cache):
    store = open_store(Data(source="drawn_faces", images=70, size=24))
    assert [len(store.indices(split)) for split in ("train", "validation", "test")] == [70, 70, 70]


def test_a_held_out_share_of_a_folder(pictures):
    store = open_store(Data(path=pictures, size=13, val_split=0.25))
    assert store.class_counts("train").tolist() == [15, 15]
    assert store.class_counts("validation").tolist() == [5, 5]


def test_leaks_within_a_held_out_share(pictures):
    for number in range(20):  # every cat is there twice
        shutil.copy(pictures / "cat" / f"{number}.png", pictures / "cat" / f"copy{number}.png")
    store = open_store(Data(path=pictures, size=13, val_split=0.25, drop_leaks=True))
    train, validation = store.indices("train"), store.indices("validation")
    assert store.left_out["leaks"] > 0
    assert not np.isin(store.digests[train], store.digests[validation]).any()
    assert len(train) + len(validation) + store.left_out["leaks"] == 60


def test_another_mean_and_std_need_no_other_store(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    for mean in (0.5, 0.25):
        data = Data(source="drawn_faces", images=70, size=8, mean=mean)
        assert prepare(data).preprocessing.mean == mean
    assert len(list(tmp_path.iterdir())) == 1
    assert capsys.readouterr().err.count("Decoding") == 1
