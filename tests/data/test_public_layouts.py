"""Public data sets as their archives unpack, and a phone's folder: the right counts, or one right sentence.

A few pictures each, in the folders and under the names that the real ones have.
"""

import gzip
import io

import numpy as np
import pytest
from odd_inputs import Odd, png, prepared, rows, tree

SEVEN = "7 classes: angry, disgust, fear, happy, sad, surprise, neutral"
EIGHT = SEVEN.replace("7", "8") + ", contempt"
FACES = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
SCENES = ("buildings", "forest", "glacier", "mountain", "sea", "street")
FILM, HEIC = b"\0\0\0\x18ftypqt  " + bytes(40), b"\0\0\0\x18ftypheic" + bytes(40)
JPEG = png(0, "JPEG")
WNIDS = ("n01443537", "n01629819")
WORDS = b"n01443537\tgoldfish, Carassius auratus\nn01629819\tEuropean fire salamander\nn02124075\tEgyptian cat\n"


def jpegs(pattern: str, *numbers: int) -> dict[str, bytes]:
    return {pattern.format(number): png(number, "JPEG") for number in numbers}


def each(pattern: str, names: tuple[str, ...], count: int) -> dict[str, int]:
    return {pattern.format(name): count for name in names}


def fer2013(*usages: str) -> bytes:
    pixels = " ".join(map(str, np.arange(2304) % 256))
    return "".join(
        ["emotion,pixels,Usage\n", *(f"{i % 7},{pixels},{usage}\n" for i, usage in enumerate(usages))]
    ).encode()


def votes(*rows: str) -> bytes:
    header = "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
    return (header + "".join(f"{row}\n" for row in rows)).encode()


def exp(number: int) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array(str(number)))
    return file.getvalue()


def affectnet(**sets: int) -> dict[str, bytes]:
    pictures = {f"{name}/images/{i}.jpg": png(i, "JPEG") for name, count in sets.items() for i in range(count)}
    notes = {f"{name}/annotations/{i}_exp.npy": exp(i % 8) for name, count in sets.items() for i in range(count)}
    return pictures | notes | {f"{name}/annotations/0_aro.npy": exp(0) for name in sets}


TINY = {"wnids.txt": "\n".join(WNIDS).encode(), "words.txt": WORDS, **each("train/{}/images", WNIDS, 2),
        **{f"train/{wnid}/{wnid}_boxes.txt": b"0" for wnid in WNIDS}, **jpegs("test/images/test_{}.JPEG",
        0, 1, 2)}  # fmt: skip
CATS_AND_DOGS = ("cats", "dogs")

EXPRESSIONS = rows(
    Odd("FER2013, Kaggle's folders", tree({**each("train/{}", FACES, 2), **each("test/{}", FACES, 1)}), 0,
        ("14 train, 7 test images", SEVEN)),
    Odd("FER2013, fer2013.csv", tree({"fer2013.csv": fer2013("Training", "PublicTest", "PrivateTest", "Training")},
        "fer2013.csv"), 0, ("2 train, 1 validation, 1 test images", SEVEN)),
    Odd("FER2013, the challenge's train.csv", tree({"train.csv": fer2013("", "", "").replace(b",Usage", b"").replace(
        b",\n", b"\n"), "test.csv": b"pixels\n"}, "train.csv"), 0, ("3 train images", SEVEN)),
    Odd("FER2013, the challenge's folder", tree({"icml_face_data.csv": fer2013("Training"),
        "train.csv": fer2013("Training"),
        "example_submission.csv": b"id"}), 4, "Did you mean HERE/icml_face_data.csv?"),
    Odd("FER+, both files", tree({"fer2013.csv": fer2013("Training", "Training", "PublicTest"), "fer2013new.csv": votes(
        "Training,fer0000000.png,10,0,0,0,0,0,0,0,0,0", "Training,,0,0,0,0,0,0,0,0,0,10",
        "PublicTest,a.png,0,0,0,0,0,0,0,9,1,0")}),
        0, ("1 train, 1 validation images", EIGHT, "left out: 1 removed")),
    Odd("FER+, its pictures alone", tree({"FER2013Train": 2, "FER2013Valid": 2, "FER2013Test": 1}), 4,
        "HERE has FER2013Test, FER2013Train, FER2013Valid, which hold pictures and no class folders."),
    Odd("RAF-DB, official", tree({**jpegs("Image/aligned/train_{}_aligned.jpg", 1, 2), **jpegs(
        "Image/aligned/test_{}_aligned.jpg", 1), "EmoLabel/list_patition_label.txt": b"train_1.jpg 5\ntrain_2.jpg 4\n"
        b"test_1.jpg 4\n"}), 0, ("2 train, 1 test images", SEVEN)),
    Odd("RAF-DB, Kaggle's", tree({**jpegs("DATASET/train/5/train_{}_aligned.jpg", 1), **jpegs(
        "DATASET/test/4/test_{}_aligned.jpg", 1), "train_labels.csv": b"image,label\ntrain_1_aligned.jpg,5\n",
        "test_labels.csv": b"image,label\ntest_1_aligned.jpg,4\n"}), 0, ("1 train, 1 test images", SEVEN)),
    Odd("AffectNet, official", tree(affectnet(train_set=9, val_set=8)), 0, ("9 train, 8 validation images", EIGHT)),
    Odd("AffectNet, Kaggle's folders", tree({**each("Train/{}", (*FACES, "contempt"), 2), **each("Test/{}",
        FACES, 1)}), 0,
        ("16 train, 7 test images", "8 classes: angry, contempt, disgust")),
)  # fmt: skip

OBJECTS = rows(
    Odd("Tiny ImageNet, raw", tree({**TINY, **jpegs("val/images/val_{}.JPEG", 0, 1), "val/val_annotations.txt":
        b"val_0.JPEG\tn01443537\t0\t0\t9\t9\nval_1.JPEG\tn01629819\t0\t0\t9\t9\n"}), 0,
        ("4 train, 2 validation images", "2 classes: goldfish, European fire salamander",
         "left out: 2 .txt files, 3 pictures in test/, which has no labels")),
    Odd("Tiny ImageNet, sorted", tree({**TINY, **each("val/{}/images", WNIDS, 1)}), 0,
        ("4 train, 2 validation images", "2 classes: goldfish, European fire salamander")),
    Odd("Tiny ImageNet, sorted and without lists", tree({**each("train/{}/images", WNIDS, 2), **each("val/{}",
        WNIDS, 1)}), 0,
        ("4 train, 2 validation images", "2 classes: n01443537, n01629819")),
    Odd("Dogs vs Cats, raw", tree({**jpegs("train/cat.{}.jpg", 0, 1), **jpegs("train/dog.{}.jpg", 2, 3),
        **jpegs("test1/{}.jpg", 1, 2)}), 0, ("4 train images", "2 classes: cat, dog",
        "left out: 2 pictures in test1/, which have no labels")),
    Odd("Dogs vs Cats, unpacked into train", tree({**jpegs("train/train/cat.{}.jpg", 0),
        **jpegs("train/train/dog.{}.jpg", 2)}),
        0, ("2 train images", "2 classes: cat, dog")),
    Odd("Dogs vs Cats, not unpacked", tree({"train.zip": b"PK\x03\x04", "test1.zip": b"PK\x03\x04"}),
        4, "Unpack test1.zip"),
    Odd("Dogs vs Cats, sorted", tree({**each("train/{}", CATS_AND_DOGS, 2), **each("validation/{}", CATS_AND_DOGS, 1),
        "vectorize.py": b"import os"}), 0, ("4 train, 2 validation images", "2 classes: cats, dogs")),
    Odd("Dogs vs Cats, another Kaggle copy", tree({**each("training_set/training_set/{}", CATS_AND_DOGS, 2),
        **each("test_set/test_set/{}", CATS_AND_DOGS, 1), "training_set/training_set/cats/_DS_Store": b"x"}), 0,
        ("4 train, 2 test images", "2 classes: cats, dogs", "left out: 1 file without an ending")),
    Odd("Dogs vs Cats, Microsoft's PetImages", tree({**each("PetImages/{}", ("Cat", "Dog"), 2),
        "PetImages/Cat/Thumbs.db": b"x",
        "PetImages/Dog/11702.jpg": b"", "readme[1].txt": b"r"}, "PetImages"), 4,
        "HERE/PetImages/Dog/11702.jpg cannot be read as an image (it is an empty file)."),
    Odd("Intel scenes", tree({**each("seg_train/seg_train/{}", SCENES, 2), **each("seg_test/seg_test/{}", SCENES, 1),
        "seg_pred/seg_pred": 4}), 0, ("12 train, 6 test images",
        "6 classes: buildings, forest, glacier, mountain, sea, street",
        "left out: 4 pictures in seg_pred/, which is none of train, validation, test")),
    Odd("a phone's folder", tree({"DCIM/Camera/IMG_1.jpg": JPEG, "DCIM/Screenshots/S.png": png(1)}), 4,
        "HERE has one class folder; a classifier needs at least two. Did you mean HERE/DCIM?"),
    Odd("a phone's pictures in folders", tree({"cat": 2, "dog": 2, "cat/IMG_1.MOV": FILM, "cat/IMG_1.AAE": b"<xml>",
        "dog/.nomedia": b"", "dog/.thumbnails/1.jpg": JPEG, "dog/VID_2.mp4": FILM}), 0,
        ("4 train images", "left out: 1 .aae file, 1 .mov file, 1 .mp4 file")),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _cache(cache):
    """Stores of these tests are thrown away."""


@EXPRESSIONS
def test_expressions(odd, tmp_path, capsys):
    prepared(odd, tmp_path, capsys)


@OBJECTS
def test_objects(odd, tmp_path, capsys):
    prepared(odd, tmp_path, capsys)


def test_fer2013_packed_is_fer2013(tmp_path, capsys):
    content = fer2013("Training", "PublicTest", "PrivateTest")
    whole = prepared(Odd("", tree({"a.csv": content}, "a.csv"), 0, SEVEN), tmp_path, capsys)
    packed = prepared(Odd("", tree({"a.csv.gz": gzip.compress(content)}, "a.csv.gz"), 0, SEVEN), tmp_path, capsys)
    fingerprint = [line for line in whole.splitlines() if line.startswith("fingerprint")]
    assert fingerprint == [line for line in packed.splitlines() if line.startswith("fingerprint")]
