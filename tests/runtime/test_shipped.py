"""Networks that come with the package, their cards, and the scoring of exports on any data."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import mien
from mien import assets
from mien.cli import main
from mien.config import Data, Model, Recipe, Train
from mien.errors import MissingError
from mien.export import export
from mien.runtime import network as networks
from mien.runtime.card import model_card
from mien.train import run

RECIPE = Recipe(
    name="tiny",
    data=Data(source="drawn_faces", images=140, size=24),
    model=Model(name="resnet", widths=(4, 8), layers=(1, 1)),
    train=Train(epochs=1, batch_size=35, lr=3e-3, precision="fp32"),
)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """A folder as src/mien/assets is, with a 'tiny' in it, and the run it came from."""
    place = tmp_path_factory.mktemp("shipped")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_CACHE", str(place / "cache"))
        patch.setattr(assets, "ASSETS", place / "assets")
        folder = run.run(RECIPE, place / "run")
        export(folder, place / "assets" / "tiny" / "model.onnx")
        yield folder


def test_a_model_that_comes_with_the_package(shipped, tmp_path, capsys):
    assert networks.default_model() == "mien:tiny"
    Image.new("L", (24, 24), 99).save(tmp_path / "face.png")
    assert main(["predict", str(tmp_path / "face.png"), "--no-detect", "--json"]) == 0
    named = mien.load("mien:tiny").read(tmp_path / "face.png", detect=False)[0]
    assert json.loads(capsys.readouterr().out)["faces"] == [named.to_dict()]
    with pytest.raises(
        MissingError, match=r"mien:tinny does not come with mien\. Did you mean 'mien:tiny'\? .*: mien:tiny"
    ):
        mien.load("mien:tinny")


def test_the_preferred_model_comes_first(monkeypatch, tmp_path):
    for name in ("other", "tiny", "base"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.onnx").touch()
    monkeypatch.setattr(assets, "ASSETS", tmp_path)
    assert assets.shipped() == ["base", "tiny", "other"]


def test_none_comes_with_the_package(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(assets, "ASSETS", tmp_path)
    Image.new("L", (24, 24)).save(tmp_path / "face.png")
    assert main(["predict", str(tmp_path / "face.png")]) == 3
    assert "Which model? None comes with mien: mien export RUN makes one of yours" in capsys.readouterr().err


def test_a_file_where_a_folder_is_needed_is_no_traceback(shipped, tmp_path, capsys):
    Image.new("L", (24, 24), 99).save(tmp_path / "face.png")
    (tmp_path / "drawn").write_text("")
    assert main(["predict", str(tmp_path / "face.png"), "--no-detect", "--draw", str(tmp_path / "drawn")]) == 1
    assert "drawn/face.png.png failed: File exists." in capsys.readouterr().err.replace("\n", "")


def test_models_are_listed_with_their_scores(shipped, capsys):
    assert main(["models", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    scores = json.loads((shipped / "evaluation.json").read_text())["validation"]
    assert row["model"] == "mien:tiny"
    assert row["parameters"] == json.loads((shipped / "env.json").read_text())["parameters"]
    assert row["validation_accuracy"] == pytest.approx(scores["accuracy"], abs=0.01)  # fp16 weights


def test_the_card_tells_what_was_measured(shipped, tmp_path, capsys):
    out = tmp_path / "card.md"
    assert main(["card", "mien:tiny", "--out", str(out)]) == 0
    text = out.read_text()
    scores = json.loads((shipped / "evaluation.json").read_text())["validation"]
    for name, row in scores["per_class"].items():
        assert f"| {name} | {row['images']:,} | {row['recall']:.1%} |" in text
    assert "prohibited except for medical or safety" in text
    assert "`mien run tiny --seed 0`" in text
    assert main(["card", "mien:tiny"]) == 0
    assert text in capsys.readouterr().out


def test_an_export_carries_prediction_sets(shipped, tmp_path, capsys):
    """They are in its answers, on its card and in its table, and an export from before them has none."""
    assert main(["export", str(shipped), "--out", str(tmp_path / "model.onnx"), "--coverage", "0.8", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["sets"]
    network = networks.Network.open(tmp_path / "model.onnx")
    assert network.sets.coverage == told["coverage"] == 0.8
    assert list(network.sets.least) == told["least"]
    assert f"Of the sets, {told['covered']:.1%} hold the true class (asked for: 80%" in model_card(network, "tiny")
    reader = mien.load(tmp_path / "model.onnx")
    face = reader.read(Image.new("L", (24, 24), 99), detect=False)[0]
    inside = {
        name for name, least in zip(reader.names, network.sets.least, strict=True) if face.probabilities[name] >= least
    }
    assert set(face.prediction_set) == inside | {face.label}
    assert face.prediction_set[0] == face.label
    older = mien.load(tmp_path / "model.onnx")
    older.network = replace(network, sets=None)
    assert older.read(Image.new("L", (24, 24), 99), detect=False)[0].prediction_set == ()
    assert "Prediction sets" not in model_card(replace(network, card={**network.card, "sets": None}), "tiny")
    assert main(["export", str(shipped), "--coverage", "90"]) == 2
    assert "--coverage 90.0: give a share between 0 and 1, such as 0.9" in capsys.readouterr().err


def test_an_export_says_what_is_unlike_its_training_images(shipped, tmp_path, capsys):
    """On its card, in its answers and to whoever exports; one without the output says None."""
    file = tmp_path / "model.onnx"
    assert main(["export", str(shipped), "--out", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["outliers"]
    reader = mien.load(file)
    face = reader.read(Image.new("L", (24, 24), 99), detect=False)[0]
    assert face.outlier is face.to_dict()["outlier"]
    assert face.outlier in (True, False)
    assert f"below {told['threshold']:.3f}, which 95% of the validation images reach" in model_card(reader.network, "x")
    never = mien.load(file)
    never.network = replace(reader.network, outlier_below=2.0)
    assert never.read(Image.new("L", (24, 24), 99), detect=False)[0].outlier is True
    never.network = replace(reader.network, outlier_below=None)
    assert never.read(Image.new("L", (24, 24), 99), detect=False)[0].outlier is None


def test_the_card_names_the_teachers(shipped):
    network = networks.Network.open(assets.ASSETS / "tiny" / "model.onnx")
    assert "taught" not in model_card(network, "tiny")
    taught = replace(network, card=(network.card or {}) | {"teachers": ["fer2013_tiny", "vit.pth"]})
    assert "--seed 0`, taught by fer2013_tiny, vit.pth, 1 epoch, " in model_card(taught, "tiny")


def test_an_export_is_scored_as_its_run_was(shipped, capsys):
    data = ["--data.source", "drawn_faces", "--data.images", "140"]
    assert main(["evaluate", "mien:tiny", *data, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    scores = json.loads((shipped / "evaluation.json").read_text())["validation"]
    assert found["images"] == scores["images"]
    assert abs(found["correct"] - scores["correct"]) <= 1  # fp16 weights
    assert main(["evaluate", "mien:tiny", *data, "--json", "--split", "all"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] > found["images"]


def test_what_cannot_be_scored(shipped, capsys, tmp_path):
    assert main(["evaluate", "mien:tiny"]) == 2
    assert "mien:tiny has no data of its own" in capsys.readouterr().err
    assert main(["evaluate", str(shipped), "--data.path", str(tmp_path)]) == 2
    assert "its images are drawn, so they lie nowhere" in capsys.readouterr().err
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.new("L", (24, 24)).save(tmp_path / name / "1.png")
    assert main(["evaluate", "mien:tiny", "--data.path", str(tmp_path), "--split", "all"]) == 4
    assert "Class 'cat' is not among the known classes" in capsys.readouterr().err


def test_an_export_tells_its_calibration_once(shipped, tmp_path, capsys):
    assert main(["export", str(shipped), "--out", str(tmp_path / "model.onnx")]) == 0
    assert capsys.readouterr().err.count("calibration error") == 1


def test_answers_as_parquet(shipped, tmp_path, monkeypatch, capsys):
    """A second call adds what is new; without pyarrow nothing is begun."""
    from pyarrow import parquet

    folder, out = tmp_path / "faces", tmp_path / "faces.parquet"
    folder.mkdir()
    for count in (1, 2):
        Image.new("L", (24, 24), 40 * count).save(folder / f"{count}.png")
        assert main(["predict", str(folder), "--no-detect", "--out", str(out)]) == 0
        table = parquet.read_table(out)
        assert table["source"].to_pylist() == [str(folder / f"{number}.png") for number in range(1, count + 1)]
    face = mien.load("mien:tiny").read(folder / "2.png", detect=False)[0]
    assert table["confidence"].to_pylist()[1] == pytest.approx(face.confidence, abs=1e-4)
    assert table.schema.field("happy").type == "double"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["faces.parquet"]
    out.write_text("something else")
    assert main(["predict", str(folder), "--no-detect", "--out", str(out)]) == 4
    assert "is there and no table of this model's" in capsys.readouterr().err
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    assert main(["predict", str(folder), "--no-detect", "--out", str(tmp_path / "new.parquet")]) == 3
    assert "pip install 'mien[parquet]'" in capsys.readouterr().err


def test_backbones_come_with_the_package_to_train_from(shipped, tmp_path, monkeypatch, capsys):
    """Kept in half the space; listed beside the ready ones, and each is refused where the other belongs."""
    exported = assets.ASSETS / "tiny" / "model.onnx"
    monkeypatch.setattr(assets, "ASSETS", tmp_path / "assets")
    (tmp_path / "assets" / "ready").mkdir(parents=True)
    shutil.copyfile(exported, tmp_path / "assets" / "ready" / "model.onnx")
    whole = mien.from_pretrained(shipped)
    folder = whole.save_pretrained(tmp_path / "assets" / "early", half=True)
    card = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps(card | {"parameters": 23, "validation_accuracy": 0.47, "sha256": None})
    )
    (folder / "card.md").write_text("# mien:early")
    kept = {tensor.dtype for tensor in load_file(folder / "model.safetensors").values()}
    assert kept == {torch.float16, torch.int64}  # batch norms count in integers
    images = torch.rand(5, 1, 24, 24)
    torch.testing.assert_close(mien.from_pretrained("mien:early")(images), whole(images), atol=0.01, rtol=0.01)
    assert main(["models", "--json"]) == 0
    ready, early = json.loads(capsys.readouterr().out)
    assert (ready["model"], ready["for"]) == ("mien:ready", "--model")
    assert (early["model"], early["for"], early["validation_accuracy"]) == ("mien:early", "--model.init", 0.47)
    assert main(["models"]) == 0
    assert "validation 47.0%  --model.init" in capsys.readouterr().out
    assert main(["card", "mien:early"]) == 0
    assert capsys.readouterr().out == "# mien:early\n"
    with pytest.raises(MissingError, match=r"mien:early is a backbone to train from.* ready: mien:ready\."):
        mien.load("mien:early")
    assert mien.from_pretrained("mien:ready").labels == whole.labels  # exports are trained from, too
