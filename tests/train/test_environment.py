"""What a run warns of before its first step."""

import shutil

import pytest
from fake_runs import draw_pictures

from mien.config import Data, Distill, Model, Pretrain, Recipe, Train
from mien.export import export
from mien.runs.folder import RunFolder
from mien.train.run import run

DATA = Data(source="drawn_faces", size=16, images=70, mean=0.5, std=0.25)


def recipe(**more) -> Recipe:
    model = Model(name="resnet", widths=(4, 8), layers=(1, 1))
    settings = {"name": "tiny", "data": DATA, "model": model, "train": Train(epochs=1, batch_size=35), "device": "cpu"}
    return Recipe(**(settings | more))


def warnings(folder) -> list[str]:
    return list(RunFolder.open(folder).env.warnings)


@pytest.fixture(scope="module")
def first_fold(tmp_path_factory):
    data = DATA.model_copy(update={"folds": 2, "fold": 0})
    return run(recipe(data=data), tmp_path_factory.mktemp("first") / "run")


@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize("how", ["init", "teacher"])
def test_a_start_that_has_seen_the_validation_images_is_said(first_fold, tmp_path, fold, how):
    """Fold 1 is validated on what the run of fold 0 was trained on; fold 0 on what both held out."""
    name = str(first_fold)
    more = {"init": {"model": Model(init=name)}, "teacher": {"distill": Distill(teachers=(name,))}}[how]
    folder = run(recipe(data=DATA.model_copy(update={"folds": 2, "fold": fold}), **more), tmp_path / "second")
    said = [text for text in warnings(folder) if "validation images" in text]
    held_out = RunFolder.open(folder).env.store.images["validation"]
    expected = f"{first_fold} learned from {held_out} of this run's {held_out} validation images"
    assert [text.startswith(expected) for text in said] == [True] * fold


def test_it_is_said_of_pictures_that_were_moved_or_renamed(tmp_path):
    draw_pictures(tmp_path / "pictures")
    folder = {"source": "folder", "size": 16, "channels": 1}
    first = run(recipe(data=Data(path=tmp_path / "pictures", **folder)), tmp_path / "first")
    moved = (tmp_path / "pictures").rename(tmp_path / "moved")
    start = {"model": Model(init=str(first))}
    same = run(recipe(data=Data(path=moved, **folder), **start), tmp_path / "same")
    assert warnings(same) == []
    shutil.copy(moved / "train" / "sad" / "000.png", moved / "validation" / "sad" / "another.png")
    (moved / "train" / "sad" / "000.png").unlink()
    mixed = run(recipe(data=Data(path=moved, **folder), **start), tmp_path / "mixed")
    assert [text.startswith(f"{first} learned from 1 of this run's 26 ") for text in warnings(mixed)] == [True]


@pytest.mark.parametrize("how", ["its model", "pretrained", "taught by it"])
def test_it_is_said_of_what_lies_behind_a_start_too(first_fold, tmp_path, how):
    """A run's model folder, a pretraining (which has no predictions), a run that had such a teacher."""
    start, model = first_fold / "model", Model()
    if how == "pretrained":
        model = Model(name="vit", patch_size=8, embed_dim=8, depth=1, num_heads=2)
        data = DATA.model_copy(update={"folds": 2, "fold": 0})
        pretrain = Pretrain(method="mae", mask_ratio=0.5, decoder_dim=32)
        start = run(recipe(data=data, model=model, pretrain=pretrain), tmp_path / "mae")
    elif how == "taught by it":  # itself of fold 1, so that it held this run's images out
        data = DATA.model_copy(update={"folds": 2, "fold": 1})
        start = run(recipe(data=data, distill=Distill(teachers=(str(first_fold),))), tmp_path / "student")
    data = DATA.model_copy(update={"folds": 2, "fold": 1})
    folder = run(recipe(data=data, model=model.model_copy(update={"init": str(start)})), tmp_path / "second")
    assert [text.startswith(f"{start} learned from 70 of this run's 70") for text in warnings(folder)] == [True]


def test_a_start_whose_recipe_cannot_be_read_still_starts(first_fold, tmp_path):
    old = shutil.copytree(first_fold, tmp_path / "old")
    (old / "recipe.yaml").write_text("train: {of_an_older_version: 1}")
    assert warnings(run(recipe(model=Model(init=str(old))), tmp_path / "second")) == []


@pytest.mark.parametrize("fold", [0, 1])
def test_an_exported_teacher_that_may_have_seen_the_validation_images_is_said(first_fold, tmp_path, fold):
    exported = tmp_path / "model.onnx"
    export(first_fold, exported)
    data = DATA.model_copy(update={"folds": 2, "fold": fold})
    folder = run(recipe(data=data, distill=Distill(teachers=(str(exported),))), tmp_path / "second")
    assert [text.startswith(f"{exported} comes from the same data") for text in warnings(folder)] == [True] * fold


def test_freezing_random_weights_is_said(first_fold, tmp_path):
    train = Train(epochs=1, batch_size=35, trainable="head")
    frozen = run(recipe(train=train), tmp_path / "random")
    assert any("has random weights and stays so" in text for text in warnings(frozen))
    started = run(
        recipe(data=DATA.model_copy(update={"folds": 2, "fold": 0}), train=train, model=Model(init=str(first_fold))),
        tmp_path / "trained",
    )
    assert warnings(started) == []
