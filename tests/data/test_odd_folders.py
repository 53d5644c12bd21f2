"""Folders as people have them: other names of splits, nested, half sorted, with files of other kinds in them.

Each is read rightly, or refused in one sentence; what is left out is counted and named.
"""

import unicodedata

import pytest
from odd_inputs import Odd, png, prepared, rows, tree

NFD = unicodedata.normalize("NFD", "colère")
TWO = "2 classes: cat, dog\n"
ONE_AND_ONE = {"cat": 1, "dog": 1}
TRAIN = {"train/cat": 2, "train/dog": 2}
FILM = b"\0\0\0\x18ftypmp42" + bytes(40)
HEIC = b"\0\0\0\x18ftypheic" + bytes(40)

READ = rows(
    Odd("training_set and test_set", tree({"training_set/cat": 3, "training_set/dog": 2, "test_set/cat": 1}), 0,
        ("5 train, 1 test images", TWO)),
    Odd("seg_train, seg_test, seg_pred",
        tree({"seg_train/cat": 2, "seg_train/dog": 2, "seg_test/dog": 1, "seg_pred": 3}), 0,
        ("4 train, 1 test images", TWO, "left out: 3 pictures in seg_pred/, which is none of train, validation, test")),
    Odd("train and eval", tree({**TRAIN, "eval/cat": 1}), 0, ("4 train, 1 validation images", TWO)),
    Odd("train and dev", tree({**TRAIN, "dev/cat": 1}), 0, ("4 train, 1 validation images", TWO)),
    Odd("val_256", tree({**TRAIN, "val_256/dog": 2}), 0, ("4 train, 2 validation images", TWO)),
    Odd("Train Images and Test-Images", tree({"Train Images/cat": 1, "Train Images/dog": 1, "Test-Images/cat": 1}), 0,
        ("2 train, 1 test images", TWO)),
    Odd("train/train and test/test", tree({"train/train/cat": 2, "train/train/dog": 1, "test/test/cat": 1}), 0,
        ("3 train, 1 test images", TWO)),
    Odd("seg_train/seg_train", tree({"seg_train/seg_train/cat": 2, "seg_train/seg_train/dog": 1}), 0, ("3 train", TWO)),
    Odd("the folder once more in itself", tree({"pets/pets/cat": 2, "pets/pets/dog": 1}, "pets"), 0, ("3 train", TWO)),
    Odd("a folder beside train and test", tree({**TRAIN, "extra/cat": 3}), 0,
        ("4 train images", "left out: 3 pictures in extra/, which is none of train, validation, test")),
    Odd("test without classes", tree({**TRAIN, "test": 5}), 0,
        ("4 train images", "left out: 5 pictures in test/, which has no class folders")),
    Odd("a class called train", tree({"car": 2, "plane": 2, "train": 2}), 0, ("6 train",
        "3 classes: car, plane, train")),
    Odd("classes called test and train", tree({"final": 1, "test": 1, "train": 1}), 0, "3 classes: final, test, train"),
    Odd("pictures beside the class folders", tree({**ONE_AND_ONE, ".": 3}), 0,
        ("2 train images", "left out: 3 pictures directly in ")),
    Odd("pictures in train beside its classes", tree({**TRAIN, "train": 2}), 0,
        ("4 train images", "left out: 2 pictures directly in train/, in no class folder")),
    Odd("happy and Happy", tree({"happy": 2, "Happy": 1, "sad": 1}), 0,
        ("'Happy' and 'happy' are one class, 'happy'", "2 classes: happy, sad", "4 train")),
    Odd("an accent composed and not", tree({"colère": 1, NFD: 2, "joie": 1}), 0, ("are one class", "2 classes",
        "4 train")),
    Odd("Dogs in test, dogs in train", tree({"train/cats": 1, "train/dogs": 1, "test/Dogs": 2}), 0,
        ("2 train, 2 test", "2 classes: cats, dogs")),
    Odd("an accent not composed in test", tree({"train/colère": 1, "train/joie": 1, f"test/{NFD}": 2}), 0, "2 test"),
    Odd("what systems leave behind", tree({**ONE_AND_ONE, "cat/Thumbs.db": b"x", "cat/.DS_Store": b"x",
                                           "__MACOSX/cat/._0.png": b"x", "@eaDir/0.png": b"x"}), 0, ("2 train", TWO)),
    Odd("Chinese classes", tree({"愤怒": 1, "中性": 1}), 0, "2 classes: 中性, 愤怒"),
    Odd("folders in the classes", tree({"cat/2019": 1, "cat/2020": 1, "dog": 1}), 0, ("3 train", TWO)),
    Odd("films and lists", tree({**ONE_AND_ONE, "cat/a.mp4": FILM, "cat/b.MOV": FILM, "dog/c.mp4": FILM,
                                 "dog/l.txt": b"l"}),
        0, ("2 train", "left out: 2 .mp4 files, 1 .mov file, 1 .txt file")),
    Odd("pictures by content", tree({**ONE_AND_ONE, "cat/a.jfif": png(90, "JPEG"), "cat/b": png(91, "JPEG"),
                                     "dog/c.avif": png(92, "AVIF"), "dog/d.image": png(93)}), 0, ("6 train images",
        TWO)),
    Odd("an empty class, skipped", tree({"cat": 2, "dog": 2, "fox": 0}), 0,
        ("4 train", "left out: 1 unreadable"), ("--data.skip_bad",)),
)  # fmt: skip

REFUSED = rows(
    Odd("no such folder", tree({}, "nowhere"), 3, "HERE/nowhere: there is no such file or folder."),
    Odd("an empty folder", tree({}), 4, "HERE has no class folder; a classifier needs at least two. Put the pictures "
        "of each class in a sub-folder named after it, or list them in a CSV of path,label."),
    Odd("pictures without folders", tree({".": 4}), 4, "HERE has no class folder"),
    Odd("one class", tree({"cat": 4}), 4, "HERE has one class folder"),
    Odd("the folder above the data", tree({"archive/cat": 1, "archive/dog": 1}), 4, "Did you mean HERE/archive?"),
    Odd("the folder of a table", tree({"faces.csv": b"path,label\n"}), 4, "Did you mean HERE/faces.csv?"),
    Odd("nothing but an archive", tree({"pets.zip": b"PK\x03\x04" + bytes(40)}), 4, "Unpack pets.zip first."),
    Odd("train and test without classes", tree({"train": 3, "test": 2}),
        4, "HERE has test, train, which hold pictures and "
        "no class folders. Sort the pictures into a sub-folder for each class, or list them in a CSV of path,label."),
    Odd("splits of other names", tree({"A/cat": 1, "A/dog": 1, "B/cat": 1, "B/dog": 1}), 4,
        "A, B in HERE all hold the same sub-folders, cat, dog, so it is not clear which are the classes. Call splits "
        "train, validation and test"),
    Odd("parts in train", tree({"train/1/cat": 1, "train/1/dog": 1, "train/2/cat": 1, "train/2/dog": 1}), 4,
        "1, 2 in HERE/train all hold the same sub-folders, cat, dog"),
    Odd("no train", tree({"validation/cat": 1, "validation/dog": 1, "test/cat": 1}), 4,
        "HERE has test, validation and no train folder. Add train/."),
    Odd("validation twice", tree({**TRAIN, "val/cat": 1, "eval/cat": 1}), 4,
        "HERE has both eval/ and val/: keep one of them as validation."),
    Odd("an empty class", tree({"cat": 2, "fox": 0}), 4, "HERE/fox holds no images. Add some, or remove the folder."),
    Odd("a class of lists", tree({"cat": 2, "fox/a.txt": b"a", "fox/b.txt": b"b"}), 4,
        "HERE/fox holds no images (but 2 .txt files). Add some, or remove the folder."),
    Odd("a class that train lacks", tree({**TRAIN, "test/dogs": 1}), 4,
        "HERE/test/dogs is a class that train lacks (it has cat, dog). Add training images of 'dogs', or remove that "
        "folder. Did you mean 'dog'?"),
    Odd("a picture", tree({"a.png": png(0)}, "a.png"), 4, "a.png is a picture (PNG), no table."),
    Odd("a film", tree({"a.mp4": FILM}, "a.mp4"), 4, "a.mp4 is a film (MP4 or QuickTime), no table."),
    Odd("an encoding for pictures", tree(ONE_AND_ONE), 2, "--data.encoding gbk: the source folder reads no text.",
        ("--data.encoding", "gbk")),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _cache(cache):
    """Stores of these tests are thrown away."""


@READ
def test_a_folder_that_is_read(odd, tmp_path, capsys):
    prepared(odd, tmp_path, capsys)


@REFUSED
def test_a_folder_that_is_refused(odd, tmp_path, capsys):
    prepared(odd, tmp_path, capsys)
