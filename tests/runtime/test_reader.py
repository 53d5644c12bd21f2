"""Pictures of every kind read with an exported network."""

import weakref

import numpy as np
import pytest
from PIL import Image

import mien
from mien.errors import DataError, UsageError
from mien.runtime import job
from mien.runtime.job import read_all
from mien.runtime.network import Prediction


@pytest.fixture
def reader(finished):
    return mien.load(finished)


def test_faces_together_equal_faces_alone(reader, faces):
    together = reader.read(faces, detect=False)
    for many, face in zip(together, faces, strict=True):
        one = reader.read(face, detect=False)
        assert many[0].box == one[0].box == (0, 0, 24, 24)
        assert many[0].probabilities == pytest.approx(one[0].probabilities, abs=1e-6)
        assert sum(one[0].probabilities.values()) == pytest.approx(1, abs=1e-5)
        assert one[0].label == max(one[0].probabilities, key=one[0].probabilities.get)


def test_every_kind_of_picture_gives_the_same_answer(reader, tmp_path):
    colour = np.random.default_rng(1).integers(0, 256, (31, 24, 3), dtype=np.uint8)
    picture = Image.fromarray(colour)
    picture.save(tmp_path / "p.png")
    expected = reader.read(picture, detect=False)
    assert reader.read(tmp_path / "p.png", detect=False) == expected
    assert reader.read((tmp_path / "p.png").read_bytes(), detect=False) == expected
    assert reader.read(colour, detect=False) == expected
    assert reader.read(colour[..., ::-1], detect=False, order="BGR") == expected
    for both in reader.read([colour, picture], detect=False):
        assert both[0].probabilities == pytest.approx(expected[0].probabilities, abs=1e-6)


def test_faces_are_looked_for_in_what_a_16_bit_picture_shows(finished, tmp_path):
    seen = []

    class Looking:
        def detect(self, image):
            seen.append(image)
            return [(0, 0, 24, 24)]

    grey = np.random.default_rng(3).integers(0, 256, (24, 24), dtype=np.uint8)
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    reader = mien.load(finished, Looking())
    deep, plain = reader.read([tmp_path / "deep.png", grey])
    np.testing.assert_array_equal(seen[0], seen[1])
    assert deep == plain


def test_a_turned_photo_is_read_upright(reader, tmp_path):
    picture = Image.fromarray(np.random.default_rng(2).integers(0, 256, (24, 24), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    picture.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    found = reader.read(tmp_path / "turned.png", detect=False)[0]
    assert found.probabilities == pytest.approx(reader.read(picture, detect=False)[0].probabilities, abs=1e-5)


def test_what_cannot_be_read(reader, tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(DataError, match=r"text\.jpg cannot be read as an image"):
        reader.read(tmp_path / "text.jpg")
    with pytest.raises(DataError, match="These 4 bytes cannot be read as an image"):
        reader.read(b"junk")
    with pytest.raises(UsageError, match=r"uint8 \(H, W\) or \(H, W, 3\), given float64 \(3, 3\)"):
        reader.read(np.zeros((3, 3)))
    for detect in (True, False):  # with detect=False this is not 48 faces, 4 pixels wide
        with pytest.raises(
            UsageError, match=r"given uint8 \(48, 48, 4\)\. Leave transparency out: image\[\.\.\., :3\]"
        ):
            reader.read(np.zeros((48, 48, 4), dtype=np.uint8), detect=detect)
    with pytest.raises(UsageError, match=r"given uint8 \(0, 5\)"):
        reader.read(np.zeros((0, 5), dtype=np.uint8))
    with pytest.raises(UsageError, match="0 x 5 pixels shows nothing"):
        reader.read(Image.new("L", (0, 5)))
    with pytest.raises(UsageError, match=r"A float is no picture\. Give a path, bytes, a PIL image"):
        reader.read(3.0)
    with pytest.raises(UsageError, match=r"is a folder\. Give a list of its pictures"):
        reader.read(tmp_path)
    with pytest.raises(UsageError, match="order 'GBR' is not known"):
        reader.read(np.zeros((3, 3), np.uint8), order="GBR")


def test_memory_holds_a_few_pictures_only(reader, faces, tmp_path, monkeypatch):
    """However many pictures a folder has and share a batch, a picture is let go once its faces are cut out."""
    given, most = [], []
    find = reader.find

    def decoded(path, source):
        if path.name == "5":
            return "5 is bad"
        picture = Image.fromarray(faces[0])
        given.append(weakref.ref(picture))
        return picture

    def counted(picture, **how):
        most.append(sum(alive() is not None for alive in given))
        return find(picture, **how)

    monkeypatch.setattr(job, "decoded", decoded)
    monkeypatch.setattr(reader, "find", counted)
    paths, bad = [tmp_path / str(number) for number in range(40)], {}
    assert [path for path, _ in read_all(reader, paths, detect=False, bad=bad)] == paths[:5] + paths[6:]
    assert bad == {paths[5]: "5 is bad"}
    assert len(most) == 39
    assert max(most) <= job.AHEAD + 3  # those ahead, the one at work, two that are being handed on


def test_answers_that_are_no_numbers_are_refused(faces, reader, monkeypatch):
    """JSON has none for them, and no probability is to be trusted."""
    monkeypatch.setattr(type(reader.network), "answer", lambda *_: (np.full((1, 7), np.nan, np.float32), None))
    with pytest.raises(DataError, match="answers with what are no numbers"):
        reader.read(faces[0], detect=False)


def test_labels_that_differ_in_case_alone_stay_apart(faces):
    class Network:
        labels, threshold, sets = ("A", "a"), 0.0, None

        class preprocessing:  # noqa: N801
            pixels_of_upright = staticmethod(lambda image: np.zeros((1, 4, 4), np.uint8))

        @staticmethod
        def predict(pixels):
            return [Prediction(np.array([0.25, 0.75]))] * len(pixels)

    found = mien.runtime.Reader(Network()).read(faces[0], detect=False)[0]
    assert (found.label, found.probabilities) == ("a", {"A": 0.25, "a": 0.75})
