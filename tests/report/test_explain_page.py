"""`mien explain`: the page of a ViT and of a CNN, and what is refused."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from explained import write_page
from PIL import Image
from tiny_models import classifier

import mien
from mien.cli import main
from mien.config import Data, Model, Recipe, Train
from mien.data.sources.drawn_faces import draw
from mien.errors import UsageError
from mien.evaluate.metrics import accuracy
from mien.explain.attribution import METHODS
from mien.explain.faithfulness import Against, Verdict
from mien.explain.position import recovered_grid
from mien.explain.study import Study, study
from mien.export import export
from mien.report import inline_images
from mien.report.explain_page import context, write_explanation
from mien.runs.records import to_dict
from mien.runtime import Network
from mien.runtime.faces import HaarDetector, YuNetDetector
from mien.train import run

VIT = Model(name="vit", patch_size=8, embed_dim=24, depth=2, num_heads=3, global_pool="flatten", init="torch")
CNN = Model(name="cnn_v2", widths=(4, 8))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished run of each kind, by its name."""
    place = tmp_path_factory.mktemp("explain")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_CACHE", str(place / "cache"))
        found = {}
        for name, model in {"vit": VIT, "cnn": CNN}.items():
            train = Train(epochs=1, batch_size=35, precision="fp32")
            recipe = Recipe(name=name, data=Data(source="drawn_faces", images=70, size=24), model=model, train=train)
            found[name] = run.run(recipe, place / name)
        yield found


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 30), dtype=np.uint8)).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "methods", "sections"),
    [
        (
            "vit",
            ["grad_cam", "relevance", "rollout", "saliency"],
            ["answer", "nearest", "why", "walk", "attention", "positions"],
        ),
        ("cnn", ["grad_cam", "saliency"], ["answer", "nearest", "why", "walk", "features"]),
    ],
)
def test_the_page_of_a_photo(runs, photo, tmp_path, capsys, name, methods, sections):
    command = ["explain", str(runs[name]), str(photo), "--out", str(tmp_path / "page"), "--methods", ",".join(methods)]
    assert main([*command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    page = (tmp_path / "page" / "photo.html").read_text(encoding="utf-8")
    assert printed["page"].endswith("photo.html")
    assert sorted(printed["methods"]) == sorted(methods)
    assert sum(printed["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert re.findall(r'<section id="(\w+)"', page) == sections
    assert ("Before it, the raw logits" in page) == (name == "vit")
    assert printed["label"] in page
    assert len(printed["nearest"]) == 5
    assert all(each["name"] in page for each in printed["nearest"])
    loaded = re.findall(r'(?:src|href)="([^"#]{1,40})', page)
    assert all(address.startswith(("data:", "https://arxiv.org/")) for address in loaded)
    assert len(page) < 6e6


def test_attention_is_shown_after_and_before_the_softmax():
    """Logits by hand: in layer 1 of 1, both heads of every patch want patch (1, 0) most, by 2 and by 4."""
    found = mien.explain(classifier("shallow_vit"), np.zeros((22, 22), np.uint8), ())
    logits = np.zeros((1, 2, 4, 4), np.float32)
    logits[0, 0, :, 2], logits[0, 1, :, 2] = 2, 4
    weights = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    found = replace(found, attention=weights, attention_logits=logits)
    shown = context(Study(Path(), Path(), "", None, found))["attention"]
    (after, _, weights_shown), (before, _, logits_shown) = shown
    assert (after, before) == ("weights", "logits")
    assert [one[1:] for one in logits_shown[0]] == [(0, 3), (0, 2), (0, 4)]  # the mean, then each head
    assert weights_shown[0][2][1:] == pytest.approx((1 / (3 + np.e**4), np.e**4 / (3 + np.e**4)))


@pytest.mark.parametrize(
    ("kind", "learned"),
    [("vit", True), ("vit_seq", True), ("shallow_vit", True), ("vit_flatten", False), ("vit_relative", False)],
)
def test_learned_positions_are_compared_with_the_untrained_ones(tmp_path, kind, learned):
    page, found = write_page(tmp_path / "photo.html", kind)
    text = " ".join(page.read_text(encoding="utf-8").split())
    assert (found.recovered is not None) == learned
    assert ('<section id="positions">' in text) == (kind != "vit_relative")
    assert ("in the same network untrained" in text) == learned
    if learned:
        assert found.recovered[1].fit == recovered_grid(classifier(kind, 3)).fit
        assert f"R² = {found.recovered[1].fit:.3f} (1: exactly), against {found.recovered[0].fit:.3f} in" in text


def test_an_empty_map_is_called_empty(runs, photo, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(METHODS, "saliency", lambda model, images, targets: np.zeros((1, 24, 24), np.float32))
    command = ["explain", str(runs["cnn"]), str(photo), "--out", str(tmp_path), "--methods", "saliency", "--json"]
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)["methods"]["saliency"]
    assert found["verdict"].startswith("Empty")
    assert found["correlation"] is None
    assert "Empty: the map" in (tmp_path / "photo.html").read_text(encoding="utf-8")
    assert mien.explain(mien.from_pretrained(runs["cnn"]), photo, ["saliency"]).empty == ("saliency",)


def test_differences_as_small_as_rounding_do_not_count():
    same, better = Against(0.269, 0.270, 0.001), Against(0.200, 0.270, 0.070)
    assert str(Verdict(1, same, same, 0.0)) == "No better than random maps: do not read anything into it."
    assert str(Verdict(1, better, same, 0.0)) == "In doubt: better than random maps in deletion only."
    assert str(Verdict(1, better, better, 0.0)).startswith("Holds")
    assert str(Verdict(1, better, better, 0.6)).startswith("Does not depend on what the model learned")


def test_a_network_no_better_than_one_answer_is_not_to_be_believed(runs, photo, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(runs["cnn"], folder, ignore=shutil.ignore_patterns("manifest.json"))  # so that files may change
    for correct, warned in ((0, True), (14, False)):
        saved = json.loads((folder / "evaluation.json").read_text())
        saved["validation"] |= to_dict(accuracy(np.arange(14) < correct))
        (folder / "evaluation.json").write_text(json.dumps(saved))
        assert main(["explain", str(folder), str(photo), "--methods", "saliency"]) == 0
        page = (folder / "explain" / "photo.html").read_text(encoding="utf-8")
        assert ("Do not believe this answer" in page) == warned
        assert ("warning: no better than always" in capsys.readouterr().err) == warned


def test_the_plain_command_says_what_holds(runs, photo, capsys):
    assert main(["explain", str(runs["cnn"]), str(photo), "--methods", "saliency", "--target", "sad"]) == 0
    printed = capsys.readouterr()
    assert re.search(r"saliency +\S+", printed.out)
    page = runs["cnn"] / "explain" / "photo.html"
    assert page.is_file()
    assert "Why sad?" in page.read_text(encoding="utf-8")


def test_probabilities_are_those_of_an_export_or_said_to_be_uncalibrated(runs, photo, tmp_path, capsys):
    def explained(run):
        command = ["explain", str(run), str(photo), "--face", "none", "--methods", "saliency"]
        assert main([*command, "--json"]) == 0
        return json.loads(capsys.readouterr().out), (run / "explain" / "photo-whole.html").read_text(encoding="utf-8")

    folder = tmp_path / "run"
    shutil.copytree(runs["cnn"], folder)
    export(folder, weights="fp32")
    capsys.readouterr()
    answer = mien.load(folder).read(photo, detect=False)[0].probabilities
    found, page = explained(folder)
    assert found["probabilities"] == pytest.approx(answer, abs=1e-4)
    assert found["temperature"] == pytest.approx(Network.open(folder).temperature, rel=1e-2)
    assert "calibrated on the validation images" in page
    (folder / "predictions.npz").unlink()
    found, page = explained(folder)
    assert found["temperature"] is None
    assert found["probabilities"] != pytest.approx(answer, abs=1e-3)
    assert "uncalibrated" in page
    assert main(["explain", str(folder), str(photo), "--methods", "saliency"]) == 0
    assert "% (uncalibrated)" in capsys.readouterr().out


@pytest.fixture
def group(tmp_path, monkeypatch):
    """A photo of three drawn faces, largest first as a detector has them, and the three faces alone."""
    boxes = [(4, 6, 40, 40), (60, 3, 30, 30), (100, 20, 24, 24)]
    faces = [Image.fromarray(draw("happy", seed, box[2]).image).convert("RGB") for seed, box in enumerate(boxes)]
    photo = Image.new("RGB", (130, 50), "white")
    for face, box in zip(faces, boxes, strict=True):
        photo.paste(face, box[:2])
    photo.save(tmp_path / "photo.png")
    monkeypatch.setattr(YuNetDetector, "detect", lambda *_: boxes)
    monkeypatch.setattr(HaarDetector, "detect", lambda *_: boxes[1:])
    return tmp_path / "photo.png", [photo, *faces]


@pytest.mark.parametrize(
    ("face", "name", "what"),
    [
        ("1", "photo", "Face 1 of the 3 found in the picture"),
        ("2", "photo-face2", "Face 2 of the 3 found in the picture"),
        ("3", "photo-face3", "Face 3 of the 3 found in the picture"),
        ("none", "photo-whole", "The whole picture as the model saw it"),
    ],
)
def test_each_face_of_a_photo_has_a_page(runs, group, tmp_path, face, name, what):
    photo, parts = group
    studied = study(runs["cnn"], photo, face=face, methods=())
    page, found = write_explanation(studied, tmp_path / "pages"), studied.explanation
    assert page == tmp_path / "pages" / f"{name}.html"
    assert what in page.read_text(encoding="utf-8")
    preprocessing = mien.from_pretrained(runs["cnn"]).preprocessing
    expected = preprocessing.pixels(parts[0 if face == "none" else int(face)])
    np.testing.assert_array_equal(found.image, expected)


@pytest.mark.parametrize(
    ("labels", "pages"),
    [(("ant", "bee"), ["photo-face2", "photo"]), (("ant", "happy"), ["photo-face2", "photo-whole"])],
)
def test_a_model_without_expressions_reads_the_whole_picture(runs, group, tmp_path, labels, pages):
    photo, parts = group
    folder = tmp_path / "run"
    model = mien.from_pretrained(runs["cnn"], labels)
    shutil.copytree(runs["cnn"], folder, ignore=shutil.ignore_patterns("predictions.npz", "explain", "manifest.json"))
    model.save_pretrained(folder / "model")
    found = study(folder, photo, methods=()).explanation
    usual = parts[0] if pages[1] == "photo" else parts[1]
    np.testing.assert_array_equal(found.image, model.preprocessing.pixels(usual))
    for face, name in zip(("2", "none"), pages, strict=True):
        assert write_explanation(study(folder, photo, face=face, methods=())).stem == name


def test_a_face_that_is_not_there(runs, group, tmp_path):
    with pytest.raises(UsageError, match=r"`face` 4: .*photo\.png has 3 faces\. Give 1 to 3, or none"):
        study(runs["cnn"], group[0], face="4")


def test_no_page_is_written_over_that_of_another_picture_or_run(runs, photo, tmp_path):
    other = photo.with_suffix(".jpg")
    Image.open(photo).save(other)
    pages = tmp_path / "pages"
    pages.mkdir()
    (pages / "photo-2.html").write_text("somebody's own")

    def written(run, picture):
        return write_explanation(study(runs[run], picture, methods=()), pages).name

    assert written("cnn", photo) == written("cnn", photo) == "photo.html"
    assert written("cnn", other) == written("cnn", other) == "photo-3.html"
    assert written("vit", photo) == "photo-4.html"
    assert (pages / "photo-2.html").read_text() == "somebody's own"
    assert str(tmp_path) not in (pages / "photo.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("more", "code", "text"),
    [
        (["--methods", "grad_camm"], 2, "grad_cam"),
        (["--methods", "rollout"], 2, "rollout"),
        (["--target", "sadd"], 2, "The model has no class 'sadd'. Did you mean 'sad'?"),
        (["--face", "2"], 2, r"--face 2: .* has 0 faces\. Give 1 to 1, or none"),
        (["--face", "x"], 2, "--face x: .* Give 1 to 1, or none"),
    ],
)
def test_what_is_refused(runs, photo, tmp_path, capsys, more, code, text):
    assert main(["explain", str(runs["cnn"]), str(photo), "--out", str(tmp_path / "none"), *more]) == code
    assert re.search(text, capsys.readouterr().err.replace("\n", " "))
    assert not (tmp_path / "none").exists()


def test_what_is_not_there(runs, photo, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    assert main(["explain", str(tmp_path / "run"), str(photo)]) == 3
    assert "has no finished model" in capsys.readouterr().err
    assert main(["explain", str(tmp_path / "rum"), str(photo)]) == 3
    assert "there is no such folder" in capsys.readouterr().err.replace("\n", " ")
    assert main(["explain", str(runs["cnn"]), str(tmp_path / "none.jpg")]) in (3, 4)
    assert "none.jpg" in capsys.readouterr().err
    (tmp_path / "text.jpg").write_text("x")
    assert main(["explain", str(runs["cnn"]), str(tmp_path / "text.jpg")]) == 4


def test_heat_is_brightest_where_the_values_are_largest():
    pixels = np.full((1, 8, 8), 128, np.uint8)
    values = np.zeros((4, 4), np.float32)
    values[3, 0] = 1  # below, at the left
    shown = _decoded(inline_images.heat(pixels, values, side=64)).astype(int)
    assert shown[-8:, :8].sum() > shown[:8, -8:].sum() * 1.3
    signed = _decoded(inline_images.heat(pixels, values - np.fliplr(values), side=64, signed=True)).astype(int)
    assert signed[-4:, :4, 0].mean() > signed[-4:, :4, 2].mean()  # red for
    assert signed[-4:, -4:, 2].mean() > signed[-4:, -4:, 0].mean()  # blue against


def test_a_sheet_has_a_tile_for_each_map():
    maps = [np.eye(3) * number for number in range(5)]
    assert _decoded(inline_images.sheet(maps, columns=3, side=10, gap=2)).shape == (22, 34, 3)
    assert inline_images.between_0_and_1(np.full(3, 7.0)).tolist() == [0, 0, 0]


def test_a_signed_sheet_has_one_scale_about_0():
    maps = [np.array([[-2.0, 0.0], [1.0, 2.0]]), np.full((2, 2), -1.0)]
    shown = _decoded(inline_images.sheet(maps, columns=2, side=10, gap=4, signed=True)).astype(int)
    assert shown.shape == (10, 24, 3)
    below, zero, less, above, other = shown[2, 2], shown[2, 7], shown[7, 2], shown[7, 7], shown[5, 20]
    assert below[2] > below[0] + 50
    assert above[0] > above[2] + 50
    assert zero.min() > 240
    assert above.sum() < less.sum() < zero.sum()
    assert below.sum() < other.sum() < zero.sum()  # on its own scale it would be as dark as the other sheet's -2
    assert (shown[:, 10:14] == 255).all()


def test_first_filters_are_large_and_have_a_scale_in_common(tmp_path):
    page, found = write_page(tmp_path / "photo.html", "cnn_v2")
    text = page.read_text(encoding="utf-8")
    address = re.search(r'src="([^"]+)" alt="The filters of the first layer"', text)[1]
    assert _decoded(address).shape == (48, 8 * 60 - 12, 3)
    assert len(found.filters) == 3
    assert "3 x 3 pixels each" in text


def test_patches_are_cut_apart():
    pixels = np.arange(64, dtype=np.uint8).reshape(1, 8, 8)
    shown = _decoded(inline_images.patches(pixels, 4, side=40))
    assert shown.shape == (43, 43, 3)
    assert (shown[20:23] == 255).all()


def _decoded(address: str) -> np.ndarray:
    import base64
    import io

    with Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGB"))
