"""Tiny ImageNet's official layout, on pictures drawn here."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from mien.config import Data
from mien.data import guess_source, open_store, prepare
from mien.data.sources import tiny_imagenet
from mien.errors import DataError, MissingError

WNIDS = ("n03126707", "n01443537", "n02012849")  # not sorted, as in the official file
WORDS = "n00001740\tentity\nn01443537\tgoldfish, Carassius auratus\nn02012849\tcrane\nn03126707\tcrane, lifter\n"
BOX = "\t0\t32\t44\t62"


@pytest.fixture
def root(tmp_path, write_picture):
    """Three classes of two pictures each, and three of the five validation pictures that are annotated."""
    root = tmp_path / "tiny-imagenet-200"
    for seed, wnid in enumerate(WNIDS):
        for i in range(2):
            write_picture(root / "train" / wnid / "images" / f"{wnid}_{i}.JPEG", 10 * seed + i, (64, 64), "RGB")
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG{BOX}\n")
    for i in (0, 2, 4):
        write_picture(root / "val" / "images" / f"val_{i}.JPEG", 100 + i, (64, 64), "RGB")
    write_picture(root / "test" / "images" / "test_0.JPEG", 200, (64, 64), "RGB")
    lines = [f"val_{i}.JPEG\t{WNIDS[i % 3]}{BOX}" for i in range(5)]
    (root / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    (root / "wnids.txt").write_text("\n".join(WNIDS) + "\n")
    (root / "words.txt").write_text(WORDS)
    return root


def test_classes_are_words_in_the_order_of_their_wnids(root):
    assert tiny_imagenet.read(root).classes == ("goldfish", "crane (n02012849)", "crane (n03126707)")


def test_train_and_the_validation_pictures_that_are_there(root):
    listing = tiny_imagenet.read(root)
    assert Counter(zip(listing.splits, listing.labels, strict=True)) == {
        ("train", 0): 2, ("train", 1): 2, ("train", 2): 2,
        ("validation", 0): 1, ("validation", 1): 1, ("validation", 2): 1,
    }  # fmt: skip
    labels = dict(zip(listing.names, listing.labels, strict=True))
    assert labels["train/n01443537/images/n01443537_1.JPEG"] == 0
    assert [labels[f"val/images/val_{i}.JPEG"] for i in (0, 2, 4)] == [2, 1, 0]
    assert not listing.problems


def test_pictures_are_read_where_their_names_say(root):
    listing = tiny_imagenet.read(root)
    for i, name in enumerate(listing.names):
        np.testing.assert_array_equal(np.asarray(listing.read(i)), np.asarray(Image.open(root / name)))


def test_the_layout_is_recognised_and_becomes_a_store(root, cache):
    assert guess_source(root) == "tiny_imagenet"
    store = open_store(Data(source="tiny_imagenet", path=root, size=64, channels=3))
    assert store.images.shape == (9, 3, 64, 64)
    assert [len(store.indices(split)) for split in ("train", "validation", "test")] == [6, 3, 0]
    (root / "wnids.txt").unlink()
    assert guess_source(root) == "tiny_imagenet", "so that its reader can say what is missing"


def test_the_signature_follows_every_file(root, write_picture):
    found = [tiny_imagenet.read(root).signature]
    assert tiny_imagenet.read(root).signature == found[0]
    write_picture(root / "val" / "images" / "val_1.JPEG", 7, (64, 64), "RGB")
    found.append(tiny_imagenet.read(root).signature)
    write_picture(root / "train" / WNIDS[0] / "images" / "more.JPEG", 8, (64, 64), "RGB")
    found.append(tiny_imagenet.read(root).signature)
    for name in ("val/val_annotations.txt", "wnids.txt", "words.txt"):
        with (root / name).open("a") as file:
            file.write("\n")
        found.append(tiny_imagenet.read(root).signature)
    assert len(set(found)) == 6


@pytest.mark.parametrize("name", ["wnids.txt", "words.txt", "val/val_annotations.txt", "train", "val/images"])
def test_what_is_missing_is_named_with_the_layout(root, name):
    (root / name).rename(root / "elsewhere")
    wanted = rf"tiny-imagenet-200/{name} is missing\. Tiny ImageNet is a folder of wnids\.txt, words\.txt, train/<wnid>"
    with pytest.raises(MissingError, match=wanted):
        tiny_imagenet.read(root)


def test_the_folder_above_is_put_right(root):
    with pytest.raises(MissingError, match=r"wnids\.txt is missing\. .* Did you mean .*tiny-imagenet-200\?"):
        tiny_imagenet.read(root.parent)
    with pytest.raises(MissingError, match=r"words\.txt.wnids\.txt is missing"):
        tiny_imagenet.read(root / "words.txt")
    with pytest.raises(MissingError, match=r"Where is Tiny ImageNet\? Give `data\.path`"):
        tiny_imagenet.read(None)


def test_train_and_wnids_must_agree(root):
    (root / "train" / WNIDS[1]).rename(root / "train" / "n09999999")
    with pytest.raises(
        MissingError, match=r"train/n01443537 is missing, a class of wnids\.txt \(train has 2 of its 3\)\. Tiny"
    ):
        tiny_imagenet.read(root)
    (root / "wnids.txt").write_text(f"{WNIDS[0]}\n{WNIDS[2]}\n")
    with pytest.raises(DataError, match=r"train/n09999999 is a class that wnids\.txt lacks\. Add its line"):
        tiny_imagenet.read(root)
    (root / "wnids.txt").write_text(f"{WNIDS[0]}\n")
    with pytest.raises(DataError, match=r"wnids\.txt has 1 wnid; a classifier needs at least two"):
        tiny_imagenet.read(root)


def test_a_class_without_word_or_pictures(root):
    (root / "words.txt").write_text(WORDS.replace("n02012849\tcrane", "n02012849"))
    with pytest.raises(DataError, match=r"words\.txt has no word for n02012849, a class of wnids\.txt"):
        tiny_imagenet.read(root)
    (root / "words.txt").write_text(WORDS)
    for path in (root / "train" / WNIDS[0] / "images").iterdir():
        path.unlink()
    assert "train/n03126707 holds no images" in "".join(tiny_imagenet.read(root).problems.values())


def test_validation_pictures_sorted_by_class(root):
    """As many scripts leave them: val/<wnid>/ in place of val/images and its annotations."""
    before = tiny_imagenet.read(root)
    for line in (root / "val" / "val_annotations.txt").read_text().splitlines():
        name, wnid, *_ = line.split("\t")
        if (root / "val" / "images" / name).is_file():
            (root / "val" / wnid).mkdir(exist_ok=True)
            (root / "val" / "images" / name).rename(root / "val" / wnid / name)
    (root / "val" / "val_annotations.txt").unlink()
    for left in (root / "val" / "images").iterdir():
        left.unlink()
    (root / "val" / "images").rmdir()
    listing = tiny_imagenet.read(root)
    assert listing.classes == before.classes
    there = [(split, label) for i, (split, label) in enumerate(_pairs(before)) if i not in before.problems]
    assert sorted(_pairs(listing)) == sorted(there)


def _pairs(listing):
    return list(zip(listing.splits, listing.labels, strict=True))


def test_no_validation_picture_at_all(root):
    for path in (root / "val" / "images").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"val/images holds no images\. Tiny ImageNet is"):
        tiny_imagenet.read(root)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (("val_2.JPEG", "val_9.JPEG"), r"val_2\.JPEG has no line in val_annotations\.txt, so its class is not known\."),
        (
            ("val_2.JPEG\tn02012849", "val_2.JPEG\tn02012848"),
            r"val_2\.JPEG is of the class 'n02012848', which wnids\.txt lacks\. Did you mean 'n02012849'\?",
        ),
    ],
)
def test_a_validation_picture_without_a_class_is_an_error_that_names_it(root, cache, change, wanted):
    path = root / "val" / "val_annotations.txt"
    path.write_text(path.read_text().replace(*change))
    data = Data(source="tiny_imagenet", path=root, size=64, channels=3)
    with pytest.raises(DataError, match=wanted + r".*`data\.skip_bad`"):
        prepare(data)
    store = prepare(data.model_copy(update={"skip_bad": True}))
    assert list(store.unreadable) == ["val/images/val_2.JPEG"]
    assert len(store) == 8


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("val_7.JPEG n01443537", r"line 6 is 'val_7\.JPEG n01443537'; it must be a file, a tab and a wnid"),
        ("val_0.JPEG\tn01443537", r"line 6: val_0\.JPEG is n01443537 here and n03126707 above"),
    ],
)
def test_a_damaged_annotation_is_named_by_its_line(root, line, wanted):
    with (root / "val" / "val_annotations.txt").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(DataError, match=r"val_annotations\.txt " + wanted):
        tiny_imagenet.read(root)
