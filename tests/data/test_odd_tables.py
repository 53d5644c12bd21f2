"""Tables as people have them: other encodings, separators and packings, FER2013's in every form.

Each is read rightly, or refused in one sentence that names the row and says what to do.
"""

import gzip
import io
import tarfile
import unicodedata
import zipfile

import numpy as np
import pyarrow
import pytest
from odd_inputs import Odd, png, prepared, rows, tree
from pyarrow import parquet

CSV = "path,label\n0.png,cat\n1.png,dog\n2.png,cat\n"
PICTURES = {f"{number}.png": png(number) for number in range(4)}
READ_ALL = ("3 train images", "2 classes: cat, dog\n")
PIXELS = " ".join(["7", "9"] * 1152)
HEADER = "emotion,pixels,Usage\n"
FACES = f"{HEADER}0,{PIXELS},Training\n3,{PIXELS},Training\n"
SEVEN = ("2 train images", "7 classes: angry, disgust, fear, happy, sad, surprise, neutral")


def table(text: str | bytes, name: str = "faces.csv", encoding: str = "utf-8", **more: bytes):
    """A table beside four pictures; `more`: further pictures."""
    content = text if isinstance(text, bytes) else text.encode(encoding)
    return tree({**PICTURES, **more, name: content}, name)


def zipped(content: dict[str, str | bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for name, text in content.items():
            packed.writestr(name, text)
    return file.getvalue()


def tarred(content: dict[str, str]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as packed:
        for name, text in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            packed.addfile(entry, io.BytesIO(text.encode()))
    return file.getvalue()


def as_parquet(**columns: list) -> bytes:
    file = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


PARQUET = as_parquet(path=["0.png", "1.png", "2.png"], label=["cat", "dog", "cat"])
CHINESE = "path,label\n0.png,愤怒\n1.png,中性\n2.png,愤怒\n"
RUSSIAN = "path;label\n0.png;кот\n1.png;пёс\n2.png;кот\n"

TEXT = rows(
    Odd("GBK", table(CHINESE, encoding="gbk"), 4, (
        "faces.csv row 2 is not UTF-8: it may say '0.png,愤怒' (gbk) or ",
        "Save the file as UTF-8 ('CSV UTF-8' in Excel), "
        "or name its encoding, --data.encoding gbk say.")),
    Odd("GBK that is named", table(CHINESE, encoding="gbk"), 0, "2 classes: 中性, 愤怒", ("--data.encoding", "gbk")),
    Odd("cp1251", table(RUSSIAN, encoding="cp1251"), 4, "'0.png;кот' (cp1251)"),
    Odd("cp1251 that is named", table(RUSSIAN, encoding="cp1251"), 0, "2 classes: кот, пёс", ("--data.encoding",
        "cp1251")),
    Odd("cp1252", table("path,label\n0.png,colère\n", encoding="cp1252"), 4, "'0.png,colère' (cp1252)"),
    Odd("Shift JIS", table("path,label\n0.png,猫\n", encoding="shift_jis"), 4, "'0.png,猫' (shift_jis)"),
    Odd("an encoding that it is not", table(CHINESE, encoding="gbk"), 4, "faces.csv row 2 is not ascii. Give another",
        ("--data.encoding", "ascii")),
    Odd("no encoding", table(CSV), 2, "--data.encoding gbkk: there is no such encoding. Did you mean 'gbk'?",
        ("--data.encoding", "gbkk")),
    Odd("UTF-16 of Excel", table("\ufeff" + CSV.replace(",", "\t"), encoding="utf-16-le"), 0, READ_ALL),
    Odd("UTF-16, other order", table("\ufeff" + CSV, encoding="utf-16-be"), 0, READ_ALL),
    Odd("UTF-16 without its mark", table(CSV, encoding="utf-16-le"), 4, "If it is UTF-16 without its mark: "
        "--data.encoding utf-16-le"),
    Odd("UTF-8 with its mark", table(CSV, encoding="utf-8-sig"), 0, READ_ALL),
    Odd("semicolons", table(CSV.replace(",", ";")), 0, READ_ALL),
    Odd("tabs", table(CSV.replace(",", "\t"), "faces.tsv"), 0, READ_ALL),
    Odd("sep=;", table("sep=;\r\n" + CSV.replace(",", ";").replace("\n", "\r\n")), 0, READ_ALL),
    Odd("ends of an old Mac", table(CSV.replace("\n", "\r")), 0, READ_ALL),
    Odd("quotes", table(CSV.replace("cat", '"cat"')), 0, READ_ALL),
    Odd("empty", table(""), 4, "faces.csv lacks the column 'path': its first line is ''."),
    Odd("a header alone", table("path,label\n"), 4, "faces.csv has a header and no rows."),
    Odd("no header", table(CSV.partition("\n")[2]), 4, "lacks the column 'path': its first line is '0.png,cat'."),
    Odd("a misspelt column", table(CSV.replace("label", "lable")), 4, "lacks the column 'label'"),
    Odd("JSON", table('{"a": 1}', "faces.json"), 4, "faces.json lacks the column 'path'"),
    Odd("bytes", table(bytes(range(256))), 4, "faces.csv is no text. A table is CSV"),
)  # fmt: skip

PACKED = rows(
    Odd("zip", table(zipped({"set/faces.csv": CSV, "__MACOSX/._faces.csv": "x"}), "faces.zip"), 0, READ_ALL),
    Odd("gzip", table(gzip.compress(CSV.encode()), "faces.csv.gz"), 0, READ_ALL),
    Odd("tar.gz", table(tarred({"set/faces.csv": CSV, "set/README": "read"}), "faces.tar.gz"), 0, READ_ALL),
    Odd("parquet", table(PARQUET, "faces.parquet"), 0, READ_ALL),
    Odd("two tables", table(zipped({"a.csv": CSV, "b.csv": CSV}), "faces.zip"), 4,
        "faces.zip holds 2 tables (a.csv, b.csv). Unpack it, and give one of them."),
    Odd("an archive of pictures", table(zipped({"cat/a.png": png(0)}), "pets.zip"), 4,
        "pets.zip has one class folder; a classifier needs at least two."),
    Odd("an Excel workbook", table(zipped({"xl/workbook.xml": "x"}), "faces.xlsx"), 4,
        "faces.xlsx is an Excel workbook. Save it as 'CSV UTF-8' and give that file."),
    Odd("an old Excel file", table(b"\xd0\xcf\x11\xe0" + bytes(600), "faces.xls"),
        4, "faces.xls is an Excel or Word file"),
    Odd("half a zip", table(zipped({"faces.csv": CSV})[:60], "faces.zip"), 4, "faces.zip cannot be unpacked"),
    Odd("half a tar.gz", table(tarred({"faces.csv": CSV})[:60], "faces.tar.gz"), 4, "faces.tar.gz cannot be unpacked"),
    Odd("half a gzip", table(gzip.compress(CSV.encode())[:20], "faces.csv.gz"), 4, "faces.csv.gz cannot be unpacked"),
    Odd("half a parquet", table(PARQUET[:200], "faces.parquet"), 4, "faces.parquet is damaged"),
    Odd("a 7-Zip archive", table(b"7z\xbc\xaf\x27\x1c" + bytes(40), "faces.7z"), 4,
        "faces.7z is an archive (7-Zip), no table"),
    Odd("a picture", table(png(0), "0.png"), 4, "0.png is a picture (PNG), no table."),
    Odd("a NumPy array", table(b"\x93NUMPY" + bytes(40), "faces.npy"), 4, "faces.npy is a NumPy array, no table."),
)  # fmt: skip

ROWS = rows(
    Odd("a picture that is not there", table(CSV + "9.png,dog\n"),
        4, ("faces.csv row 5: HERE/9.png is not there. Paths "
        "are relative to the table.", "--data.skip_bad")),
    Odd("a label that is empty", table(CSV + "3.png,\n"), 4, "faces.csv row 5: the label is empty."),
    Odd("a split of another name", table("path,label,split\n0.png,cat,later\n"), 4, "faces.csv has 0 labels"),
    Odd("splits in other words", table("path,label,split\n0.png,cat,train_set\n1.png,dog,Training\n2.png,cat,dev\n"), 0,
        "2 train, 1 validation images"),
    Odd("one label", table("path,label\n0.png,cat\n"), 4, "faces.csv has 1 label in its usable training rows."),
    Odd("a label that train lacks", table("path,label,split\n0.png,cat,train\n1.png,dog,train\n2.png,dogs,test\n"), 4,
        "faces.csv row 4: the label 'dogs' is in test and not in train (there: cat, dog). Did you mean 'dog'?"),
    Odd("a person in two splits", table("path,label,split,group\n0.png,a,train,g\n1.png,b,test,g\n"), 4,
        "Group 'g' is in two splits"),
    Odd("Cat and cat", table(CSV + "3.png,Cat\n"), 0, ("'Cat' and 'cat' are one class, 'cat'.", "4 train",
        "2 classes")),
    Odd("backslashes", tree({"cat/0.png": png(0), "dog/1.png": png(1),
        "a.csv": b"path,label\ncat\\0.png,c\ndog\\1.png,d\n"},
        "a.csv"), 0, "2 train images"),
    Odd("other case", table(CSV.replace("0.png", "0.PNG")), 0, READ_ALL),
    Odd("accents not composed", table("path,label\nété.png,a\n1.png,b\n",
        **{unicodedata.normalize("NFD", "été.png"): png(9)}), 0, "2 train images"),
    Odd("too few columns", table(CSV + "3.png\n"), 4, "faces.csv row 5 has 1 columns, 2 are needed."),
)  # fmt: skip

FER2013 = rows(
    Odd("Kaggle's train.csv", table(FACES.replace(",Usage", "").replace(",Training", ""), "train.csv"), 0, SEVEN),
    Odd("emotion 0.0", table(FACES.replace("\n0,", "\n0.0,").replace("\n3,", "\n3.0,")), 0, SEVEN),
    Odd("emotion Angry", table(FACES.replace("\n0,", "\nAngry,").replace("\n3,", "\nHappiness,")), 0, SEVEN),
    Odd("pixels in brackets", table(FACES.replace(PIXELS, f'"[{PIXELS.replace(" ", ", ")}]"')), 0, SEVEN),
    Odd("pixels 7.0", table(FACES.replace(PIXELS, PIXELS.replace("7", "7.0"))), 0, SEVEN),
    Odd("semicolons", table(FACES.replace(",", ";")), 0, SEVEN),
    Odd("tabs", table(FACES.replace(",", "\t")), 0, SEVEN),
    Odd("icml_face_data.csv", table(FACES.replace(HEADER, "emotion, Usage, pixels\n").replace(f"{PIXELS},Training",
        f"Training,{PIXELS}")), 0, SEVEN),
    Odd("zip", table(zipped({"fer2013/fer2013.csv": FACES}), "archive.zip"), 0, SEVEN),
    Odd("tar.gz", table(tarred({"fer2013/fer2013.csv": FACES, "fer2013/README": "read"}), "fer2013.tar.gz"), 0, SEVEN),
    Odd("parquet", table(as_parquet(emotion=[0, 3], pixels=[PIXELS] * 2, Usage=["Training"] * 2), "fer.parquet"),
        0, SEVEN),
    Odd("parquet of lists", table(as_parquet(emotion=[0, 3], pixels=[list(range(48)) * 48] * 2), "fer.parquet"),
        0, SEVEN),
    Odd("Kaggle's test.csv", table(f"pixels\n{PIXELS}\n"), 4, "faces.csv lacks the column 'emotion'"),
    Odd("no header", table(FACES.partition("\n")[2]), 4, "faces.csv lacks the column 'path'"),
    Odd("emotion 7", table(FACES.replace("\n3,", "\n7,")),
        4, "faces.csv row 3: emotion is '7', it must be a number from 0 "
        "to 6, or a word of angry, disgust, fear, happy, sad, surprise, neutral."),
    Odd("a pixel short", table(FACES.replace(PIXELS, PIXELS[2:], 1)),
        4, "faces.csv row 2 has 2,303 pixels, 2,304 are needed."),
    Odd("a pixel of 300", table(FACES.replace("7 ", "300 ", 1)), 4, "row 2: pixels must lie in 0..255, found 300."),
    Odd("pixels 0..1", table(FACES.replace("7 ", "0.5 ")), 4, "row 2: a pixel is not a whole number from 0 to 255."),
    Odd("another Usage", table(FACES.replace("Training", "Later", 1)),
        4, "row 2: Usage is 'Later', it must be Training"),
    Odd("half a row", table(f"{HEADER}0,{PIXELS},Training\n3,7"), 4, "row 3 has 2 columns, 3 are needed."),
)  # fmt: skip


def raf_db(lines: bytes):
    pictures = {f"Image/aligned/train_{i}_aligned.jpg": png(i, "JPEG") for i in range(2)}
    return tree({**pictures, "EmoLabel/list_patition_label.txt": lines})


def tiny_imagenet(words: bytes):
    pictures = {f"train/{wnid}/images/{wnid}_0.JPEG": png(i, "JPEG") for i, wnid in enumerate("ab")}
    notes = b"val_0.JPEG\ta\t0\t0\t9\t9\n"
    more = {"val/images/val_0.JPEG": png(7, "JPEG"), "val/val_annotations.txt": notes, "wnids.txt": b"a\nb\n"}
    return tree({**pictures, **more, "words.txt": words})


LISTS = rows(
    Odd("RAF-DB's list in cp1252", raf_db(b"train_0.jpg 5\ntrain_\xe9.jpg 4\n"),
        4, "list_patition_label.txt row 2 is not UTF-8"),
    Odd("Tiny ImageNet's words in cp1252", tiny_imagenet("a\tgoldfish\nb\tcrème\n".encode("cp1252")), 4,
        "words.txt row 2 is not UTF-8: it may say 'b\\tcr"),
    Odd("Tiny ImageNet's words, named", tiny_imagenet("a\tgoldfish\nb\tcrème\n".encode("cp1252")), 0,
        "2 classes: goldfish, crème", ("--data.encoding", "cp1252")),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _cache(cache):
    """Stores of these tests are thrown away."""


@TEXT
def test_text(odd, tmp_path, capsys):
    prepared(odd, tmp_path, capsys)


@PACKED
def test_packed(odd, tmp_path, capsys):
    prepared(odd, tmp_path, capsys)


@ROWS
def test_rows(odd, tmp_path, capsys):
    prepared(odd, tmp_path, capsys)


@FER2013
def test_fer2013(odd, tmp_path, capsys):
    prepared(odd, tmp_path, capsys)


@LISTS
def test_lists(odd, tmp_path, capsys):
    prepared(odd, tmp_path, capsys)


def test_pixels_in_brackets_are_the_pixels(tmp_path, capsys, monkeypatch):
    from mien.data.pixel_table import read

    values = np.random.default_rng(0).integers(0, 256, 48 * 48)
    path = table(f'emotion,pixels\n0,"{values.tolist()}"\n')(tmp_path)
    assert np.array_equal(np.asarray(read(path, ("a", "b")).read(0)).ravel(), values)
