import os
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

import mien
from mien.assets import asset
from mien.errors import DataError, MissingError
from mien.preprocessing import Preprocessing
from mien.runtime.draw import boxed
from mien.runtime.faces import (
    YUNET,
    HaarDetector,
    YuNetDetector,
    _boxes,
    _shrunk,
    _surest,
    inside,
    merged,
    open_detector,
    with_margin,
)
from mien.runtime.reader import FaceFinder

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
MEDIA = Path(os.environ.get("MIEN_TEST_DATA", "/nowhere")) / "media"


@pytest.mark.timeout(30)
def test_a_number_without_end_is_no_detector(tmp_path):
    (tmp_path / "white.onnx").write_bytes(b"\xff" * 2_000_000)
    with pytest.raises(DataError, match="cannot be read as a YuNet model: it is no protobuf message"):
        YuNetDetector(tmp_path / "white.onnx")


def test_what_is_transparent_is_white_to_a_detector_too():
    """As to the network, and to the page of a web folder; what colours lie hidden there does not matter."""
    clear, seen = Image.new("RGBA", (40, 40), (0, 0, 0, 0)), []
    detector = SimpleNamespace(detect=lambda image: seen.append(image) or [(0, 0, 40, 40)])
    (_, pixels), drawn = FaceFinder(Preprocessing(), detector).find(clear), boxed(clear, [])
    assert seen[0].min() == pixels[0].min() == np.asarray(drawn).min() == 255


def test_boxes_stay_inside():
    assert inside((-5, 3, 20, 90), (50, 10, 3)) == (0, 3, 10, 47)
    assert inside((20, 20, 5, 5), (10, 10, 3))[2:] == (0, 0)


def test_a_margin_makes_a_square_around_the_middle():
    assert with_margin((40, 40, 20, 10), 0.0, (100, 100)) == (40, 35, 20, 20)
    assert with_margin((40, 40, 20, 20), 0.5, (100, 100)) == (30, 30, 40, 40)
    assert with_margin((0, 0, 20, 20), 0.5, (100, 100)) == (0, 0, 30, 30)


def test_duplicates_are_merged_and_neighbours_kept():
    big, within, beside = (10, 10, 100, 100), (30, 30, 50, 50), (115, 10, 90, 90)
    assert merged([within, beside, big]) == [big, beside]
    assert merged([(0, 0, 0, 5)]) == []


def test_nothing_is_found_where_nothing_is():
    assert HaarDetector().detect(np.full((120, 160, 3), 128, np.uint8)) == []
    assert HaarDetector().detect(np.full((1, 2000, 3), 128, np.uint8)) == []


def test_a_detector_file_that_is_not_there_or_none(tmp_path):
    with pytest.raises(MissingError, match="there is no such detector file"):
        YuNetDetector(tmp_path / "yunet.onnx")
    (tmp_path / "text.onnx").write_text("x")
    with pytest.raises(DataError, match="cannot be read as a YuNet model: it is no protobuf message"):
        YuNetDetector(tmp_path / "text.onnx")


def test_a_detector_file_of_another_network():
    with pytest.raises(DataError, match=r"is no YuNet model: it lacks the outputs cls_8, obj_8, bbox_8"):
        YuNetDetector(asset("tiny", "model.onnx"))


def test_a_yunet_file_may_name_its_weights_among_its_inputs(tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(asset("yunet", "face_detection_yunet_2023mar.onnx"))
    for weight in model.graph.initializer:
        model.graph.input.append(onnx.helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
    onnx.save(model, tmp_path / "yunet.onnx")
    face = np.asarray(Image.open(Path(__file__).parents[2] / "docs" / "pictures" / "astronaut.jpg").convert("RGB"))
    assert YuNetDetector(tmp_path / "yunet.onnx").detect(face) == YuNetDetector().detect(face) != []
    model.graph.input.append(onnx.helper.make_tensor_value_info("other", 1, [1, 3, 4, 4]))
    onnx.save(model, tmp_path / "two.onnx")
    with pytest.raises(DataError, match="it takes 2 inputs, not one picture"):
        YuNetDetector(tmp_path / "two.onnx")


@pytest.mark.parametrize("size", [(512, 512), (353, 97), (960, 540), (31, 33), (1500, 1100)])
def test_yunet_finds_what_opencv_finds_with_it(size):
    """Several faces of several sizes, some of which overlap, in pictures whose sides are no multiples of 32."""
    with Image.open(PICTURES / "astronaut.jpg") as image:
        face = np.asarray(image.convert("RGB").crop((150, 0, 350, 220)))
    scene = np.full((600, 900, 3), 90, np.uint8)
    for x, y, side in ((0, 0, 150), (90, 40, 150), (300, 100, 60), (420, 300, 280), (700, 10, 190)):
        scene[y : y + side, x : x + side] = cv2.resize(face, (side, side))
    image = cv2.resize(scene, size)
    small, shrink = _shrunk(image)
    opencv = cv2.FaceDetectorYN.create(str(YUNET), "", small.shape[1::-1], 0.7)
    _, found = opencv.detect(small[..., ::-1])
    expected = [] if found is None else _boxes(found[:, :4], shrink, image)
    assert YuNetDetector().detect(image) == expected
    assert len(expected) >= (4 if min(size) > 500 else 0)


def test_yunet_comes_with_mien_and_its_licence_and_is_the_default():
    folder = asset("yunet", "LICENSE").parent
    assert "MIT License" in (folder / "LICENSE").read_text()
    assert sorted(path.suffix for path in folder.iterdir()) == ["", ".onnx"]
    assert isinstance(mien.load("mien:tiny").detector, YuNetDetector)
    assert isinstance(mien.load("mien:tiny", "haar").detector, HaarDetector)
    with pytest.raises(MissingError, match=r"harr: .* Did you mean 'haar'\? The detectors are yunet and haar"):
        open_detector("harr")


@pytest.mark.parametrize("kind", [HaarDetector, YuNetDetector])
def test_a_large_picture_is_searched_small_and_its_boxes_are_its_own(kind):
    with Image.open(PICTURES / "astronaut.jpg") as image:
        ((x, y, width, height),) = kind().detect(np.asarray(image.convert("RGB")))
        large = image.convert("RGB").resize((4 * image.width, 4 * image.height))
    ((left, top, wide, high),) = kind().detect(np.asarray(large))
    assert np.array([left, top, wide, high]) / 4 == pytest.approx([x, y, width, height], abs=0.1 * width)


@pytest.mark.skipif(not MEDIA.is_dir(), reason="MIEN_TEST_DATA has no media/")
@pytest.mark.parametrize("kind", [HaarDetector, YuNetDetector])
@pytest.mark.parametrize(
    ("name", "count"),
    [("biden", 1), ("justin", 1), ("obama-240p", 1), ("obama-480p", 1), ("two_people", 2), ("no-faces", 0)],
)
def test_every_clear_face_is_found_once(kind, name, count):
    with Image.open(MEDIA / f"{name}.jpg") as image:
        assert len(kind().detect(np.asarray(image.convert("RGB")))) == count


@pytest.mark.skipif(not MEDIA.is_dir(), reason="MIEN_TEST_DATA has no media/")
def test_yunet_finds_half_a_face():
    with Image.open(MEDIA / "obama_partial_face.jpg") as image:
        assert len(YuNetDetector().detect(np.asarray(image.convert("RGB")))) == 1


def test_boxes_without_end_are_no_faces():
    found = np.array([[1.0, 2.0, 3.0, 4.0], [np.inf, 0.0, 5.0, 5.0], [0.0, np.nan, 5.0, 5.0]], np.float32)
    assert _surest(found, np.ones(3, np.float32)).tolist() == [[1, 2, 3, 4]]
