"""Submissions to Dogs vs. Cats: reddish noise is a cat, bluish noise a dog."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mien import config
from mien.cli import main
from mien.data import open_store
from mien.errors import DataError, MissingError, UsageError
from mien.evaluate.run_model import load_model
from mien.evaluate.submission import Submission, submit
from mien.runs import read_recipe
from mien.train.build import build_model, save_model
from mien.train.run import run

IDS = [1, 2, 3, 10, 20]


def draw(path: Path, kind: str, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 100, (24, 20, 3), dtype=np.uint8)
    pixels[..., 0 if kind == "cat" else 2] += 120
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def animal(number: int) -> str:
    return "dog" if number % 2 else "cat"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of pictures, and a run that was trained on them for a few seconds."""
    root = tmp_path_factory.mktemp("submission")
    for i in range(24):
        draw(root / "pictures" / "train" / f"{animal(i)}.{i // 2}.jpg", animal(i), i)
    for i in IDS:
        draw(root / "pictures" / "test1" / f"{i}.jpg", animal(i), 100 + i)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_CACHE", str(root / "cache"))
        recipe = {
            "data": {"source": "dogs_vs_cats", "path": root / "pictures", "size": 16, "channels": 3},
            "model": {"name": "cnn_v1"},
            "train": {"epochs": 8, "batch_size": 8, "lr": 0.003},
        }
        run(config.build(recipe), root / "run")
    return root


@pytest.fixture
def pictures(tmp_path):
    """Unlabelled pictures that a test may harm."""
    for i in IDS:
        draw(tmp_path / "unlabelled" / f"{i}.jpg", animal(i), 100 + i)
    return tmp_path / "unlabelled"


def write_sample(path: Path, ids: list[int]) -> Path:
    path.write_text("id,label\n" + "".join(f"{i},0\n" for i in ids))
    return path


def test_the_competitions_format(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["submission", str(trained / "run")]) == 0
    assert capsys.readouterr().out == "submission.csv  5 images, 2 of them more likely a dog\n"
    header, *lines = Path("submission.csv").read_text().splitlines()
    assert header == "id,label"
    rows = [line.split(",") for line in lines]
    assert [int(number) for number, _ in rows] == IDS
    assert [float(value) > 0.5 for _, value in rows] == [animal(i) == "dog" for i in IDS]
    assert all(len(value.partition(".")[2]) == 6 for _, value in rows)


def test_the_probability_is_the_models(trained):
    model, classes, preprocessing = load_model(trained / "run")
    answers = submit(trained / "run")
    for i, number in enumerate(IDS):
        image = Image.open(trained / "pictures" / "test1" / f"{number}.jpg")
        pixels = torch.from_numpy(preprocessing.pixels(image))[None].float() / 255
        with torch.inference_mode():
            expected = model(preprocessing.scale(pixels)).softmax(dim=1)[0, classes.index("dog")]
        assert answers.dog[i] == pytest.approx(expected.item(), abs=1e-5)


def test_the_dog_is_found_by_name(trained, tmp_path):
    """A run whose classes are Dog, cat gives the same answers when its head is turned around."""
    recipe = read_recipe(trained / "run")
    store = open_store(recipe.data)
    model, _, _ = load_model(trained / "run")
    last = [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]
    with torch.no_grad():
        last.weight.copy_(last.weight.flip(0))
        last.bias.copy_(last.bias.flip(0))
    turned = tmp_path / "turned"
    turned.mkdir()
    (turned / "recipe.yaml").write_text(config.dump(recipe))
    object.__setattr__(store, "classes", ("Dog", "cat"))
    save_model(turned, model, recipe, store)
    np.testing.assert_allclose(submit(turned).dog, submit(trained / "run").dog, atol=1e-6)


def test_clipping_is_asked_for(tmp_path):
    answers = Submission([1, 2, 3], np.array([0.0, 0.25, 1.0]), {})
    answers.write(tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "id,label\n1,0.000000\n2,0.250000\n3,1.000000\n"
    answers.write(tmp_path / "a.csv", clip=True)
    assert (tmp_path / "a.csv").read_text() == "id,label\n1,0.005000\n2,0.250000\n3,0.995000\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_ids_are_compared_with_the_sample(trained, tmp_path, capsys):
    out = tmp_path / "out.csv"
    command = ["submission", str(trained / "run"), "--out", str(out), "--check"]
    assert main([*command, str(write_sample(tmp_path / "other.csv", [2, 3, 4, 5, 6, 7, 10]))]) == 4
    error = capsys.readouterr().err
    assert "other.csv: missing 4, 5, 6 and 1 more; surplus 1, 20. Give the competition's whole folder" in error
    assert not out.exists()
    assert main([*command, str(write_sample(tmp_path / "same.csv", IDS[::-1]))]) == 0
    assert out.exists()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("number,label\n1,0\n", r"sample\.csv must begin with the line id,label, not 'number,label'"),
        ("id,label\n1,0\nx,0\n", r"sample\.csv line 3 is 'x,0'; it must be a number and a label"),
    ],
)
def test_a_sample_that_is_none(trained, tmp_path, text, wanted):
    (tmp_path / "sample.csv").write_text(text)
    with pytest.raises(DataError, match=wanted):
        submit(trained / "run", check=tmp_path / "sample.csv")
    with pytest.raises(MissingError, match=r"`check` .*none\.csv: there is no such file"):
        submit(trained / "run", check=tmp_path / "none.csv")


def test_a_picture_that_cannot_be_read(trained, pictures, tmp_path, capsys):
    (pictures / "3.jpg").write_text("no picture")
    with pytest.raises(DataError, match=r"3\.jpg cannot be read as an image .*`skip_bad=True`"):
        submit(trained / "run", pictures)
    command = ["submission", str(trained / "run"), "--images", str(pictures), "--out", str(tmp_path / "out.csv")]
    assert main([*command, "--skip-bad", "--json"]) == 0
    out, err = capsys.readouterr()
    assert "1 of 5 pictures cannot be read and have 0.5, first: " in err
    printed = json.loads(out)
    assert (printed["images"], printed["dogs"], list(printed["unreadable"])) == (5, 1, ["3"])
    assert "\n3,0.500000\n" in (tmp_path / "out.csv").read_text()
    whole, harmed = submit(trained / "run"), submit(trained / "run", pictures, skip_bad=True)
    np.testing.assert_allclose(np.delete(harmed.dog, 2), np.delete(whole.dog, 2), atol=1e-6)


def test_only_pictures_that_cannot_be_read(trained, pictures):
    for path in pictures.iterdir():
        path.write_bytes(b"")
    answers = submit(trained / "run", pictures, skip_bad=True)
    assert answers.dog.tolist() == [0.5] * 5
    assert list(answers.unreadable) == IDS


def test_a_run_of_other_classes(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    recipe = config.build({"data": {"source": "drawn_faces", "images": 70, "size": 16}, "model": {"name": "cnn_v1"}})
    store = open_store(recipe.data)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text(config.dump(recipe))
    with pytest.raises(MissingError, match="has no finished model"):
        submit(tmp_path / "run")
    save_model(tmp_path / "run", build_model(recipe, store), recipe, store)
    with pytest.raises(UsageError, match=r"knows the classes angry, .*; a submission needs cat and dog\."):
        submit(tmp_path / "run")
    with pytest.raises(MissingError, match=r"nowhere is not a run folder"):
        submit(tmp_path / "nowhere")


def test_where_the_pictures_are(trained, pictures, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "model").symlink_to(trained / "run" / "model")
    recipe = read_recipe(trained / "run")

    def at(path: Path | None) -> Path:
        changed = config.build(recipe.model_dump(), {"data": {"path": path}})
        (folder / "recipe.yaml").write_text(config.dump(changed))
        return folder

    beside = submit(at(trained / "pictures" / "train"))
    np.testing.assert_array_equal(beside.dog, submit(trained / "run").dog)
    with pytest.raises(MissingError, match=r"unlabelled.test1 is missing\. Give the folder .*`images`"):
        submit(at(pictures))
    with pytest.raises(UsageError, match=r"has no path\. Give the folder of unlabelled pictures: `images`"):
        submit(at(None))
