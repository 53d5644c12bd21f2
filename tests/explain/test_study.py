"""Explaining an export: the same faces and the same answers as predicting with it."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mien
from mien.cli import main
from mien.explain.study import study

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
MEDIA = Path(os.environ.get("MIEN_TEST_DATA", "/nowhere")) / "media"


@pytest.fixture(scope="module")
def two_people(tmp_path_factory):
    """The photo of two where it is at hand, else one person twice: large, and smaller with her head tilted."""
    if (MEDIA / "two_people.jpg").is_file():
        return MEDIA / "two_people.jpg"
    with Image.open(PICTURES / "astronaut.jpg") as image:
        person = image.convert("RGB").resize((400, 400 * image.height // image.width))
    both = Image.new("RGB", (800, person.height), "grey")
    both.paste(person.rotate(-12).resize((300, 300 * person.height // 400)))
    both.paste(person, (400, 0))
    path = tmp_path_factory.mktemp("photos") / "two.png"
    both.save(path)
    return path


@pytest.mark.parametrize("detector", ["yunet", "haar"])
def test_faces_have_the_numbers_and_answers_that_predict_gives(two_people, detector, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("mien.explain.explanation.methods_of", lambda model: ())  # maps take minutes
    more = ["--detector", detector, "--margin", "0.1", "--json"]
    assert main(["predict", str(two_people), "--model", "mien:base", *more]) == 0
    faces = json.loads(capsys.readouterr().out)["faces"]
    assert len(faces) == 2
    answers = []
    for number in ("1", "2"):
        command = ["explain", "mien:base", str(two_people), "--face", number, *more]
        assert main([*command, "--out", str(tmp_path)]) == 0
        answers.append(json.loads(capsys.readouterr().out)["probabilities"])
    for answer, face in zip(answers, faces, strict=True):
        assert {name.lower(): share for name, share in answer.items()} == pytest.approx(face["probabilities"], abs=1e-4)
    assert answers[0] != pytest.approx(answers[1], abs=1e-3)  # so the order was tested
    assert {path.name for path in tmp_path.iterdir()} == {f"{two_people.stem}.html", f"{two_people.stem}-face2.html"}


def test_a_photo_without_a_face_is_explained_whole_and_that_is_said(tmp_path, capsys):
    photo = tmp_path / "wall.png"
    Image.new("RGB", (200, 150), "grey").save(photo)
    assert main(["explain", "mien:tiny", str(photo), "--methods", "saliency", "--out", str(tmp_path)]) == 0
    assert f"{photo}: no face was found, so the whole picture is explained." in capsys.readouterr().err


def test_an_export_of_a_file_or_a_name_is_explained_here_where_no_folder_is_given(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["explain", "mien:tiny", str(PICTURES / "astronaut.jpg"), "--methods", "grad_cam"]) == 0
    assert "Face 1 of the 1" in (tmp_path / "explain" / "astronaut.html").read_text(encoding="utf-8")
    assert "uncalibrated" not in capsys.readouterr().out
    photo = PICTURES / "astronaut.jpg"
    found = study("mien:tiny", photo, methods=()).explanation
    (face,) = mien.load("mien:tiny").read(photo)
    np.testing.assert_allclose(found.probabilities, list(face.probabilities.values()), atol=1e-4)
    whole = mien.explain("mien:tiny", photo, ["saliency"])
    assert whole.temperature is None
    assert whole.verdicts["saliency"].deletion.random > 0
    assert str(whole.verdicts["saliency"]).split(":")[0].split()[0] in ("Holds", "In", "No", "Does")
    assert mien.explain("mien:tiny", photo, ["saliency"], verdicts=False).verdicts == {}
