"""Exported files read back without torch, and pictures read with them."""

import json
import os
import subprocess
import sys
import weakref
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import mien
from mien.cli import main
from mien.config import Data, Model, Recipe, Train
from mien.errors import DataError, MienError, MissingError, UsageError
from mien.evaluate.calibration import NEVER
from mien.evaluate.exported import evaluate_export
from mien.evaluate.run_model import load_model
from mien.export import _compare, _refuse_difference, export
from mien.runs import Predictions
from mien.runtime import Network, job
from mien.runtime.card import model_card
from mien.runtime.job import read_all
from mien.runtime.network import Prediction, locate
from mien.runtime.seal import seal
from mien.runtime.table import Table
from mien.train import run

RECIPE = Recipe(
    name="tiny",
    data=Data(source="drawn_faces", images=140, size=24),
    model=Model(name="vit", patch_size=8, embed_dim=24, depth=2, num_heads=2, global_pool="flatten", init="torch"),
    train=Train(epochs=2, batch_size=35, lr=3e-3, precision="fp32"),
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    place = tmp_path_factory.mktemp("export")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_CACHE", str(place / "cache"))
        folder = run.run(RECIPE, place / "run")
        export(folder, weights="fp32")
        yield folder


@pytest.fixture
def reader(finished):
    return mien.load(finished)


@pytest.fixture
def faces():
    return np.random.default_rng(0).integers(0, 256, (5, 24, 24), dtype=np.uint8)


def test_an_export_holds_no_path_of_the_machine_it_was_made_on(finished):
    """torch notes at every node which line of which file it comes from."""
    assert b".py" not in (finished / "model.onnx").read_bytes()


def test_an_export_answers_as_the_run_does(finished, faces):
    """At batch sizes other than the traced one, 2, through the run's own model in torch and through the file."""
    import torch

    model, labels, preprocessing = load_model(finished)
    network = Network.open(finished)
    assert network.labels == labels
    assert network.preprocessing == preprocessing
    for count in (1, 5):
        pixels = faces[:count, None]
        with torch.no_grad():
            expected = model(torch.from_numpy(preprocessing.scale(pixels.astype(np.float32) / 255)))
        shares = (expected / network.temperature).softmax(1).numpy()
        np.testing.assert_allclose(network.probabilities(pixels), shares, atol=1e-5)


def test_the_card_says_where_it_comes_from(finished):
    card = Network.open(finished).card
    scores = json.loads((finished / "evaluation.json").read_text())["validation"]
    assert card["recipe"] == "tiny"
    assert card["validation_accuracy"] == pytest.approx(scores["accuracy"], abs=1e-6)
    assert (card["mien"], len(card["fingerprint"])) == (mien.__version__, 64)


def test_a_score_on_the_images_of_the_training_comes_with_a_warning(finished, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path))
    network = Network.open(finished)
    old = replace(network, card={key: value for key, value in network.card.items() if key != "content"})
    for export_, images, split, warned in (
        (network, 140, "all", True),
        (network, 140, "train", True),
        (network, 140, "validation", False),
        (network, 70, "all", False),
        (old, 140, "all", False),  # an export of before the card told
    ):
        evaluate_export(export_, Data(source="drawn_faces", images=images), split)
        assert ("very images that the network was trained on" in capsys.readouterr().err) == warned, (images, split)


def test_half_the_size_in_fp16(finished, tmp_path):
    half = export(finished, tmp_path / "half.onnx", weights="fp16")
    assert (finished / "model.onnx").stat().st_size - half.size > 0.4 * 4 * 15_000
    assert half.difference < 5e-3


def test_an_export_that_answers_otherwise_is_refused(finished, tmp_path):
    path, manifest = finished / "predictions.npz", finished / "manifest.json"
    before, hashes = path.read_bytes(), manifest.read_bytes()
    manifest.unlink()  # so that a file may change
    found = Predictions.load(path)
    try:
        Predictions(found.names, found.labels, np.roll(found.probabilities, 1, axis=1), found.classes).save(path)
        with pytest.raises(MienError, match=r"differ from those of .* by up to .*nothing was written"):
            export(finished, tmp_path / "x.onnx", weights="fp32")
        one_less = (found.names[:-1], found.labels[:-1], found.probabilities[:-1])
        Predictions(*one_less, found.classes).save(path)
        with pytest.raises(MienError, match=r"is not of the run's 70 validation images.* again: `mien\.evaluate\("):
            export(finished, tmp_path / "x.onnx", weights="fp32")
    finally:
        path.write_bytes(before)
        manifest.write_bytes(hashes)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match=r"an export ends in \.onnx"):
        export(finished, tmp_path / "x.pt")


@pytest.mark.parametrize("weights", ["fp32", "fp16", "int8"])
def test_an_export_that_answers_no_number_is_refused(weights, tmp_path):
    right = Predictions(["a"], np.array([0]), np.array([[0.9, 0.1]]), ("x", "y"))
    none = Predictions(["a"], np.array([0]), np.full((1, 2), np.nan), ("x", "y"))
    with pytest.raises(MienError, match=r"differ from those of .* by up to nan, .*nothing was written"):
        _refuse_difference(_compare(none, right, weights)[0], weights, tmp_path)


def test_the_card_of_a_model_that_is_never_sure_says_so(finished):
    network = Network.open(finished)
    for answered in (0, 0.5):  # 0.1.0 wrote the share that half of the images would have allowed
        never = replace(network, card=network.card | {"threshold": NEVER, "answered": answered, "wrong": 0.75})
        said = model_card(never, "never")
        assert "Every image is answered with “unsure”: none of" in said
        assert "get an answer" not in said


def test_the_card_speaks_of_expressions_where_the_network_knows_some(finished):
    network = Network.open(finished)
    assert "emotions" in model_card(network, "faces")
    pets = model_card(replace(network, labels=("cat", "dog")), "pets")
    assert "expression" not in pets
    assert "emotion" not in pets
    assert "It answers cat or dog to every picture" in pets
    assert "not for decisions about people" in pets


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


def with_other_weights(content: bytes) -> bytes:
    """One bit of the largest weight turned over; the metadata stay as they are."""
    import onnx

    model = onnx.load_from_string(content)
    largest = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    raw = bytearray(largest.raw_data)
    raw[1] ^= 1
    place = content.index(largest.raw_data)
    return content[:place] + bytes(raw) + content[place + len(raw) :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content.replace(b"conv1.weight", b"conv1.wEight", 1),
        lambda content: content + b"x",
        lambda content: content[:-1],
    ],
)
def test_an_empty_or_damaged_file_is_no_model(tmp_path, damage):
    path = tmp_path / "a.onnx"
    path.write_bytes(damage(locate("mien:tiny").read_bytes()))
    with pytest.raises(DataError, match=r"a\.onnx cannot be read as an ONNX model: it is damaged, or was changed"):
        Network.open(path)


def test_a_misspelt_model_names_the_nearest_and_where_all_are_listed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my-vit").mkdir()
    (tmp_path / "my-vit" / "model.onnx").touch()
    for given, meant in {"tiny": "mien:tiny", "my-vti": "my-vit"}.items():
        with pytest.raises(MissingError, match=rf"^{given}: there .* Did you mean '{meant}'\? With mien come "):
            locate(given)


def test_a_tampered_or_foreign_file(finished, tmp_path):
    import onnx

    content = (finished / "model.onnx").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"cut\.onnx cannot be read as an ONNX model"):
        mien.load(tmp_path / "cut.onnx")
    model = onnx.load(finished / "model.onnx")
    values = json.loads(model.metadata_props[-1].value)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "foreign.onnx")
    with pytest.raises(DataError, match="not one that mien exported"):
        mien.load(tmp_path / "foreign.onnx")
    for name, change in {"labels": ["a", "b"], "calibration": {}}.items():
        model.metadata_props.append(onnx.StringStringEntryProto(key="mien", value=json.dumps(values | {name: change})))
        onnx.save(model, tmp_path / f"{name}.onnx")
        del model.metadata_props[:]
        with pytest.raises(DataError, match=rf"{name}\.onnx was changed after it was exported"):
            mien.load(tmp_path / f"{name}.onnx")
    (tmp_path / "weights.onnx").write_bytes(with_other_weights(content))
    with pytest.raises(DataError, match=r"weights\.onnx was changed after it was exported"):
        mien.load(tmp_path / "weights.onnx")
    (tmp_path / "no.onnx").write_bytes(seal(model.SerializeToString(), {"labels": ["a"]}))
    with pytest.raises(DataError, match=r"no\.onnx is damaged: its metadata cannot be read"):
        mien.load(tmp_path / "no.onnx")
    onnx.save(model, tmp_path / "apart.onnx", save_as_external_data=True, location="weights.bin")
    (tmp_path / "apart.onnx").write_bytes(seal((tmp_path / "apart.onnx").read_bytes(), values))
    with pytest.raises(DataError, match=r"apart\.onnx keeps weights in another file, which nothing proves"):
        mien.load(tmp_path / "apart.onnx")
    model = onnx.load(finished / "model.onnx")
    del model.metadata_props[:]
    del values["fingerprint"]
    (tmp_path / "two.onnx").write_bytes(seal(model.SerializeToString(), values | {"labels": ["a", "b"]}))
    with pytest.raises(DataError, match=r"two\.onnx was changed: it takes .* and 2 labels"):
        mien.load(tmp_path / "two.onnx")
    with pytest.raises(MissingError, match=r"has no model\.onnx\. If it is a finished run: `mien\.export\("):
        mien.load(tmp_path)


def test_predict_a_folder_with_one_bad_file(finished, faces, tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, face in enumerate(faces):
        Image.fromarray(face).save(folder / f"{number}.png")
    (folder / "bad.jpg").write_text("x")
    command = ["predict", str(folder), "--model", str(finished), "--no-detect"]
    assert main([*command, "--json", "--out", str(tmp_path / "beside.csv")]) == 4
    printed = capsys.readouterr()
    assert "beside.csv  5 faces in 5 pictures, " in printed.err  # stdout is JSON alone
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert [row["source"] for row in rows] == [str(folder / f"{number}.png") for number in range(5)]
    assert "1 of 6 pictures could not be read" in printed.err
    assert main([*command, "--out", str(tmp_path / "faces.csv")]) == 4
    table = (tmp_path / "faces.csv").read_text()
    assert table.count("\n") == 6
    assert "faces.csv  5 faces in 5 pictures, " in capsys.readouterr().out
    assert main([*command, "--out", str(tmp_path / "faces.csv")]) == 4  # what is in the table is not read again
    assert (tmp_path / "faces.csv").read_text() == table
    (folder / "bad.jpg").unlink()
    capsys.readouterr()
    assert main([*command, "--out", str(tmp_path / "faces.csv")]) == 0
    assert capsys.readouterr().out.strip() == f"{tmp_path / 'faces.csv'}  5 pictures were in it already"


def test_one_face_is_no_plural_and_no_face_no_table(tmp_path, capsys):
    """On grey noise, with the network that comes with mien."""
    noise = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "p.png")
    assert main(["predict", str(tmp_path / "p.png"), "--no-detect", "--out", str(tmp_path / "t.csv")]) == 0
    assert "t.csv  1 face in 1 picture, " in capsys.readouterr().out
    Image.new("L", (48, 48)).save(tmp_path / "black.png")
    for flags, hinted in ((["--no-detect"], True), ([], False)):
        assert main(["predict", str(tmp_path / "black.png"), *flags]) == 0
        assert ("As a table:" in capsys.readouterr().err) == hinted
    assert main(["predict", str(tmp_path / "p.png"), "--out", str(tmp_path / "t.txt")]) == 2
    assert r"t.txt: a table ends in .csv, .parquet or .jsonl" in capsys.readouterr().err
    assert not (tmp_path / "t.txt").exists()


def test_a_model_of_other_things_reads_whole_pictures(finished, tmp_path, capsys):
    import onnx

    model = onnx.load(finished / "model.onnx")
    values = json.loads(model.metadata_props[-1].value)
    del model.metadata_props[:], values["fingerprint"]
    values["labels"] = [f"animal {number}" for number in range(len(values["labels"]))]
    animals = tmp_path / "animals.onnx"
    animals.write_bytes(seal(model.SerializeToString(), values))
    picture = tmp_path / "grey.png"
    Image.new("L", (60, 50), 99).save(picture)
    command = ["predict", str(picture), "--model", str(animals)]
    assert main([*command, "--json"]) == 0
    (seen,) = json.loads(capsys.readouterr().out)["faces"]
    assert seen["box"] == [0, 0, 60, 50]
    assert seen["most_probable"].startswith("animal ")
    assert main([*command, "--out", str(tmp_path / "t.csv")]) == 0
    assert "t.csv  1 picture, " in capsys.readouterr().out
    assert main([*command, "--detect"]) == 0
    assert "no face" in capsys.readouterr().out
    assert main(["predict", str(picture), "--model", str(finished)]) == 0  # its classes are expressions
    out, err = capsys.readouterr()
    assert "no face" in out
    assert "If the pictures are faces already: --no-detect" in err


def test_pictures_with_boxes_and_bars(finished, faces, tmp_path):
    Image.fromarray(faces[0]).resize((200, 150)).save(tmp_path / "p.png")
    command = ["predict", str(tmp_path / "p.png"), "--model", str(finished), "--no-detect"]
    assert main([*command, "--draw", str(tmp_path / "drawn")]) == 0
    with Image.open(tmp_path / "drawn" / "p.png.png") as drawn:
        assert drawn.height > 150
        assert drawn.getpixel((0, 75)) == (42, 111, 219)  # the box


def test_a_table_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"mine\.csv is there and no table of this model's"):
        Table(tmp_path / "mine.csv", ("x",))
    assert (tmp_path / "mine.csv").read_text() == "a,b\n1,2\n"


def test_nothing_there(finished, tmp_path, capsys):
    missing = (tmp_path / "none.jpg", 3, "there is no such file or folder")
    for source, code, text in (missing, (tmp_path, 4, "holds no pictures")):
        assert main(["predict", str(source), "--model", str(finished)]) == code
        assert text in capsys.readouterr().err


def test_prediction_needs_no_torch(finished, faces, tmp_path):
    Image.fromarray(faces[0]).save(tmp_path / "p.png")
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['lightning'] = None\n"
        "from mien.cli import main\n"
        f"sys.exit(main(['predict', {str(tmp_path / 'p.png')!r}, '--model', {str(finished)!r}, '--no-detect']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "p.png" in done.stdout


def test_memory_holds_a_few_pictures_only(reader, faces, tmp_path, monkeypatch):
    """However many pictures a folder has and share a batch, a picture is let go once its faces are cut out."""
    given, most = [], []
    find = reader.find

    def decoded(path):
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


def test_drawings_never_replace_pictures_or_each_other(finished, faces, tmp_path, capsys):
    for name in ("happy/1.png", "sad/1.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True)
        Image.fromarray(faces[0]).save(tmp_path / "photos" / name)
    command = ["predict", str(tmp_path / "photos"), "--model", str(finished), "--no-detect", "--draw"]
    assert main([*command, str(tmp_path / "drawn")]) == 0
    assert len(list((tmp_path / "drawn").rglob("*.png"))) == 2
    before = (tmp_path / "photos" / "happy" / "1.png").read_bytes()
    assert main([*command, str(tmp_path / "photos")]) == 2
    assert "holds the pictures themselves" in capsys.readouterr().err
    assert (tmp_path / "photos" / "happy" / "1.png").read_bytes() == before


@pytest.mark.parametrize("stem", ["é" * 124, "x" * 250])
def test_a_name_too_long_for_another_ending_is_cut_and_stays_its_own(finished, faces, tmp_path, stem):
    photos, drawn = tmp_path / "photos", tmp_path / "drawn"
    photos.mkdir()
    for name in (f"{stem}1.png"[-254:], f"{stem[1:]}21.png"[-254:], "short.png"):
        Image.fromarray(faces[0]).save(photos / name)
    assert main(["predict", str(photos), "--model", str(finished), "--no-detect", "--draw", str(drawn)]) == 0
    written = sorted(path.name for path in drawn.iterdir())
    assert len(written) == 3
    assert "short.png.png" in written
    assert max(len(os.fsencode(name)) for name in written) == 255
    for path in drawn.iterdir():
        Image.open(path).verify()


@pytest.mark.skipif(os.name == "nt", reason="has no such device")
def test_a_drawing_that_cannot_be_written_leaves_nothing_and_says_so(finished, faces, tmp_path, monkeypatch, capsys):
    Image.fromarray(faces[0]).save(tmp_path / "1.png")

    def full(picture, file, *how):
        file.write(b"half of a picture")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    command = ["predict", str(tmp_path / "1.png"), "--model", str(finished), "--no-detect", "--draw"]
    assert main([*command, str(tmp_path / "drawn")]) == 1
    assert "1.png.png failed: No space left on device. Free some space" in capsys.readouterr().err.replace("\n", " ")
    assert list((tmp_path / "drawn").iterdir()) == []


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


def test_a_table_with_only_its_header_goes_on(tmp_path):
    Table(tmp_path / "t.csv", ("x",)).close()
    again = Table(tmp_path / "t.csv", ("x",))
    again.add("a\udce9.jpg", [])
    assert (tmp_path / "t.csv").read_bytes().count(b"source") == 1
    assert again.known == {}
    again.close()
    assert Table(tmp_path / "t.csv", ("x",)).known == {"a\udce9.jpg": 0}
