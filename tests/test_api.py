"""The front door: every verb from Python, typed, also after every submodule has been imported."""

import ast
import importlib
import inspect
import pkgutil
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import mien
from mien.arguments import several
from mien.assets import asset
from mien.cache import cache_folder
from mien.cli import main
from mien.data import open_store
from mien.errors import MissingError, UsageError
from mien.runs import data as places

VERBS = [name for name in mien.__all__ if name[0].islower()]
SMALL = {
    "data": {"source": "drawn_faces", "images": 70, "size": 16},
    "train": {"epochs": 1, "batch_size": 35},
    "seed": 3,
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    place = tmp_path_factory.mktemp("api")
    return mien.train(mien.recipe("quickstart", **SMALL), place / "run")


def test_the_door_names_every_verb_and_type():
    assert len(dir(mien)) > 15
    assert {"train", "evaluate", "compare", "explain", "export", "load", "Run", "Recipe"} <= set(dir(mien))
    for name in mien.__all__:
        assert getattr(mien, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        mien.trian  # noqa: B018


@pytest.mark.parametrize("verb", ["train", "lr"])
def test_a_name_in_place_of_a_recipe_is_told_how_to_make_one(verb):
    with pytest.raises(
        UsageError, match=rf"takes a recipe, given 'folder_vit'.* `mien.{verb}\(mien.recipe\('folder_vit', "
    ):
        getattr(mien, verb)("folder_vit")


def test_the_door_opens_nothing():
    code = "import sys, mien; print(len(dir(mien))); print(*sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"torch", "numpy", "pydantic", "mien.api"} & set(printed.split())


def test_verbs_that_share_their_name_with_a_module_are_known():
    modules = {module.name for module in pkgutil.iter_modules(mien.__path__)}
    assert set(mien.MODULES) == modules & set(VERBS)


def test_a_verb_stays_a_verb_when_its_package_has_been_imported(run):
    for module in pkgutil.walk_packages(mien.__path__, "mien."):
        if not module.name.endswith(("__main__", "on_ray")):  # the one runs, the other needs an extra
            importlib.import_module(module.name)
    for name in VERBS:
        verb = getattr(mien, name)
        assert callable(verb)
        home = importlib.import_module(mien.PLACES.get(name, "mien.api"))
        assert inspect.signature(verb) == inspect.signature(getattr(home, name))
    assert "model" in inspect.signature(mien.explain).parameters
    assert isinstance(mien.train, ModuleType)
    assert mien.train.run.__name__ == "mien.train.run"
    assert mien.evaluate(run).images == 70
    assert mien.explain(run, np.zeros((16, 16), np.uint8), ()).labels == tuple(run.env.classes)


def test_a_run_from_the_first_line_to_a_reader(run, tmp_path):
    assert run.recipe.seed == 3
    assert 0 <= run.scores["validation"].accuracy <= 1
    assert run.report().name == "report.html"
    other = mien.train(run.recipe.with_(seed=4), tmp_path / "other")
    assert len(mien.compare(run, other.path).rows) == 2
    Image.fromarray(np.full((16, 16), 90, np.uint8)).save(tmp_path / "photo.png")
    explanation = run.explain(tmp_path / "photo.png", methods=["saliency"])
    assert set(explanation.maps) == {"saliency"}
    near = run.nearest(tmp_path / "photo.png", n=3)
    assert [each.name for each in near] == [each.name for each in explanation.nearest[:3]]
    reader = mien.load(other)  # never exported until now
    assert (other.path / "model.onnx").exists()
    face = reader.read(tmp_path / "photo.png", detect=False)[0]
    assert set(face.probabilities) == set(reader.names)
    page = run.export(tmp_path / "own.onnx", web=tmp_path / "page")
    assert page.files["model.onnx"] == (tmp_path / "own.onnx").stat().st_size
    assert mien.resume(run).path == run.path
    assert mien.from_pretrained(run).labels == tuple(run.env.classes)


def test_the_nearest_training_pictures(run, tmp_path):
    """A picture's own copy is left out, and said; pictures that are no longer there cost the examples alone."""
    store = open_store(run.recipe.data)
    own = store.indices("train")[5]
    explanation = run.explain(store.images[own][0], methods=(), nearest=4)
    near = explanation.nearest
    assert len(near) == 4
    assert store.names[own] not in [each.name for each in near]
    label = store.classes[store.labels[own]]
    assert explanation.notes == (
        f"This very picture is one of the training pictures, labelled {label}; below are others.",
    )
    assert 1 >= near[0].similarity >= near[3].similarity
    for each in near:
        position = store.names.index(each.name)
        assert each.label == store.classes[store.labels[position]]
        np.testing.assert_array_equal(each.image, store.images[position])
    assert not run.explain(store.images[own][0], methods=(), nearest=0).nearest
    with pytest.raises(UsageError, match="`n` 0: how many pictures"):
        run.nearest(store.images[own][0], n=0)
    with pytest.raises(UsageError, match="its images are drawn, so they lie nowhere"):
        run.nearest(store.images[own][0], data=tmp_path)
    assert "its images are drawn" in run.explain(store.images[own][0], methods=(), data=tmp_path).notes[0]


def test_scores_by_the_subgroups_of_a_table(run, tmp_path):
    table = tmp_path / "light.csv"
    names = run.predictions().names
    table.write_text("path,light\n" + "".join(f"{name},{'dim' if i % 2 else ''}\n" for i, name in enumerate(names)))
    scores = mien.evaluate(run, by="light", table=table)
    groups = {group.value: group for group in scores.subgroups.groups}
    assert {name: group.images for name, group in groups.items()} == {"(none)": 35, "dim": 35}
    assert sum(group.correct for group in groups.values()) == scores.correct
    assert sum(group.clean.images for group in groups.values()) == scores.clean.images
    assert run.scores["validation"].subgroups == scores.subgroups
    assert "Whom does it fail?" in run.report().read_text()
    data = run.recipe.data.model_dump(exclude_unset=True)
    exported = mien.evaluate("mien:tiny", data=data, by="light", table=table).subgroups
    assert {group.value: group.images for group in exported.groups} == {"(none)": 35, "dim": 35}
    with pytest.raises(UsageError, match=r"The data \(drawn_faces\) is no table"):
        mien.evaluate(run, by="light")
    assert mien.evaluate(run).subgroups is None


def test_what_does_not_exist_is_said_with_the_nearest(run):
    with pytest.raises(UsageError, match=r"Unknown recipe 'quickstrat'\. Did you mean 'quickstart'"):
        mien.recipe("quickstrat")
    with pytest.raises(UsageError, match=r"train\.epohcs.*Did you mean 'epochs'"):
        mien.recipe("quickstart", train={"epohcs": 3})
    with pytest.raises(MissingError):
        mien.compare(run, run.path / "nowhere")
    with pytest.raises(UsageError, match="'all' is for exports"):
        mien.evaluate(run, "all")


def test_a_run_is_named_by_a_text_too(run):
    assert mien.Run.open(str(run.path)).path == run.path
    with pytest.raises(MissingError, match="there is no such folder"):
        mien.Run.open("nowhere")


@pytest.mark.parametrize("export", ["mien:base", "hf-hub:owner/name", "nowhere.onnx"])
def test_an_export_where_a_run_is_wanted(run, export):
    with pytest.raises(UsageError, match=f"{export} has no data of its own.*give `data`"):
        mien.evaluate(export)
    for verb in (mien.resume, mien.export, lambda export: mien.compare(run, export)):
        with pytest.raises(UsageError, match=f"{export} is a network and no run: `(resume|export|compare)` takes runs"):
            verb(export)


def test_a_path_alone_says_where_the_images_lie(run, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(places, "moved", lambda recipe: opened.append(places._place.get()) or recipe)
    for place in (str(tmp_path), tmp_path, {"path": tmp_path}):
        mien.evaluate(run, data=place)
    assert opened == [tmp_path] * 3
    with pytest.raises(UsageError, match="say only where its images lie now"):
        mien.evaluate(run, data={"path": tmp_path, "size": 32})


def test_a_text_where_texts_are_wanted_is_one_of_them():
    """And not its letters: 'ab' would name two classes."""
    assert several("ab") == ["ab"] == several(Path("ab")) == several(["ab"]) == several(np.array(["ab"]))
    assert mien.from_pretrained("mien:tiny", np.array(["cat", "dog"])).labels == ("cat", "dog")
    with pytest.raises(UsageError, match="tells 7 classes apart, and 1 names are given"):
        mien.adopt("mien:tiny", labels="abcdefg")


def test_a_folder_that_holds_an_export_is_one(tmp_path, capsys):
    """As in Python: the folder that `push` writes has no run's recipe."""
    shutil.copy(asset("tiny", "model.onnx"), tmp_path)
    with pytest.raises(UsageError, match="has no data of its own"):
        mien.evaluate(tmp_path)
    assert main(["evaluate", str(tmp_path)]) == 2
    assert f"{tmp_path} has no data of its own. Say on which to score it: --data.path" in capsys.readouterr().err


def test_networks_that_come_with_mien_are_verified_by_their_names():
    assert mien.verify("mien:tiny") == []
    with pytest.raises(MissingError, match="mien:tinny does not come with mien"):
        mien.verify("mien:tinny")


def test_a_run_goes_to_the_home_folder_and_not_to_one_called_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "taken").touch()
    for verb in (partial(mien.train, mien.recipe("quickstart", **SMALL)), partial(mien.adopt, "mien:tiny")):
        with pytest.raises(UsageError, match=f"{tmp_path}/run exists"):
            verb("~/run")


def test_a_tilde_is_the_home_folder_or_a_part_of_a_name(tmp_path, monkeypatch):
    """Of no user there is no home folder, so `~draft` is a name, as Office and editors make them."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MIEN_CACHE", "~/cache")
    monkeypatch.chdir(tmp_path)
    shutil.copy(asset("tiny", "model.onnx"), "~draft.onnx")
    Image.new("L", (48, 48), 90).save("~draft.png")
    assert mien.load("~draft.onnx").names == mien.load("~/~draft.onnx").names
    assert len(mien.load("~draft.onnx").read("~draft.png", detect=False)) == 1
    assert mien.recipe("quickstart", data={"path": "~/pictures"}).data.path == tmp_path / "pictures"
    assert cache_folder() == tmp_path / "cache"
    for verb in (mien.evaluate, mien.Run.open, mien.embed, partial(mien.adopt, out="run")):
        with pytest.raises((MissingError, UsageError)):
            verb("~nobody/pictures")


def test_the_type_checker_is_shown_every_verb():
    shown = {
        node.attr for node in ast.walk(ast.parse(Path("tests/typed_use.py").read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "mien"
    }  # fmt: skip
    assert shown >= set(VERBS)
    assert shown >= set(mien.TYPES)
