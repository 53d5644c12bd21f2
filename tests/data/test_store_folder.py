import hashlib
import json
import mmap
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from mien.data.decode import build
from mien.data.store import Store
from mien.data.store_folder import CHECKSUMS, load, read_meta, verify
from mien.errors import DataError, MissingError
from mien.preprocessing import Preprocessing

SMALL = Preprocessing(size=13)


def test_images_stay_on_disk(tmp_path, make_listing):
    store = build(make_listing(["train"] * 2, [0, 1]), SMALL, tmp_path / "store")
    owner = store.images[:]
    assert not owner.flags.writeable
    while isinstance(owner, np.ndarray):
        owner = owner.base
    assert isinstance(owner, mmap.mmap)


def test_a_loaded_store_equals_the_built_one(tmp_path, make_listing):
    groups = ("a", "b", "a")
    built = build(make_listing(["train", "test", "train"], [0, 1, 0], groups=groups), SMALL, tmp_path / "store")
    loaded = load(tmp_path / "store")
    assert loaded.fingerprint == built.fingerprint
    assert (loaded.names, loaded.groups, loaded.classes) == (built.names, groups, ("cat", "dog"))


def test_a_folder_without_a_store_is_missing(tmp_path):
    with pytest.raises(MissingError, match=r"is not a store: store\.json is missing"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["images", "labels", "splits", "sizes", "digests", "blanks"])
def test_a_truncated_file_is_damage(tmp_path, make_listing, name):
    build(make_listing(["train"] * 5, [0, 1, 0, 1, 0]), SMALL, tmp_path / "store")
    path = tmp_path / "store" / f"{name}.npy"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"The store .*store is damaged .*Delete that folder and prepare it again"):
        load(tmp_path / "store")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"names": 3}'])
def test_a_broken_store_json_is_damage(tmp_path, make_listing, text):
    build(make_listing(["train"], [0]), SMALL, tmp_path / "store")
    (tmp_path / "store" / "store.json").write_text(text)
    assert read_meta(tmp_path / "store") == {}
    with pytest.raises(DataError, match="is damaged"):
        load(tmp_path / "store")


def test_arrays_of_different_lengths_do_not_match(tmp_path, make_listing):
    build(make_listing(["train"] * 3, [0, 1, 0]), SMALL, tmp_path / "store")
    np.save(tmp_path / "store" / "labels.npy", np.zeros(2, np.int64))
    with pytest.raises(DataError, match=r"labels\.npy does not match its checksum"):
        load(tmp_path / "store")


def test_a_changed_pixel_is_noticed(tmp_path, make_listing):
    build(make_listing(["train"] * 3, [0, 1, 0]), SMALL, tmp_path / "store")
    path = tmp_path / "store" / "images.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    store = load(tmp_path / "store")
    assert store.images[:2].shape == (2, 1, 13, 13), "the others are whole"
    with pytest.raises(DataError, match=r"the pixels of 2\.png are not those that were written"):
        store.images[[1, 2]]


def test_a_store_of_an_older_format_is_not_reused(tmp_path, make_listing):
    build(make_listing(["train"], [0]), SMALL, tmp_path / "store")
    path = tmp_path / "store" / "store.json"
    meta = json.loads(path.read_text())
    assert read_meta(tmp_path / "store") == meta
    path.write_text(json.dumps(meta | {"format": meta["format"] - 1}))
    assert read_meta(tmp_path / "store") == {}


@pytest.fixture
def store_folder(tmp_path, make_listing) -> Path:
    """A store with all that there can be: groups, soft labels, an unreadable image, left out ones."""

    def read(i):
        if i == 5:
            raise DataError("5.png is torn.")
        return Image.effect_noise((13, 13), 40)

    count = 12
    more = {"groups": tuple("abcdefghijkl"), "left_out": {"removed": 3}}
    soft = np.random.default_rng(0).dirichlet((1, 1), count).astype(np.float32)
    listing = make_listing(["train", "test"] * 6, [0, 1] * 6, read=read, soft_labels=soft, **more)
    build(listing, SMALL, tmp_path / "store", skip_bad=True)
    return tmp_path / "store"


def read_whole(folder: Path) -> Store:
    store = load(folder)
    np.asarray(store.images)
    return store


def seal(folder: Path) -> None:
    """Give the files as they are now the checksums that belong to them."""
    checksums = json.loads((folder / CHECKSUMS).read_text())
    found = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in checksums}
    (folder / CHECKSUMS).write_text(json.dumps(found))


def test_a_whole_store_has_no_problems(store_folder):
    before = {path.name: path.read_bytes() for path in store_folder.iterdir()}
    assert verify(store_folder) == []
    assert {path.name: path.read_bytes() for path in store_folder.iterdir()} == before
    assert set(before) - {"images.npy", CHECKSUMS} == set(json.loads(before[CHECKSUMS]))


def test_no_flipped_bit_is_taken_for_whole(store_folder):
    """Every byte of every file carries something: 100 bits of each are flipped, one at a time."""
    whole = {path.name: path.read_bytes() for path in store_folder.iterdir()}
    random = np.random.default_rng(2013)
    for name, content in whole.items():
        for bit in random.integers(0, 8 * len(content), 100).tolist():
            flipped = bytearray(content)
            flipped[bit // 8] ^= 1 << bit % 8
            (store_folder / name).write_bytes(flipped)
            assert verify(store_folder), f"bit {bit} of {name}"
            with pytest.raises(DataError, match="is damaged"):
                read_whole(store_folder)
            (store_folder / CHECKSUMS).write_bytes(whole[CHECKSUMS])  # a store found to be damaged gives them up
        (store_folder / name).write_bytes(content)
    assert verify(store_folder) == []


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "store.json", "names.json"])
def test_bytes_that_were_added_cut_off_or_lost_are_damage(store_folder, name):
    content = (store_folder / name).read_bytes()
    for other in (content + b"\0", content[:-1], b""):
        (store_folder / name).write_bytes(other)
        assert verify(store_folder)
        with pytest.raises(DataError, match="is damaged"):
            load(store_folder)
    (store_folder / name).unlink()
    assert verify(store_folder)
    with pytest.raises(DataError, match=f"is damaged .*{name}"):
        load(store_folder)


def test_every_damaged_image_and_file_is_named(store_folder):
    images = bytearray((store_folder / "images.npy").read_bytes())
    images[-1] ^= 1
    images[-5 * 169] ^= 1
    (store_folder / "images.npy").write_bytes(images)
    assert verify(store_folder) == [f"{i}.png: its pixels are not those that were written." for i in (7, 11)]
    for name in ("sizes", "blanks"):
        np.save(store_folder / f"{name}.npy", np.zeros(3))
    told = ["Blanks.npy does not match its checksum.", "Sizes.npy does not match its checksum."]
    assert sorted(verify(store_folder)) == told


def test_a_fingerprint_of_other_content_is_a_problem(store_folder):
    meta = json.loads((store_folder / "store.json").read_text())
    (store_folder / "store.json").write_text(json.dumps(meta | {"fingerprint": "0" * 64}))
    seal(store_folder)
    assert verify(store_folder) == ["The content does not match the fingerprint."]


def test_there_is_nothing_to_verify_where_there_is_no_store(tmp_path):
    with pytest.raises(MissingError, match="is not a store"):
        verify(tmp_path)


def test_a_store_of_version_0_1_0_has_no_checksums(store_folder):
    meta = json.loads((store_folder / "store.json").read_text())
    (store_folder / "store.json").write_text(json.dumps(meta | {"format": 2}))
    (store_folder / CHECKSUMS).unlink()
    with pytest.raises(DataError, match=r"of another version of mien, without checksums\. Prepare it again"):
        load(store_folder)
    assert "without checksums" in verify(store_folder)[0]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), name=st.sampled_from(["store.json", "names.json", CHECKSUMS]))
def test_whatever_stands_in_its_json_a_store_opens_or_is_damaged(store_folder, data, name):
    """With checksums that belong to it, as somebody else's store would have."""
    whole = {path.name: path.read_bytes() for path in store_folder.iterdir()}
    values = json.loads(whole[name])
    chosen = data.draw(st.sampled_from([None, *sorted(values)]))
    if chosen is None:
        values = data.draw(VALUES)
    elif data.draw(st.booleans()):
        values[chosen] = data.draw(VALUES)
    else:
        del values[chosen]
    opens_or_is_damaged(store_folder, whole, name, json.dumps(values).encode())


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_its_arrays_begin_with_a_store_opens_or_is_damaged(store_folder, data):
    whole = {path.name: path.read_bytes() for path in store_folder.iterdir()}
    name = data.draw(st.sampled_from(sorted(name for name in whole if name.endswith(".npy"))))
    header, rest = whole[name][:128], whole[name][128:]
    start = data.draw(st.integers(0, len(header)))
    put_in = data.draw(st.binary(max_size=30) | st.sampled_from([b"'descr': '|O'", b"(9999999999999,)", b"__import__"]))
    removed = data.draw(st.integers(0, 30))
    opens_or_is_damaged(store_folder, whole, name, header[:start] + put_in + header[start + removed :] + rest)


def opens_or_is_damaged(folder: Path, whole: dict[str, bytes], name: str, content: bytes) -> None:
    try:
        (folder / name).write_bytes(content)
        if name != CHECKSUMS:
            seal(folder)
        problems = verify(folder)
        try:
            read_whole(folder)
        except DataError as error:
            assert "is damaged" in str(error) or "another version" in str(error)  # noqa: PT017
            assert problems
    finally:
        for each, before in whole.items():
            (folder / each).write_bytes(before)
