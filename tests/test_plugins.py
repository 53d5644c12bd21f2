"""Files name no code: what a stranger's file would import is refused before it is imported."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

import mien
from mien import config, plugins
from mien.atomic import write_json
from mien.cli import main
from mien.config import Data, Model, Recipe, Train
from mien.config.sweep_plan import make_plan, read_plan
from mien.errors import DataError, UsageError
from mien.module_files import module_files
from mien.preprocessing import Preprocessing
from mien.pretrained.own import save_folder

CANARY = """
from pathlib import Path
from torch import nn
from mien.data.sources import drawn_faces
from mien.data.listing import Listing

Path(__file__).with_name("sang").touch()

class Net(nn.Module):
    def __init__(self, img_size=48, in_chans=1, num_classes=7):
        super().__init__()
        self.head = nn.Linear(in_chans * img_size**2, num_classes)

    def forward(self, x):
        return self.head(x.flatten(1))

def read(path) -> Listing:
    return drawn_faces.read(70, 12, 0)
"""
NET, READ = "canary_in_a_file:Net", "canary_in_a_file:read"


@pytest.fixture
def start(tmp_path, monkeypatch):
    """The folder where mien is started, with the module in it; nothing has been used on this machine yet."""
    folder = tmp_path / "start"
    folder.mkdir()
    (folder / "canary_in_a_file.py").write_text(CANARY)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place])
    forget(monkeypatch)
    yield folder
    forget(monkeypatch)


def forget(monkeypatch):
    """As in a new process."""
    monkeypatch.delitem(sys.modules, "canary_in_a_file", raising=False)
    monkeypatch.setattr(plugins, "_used", set())
    monkeypatch.setattr(plugins, "_folder", None)


def sang(folder: Path) -> bool:
    return (folder / "sang").exists()


def settings_file(folder: Path, values: dict) -> Path:
    path = folder / "settings.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def weights_folder(folder: Path) -> Path:
    from torch import nn

    there = folder / "theirs"
    there.mkdir()
    save_folder(there, nn.Linear(2, 2), NET, {"img_size": 12}, ("a", "b"), Preprocessing(size=12))
    return there


def stranger_run(folder: Path, **values) -> Path:
    run = folder / "theirs"
    run.mkdir()
    recipe = Recipe(name="theirs", data=Data(source="drawn_faces", images=70, size=12)).model_dump(mode="json")
    (run / "recipe.yaml").write_text(yaml.safe_dump(config.merge(recipe, values)))
    (run / "metrics.csv").write_text("epoch,val_loss\n1,1\n")
    return run


READ_OF_FILE = {"data": {"source": READ, "path": "."}}
NET_OF_FILE = {"model": {"name": NET}}


@pytest.mark.parametrize("values", [READ_OF_FILE, NET_OF_FILE])
def test_a_settings_file_names_no_code(start, values, capsys):
    path = settings_file(start, values)
    name = next(iter(values.values()))
    name = name.get("source") or name["name"]
    for words in (["run", "--config", str(path)], ["sweep", "--config", str(path), "--seed", "1,2"]):
        assert main(words) == 4
        said = capsys.readouterr().err
        assert f"{path} names code: " in said
        assert "would import the module 'canary_in_a_file'" in said
        assert f"--allow-code {name}" in said
    assert not sang(start)


@pytest.mark.parametrize("values", [READ_OF_FILE, NET_OF_FILE])
@pytest.mark.parametrize("verb", ["report", "evaluate", "export", "compare", "explain", "average", "resume"])
def test_a_run_names_no_code(start, verb, values, capsys):
    run, picture = str(stranger_run(start, **values)), start / "x.png"
    Image.new("L", (48, 48)).save(picture)
    words = {
        "compare": ["compare", run, run],
        "explain": ["explain", run, str(picture)],
        "average": ["average", run, run],
        "resume": ["run", run, "--resume"],
    }.get(verb, [verb, run])
    assert main(words) == 4
    assert "names code: " in capsys.readouterr().err
    assert not sang(start)


def test_a_folder_of_weights_names_no_code(start, capsys):
    there = weights_folder(start)
    assert main(["run", "drawn_faces_vit", "--model.init", str(there)]) == 4
    assert f"names code: model {NET} would import" in capsys.readouterr().err
    with pytest.raises(DataError, match="names code"):
        mien.from_pretrained(there)
    assert not sang(start)


def test_a_sweep_names_no_code(start, capsys):
    make_plan(None, None, [Recipe().model_dump(mode="json")], {"seed": "1,2"}).save(start)
    values = json.loads((start / "sweep.json").read_text()) | {"sha256": None}
    for part, brought in (
        ("layers", [NET_OF_FILE]),
        ("fixed", {"data.source": READ}),
        ("fields", {"model.name": [NET, "vit"]}),
    ):
        write_json(start / "sweep.json", values | {part: brought})
        with pytest.raises(DataError, match=r"sweep\.json names code"):
            read_plan(start)
        assert main(["sweep", "--resume", str(start)]) == 4
    assert not sang(start)


def test_a_name_is_allowed_for_one_call(start, capsys):
    path = settings_file(
        start, READ_OF_FILE | {"train": {"epochs": 1}, "data": {"source": READ, "path": ".", "size": 12}}
    )
    words = ["run", "--config", str(path), "--model.name", "lenet", "--data.size", "32", "--out", "run"]
    assert main([*words, "--allow-code", READ]) == 0, capsys.readouterr().err
    assert sang(start)
    assert main([*words, "--overwrite"]) == 4
    assert main([*words, "--overwrite", "--allow-code=canary_in_a_file:Net"]) == 4
    assert "--allow-code what?" in (main(["models", "--allow-code"]), capsys.readouterr().err)[1]
    assert main(["models", "--allow-code", "mien:base"]) == 2
    assert mien.resume("run", allow_code=READ).recipe.data.source == READ  # one name, as a text


def test_what_was_typed_here_goes_on_working_while_its_file_is_unchanged(start, monkeypatch, tmp_path, capsys):
    data = ["--data.source", "drawn_faces", "--data.images", "70", "--data.size", "12"]
    words = ["run", "quickstart", *data, "--model.name", NET, "--train.epochs", "1", "--out", "run"]
    assert main(words) == 0, capsys.readouterr().err
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "canary_in_a_file.py").write_text("raise SystemExit('another module of this name')")
    monkeypatch.chdir(elsewhere)
    run = str(shutil.move(start / "run", elsewhere / "run"))
    forget(monkeypatch)
    assert main(["evaluate", run]) == 0, capsys.readouterr().err
    forget(monkeypatch)
    with open(start / "canary_in_a_file.py", "a") as file:
        file.write("\n")
    assert main(["evaluate", run]) == 4
    said = capsys.readouterr().err
    assert f"{start / 'canary_in_a_file.py'} has changed since it was used here." in said
    assert f"--allow-code {NET}" in said
    assert "elsewhere could" not in said


def test_a_permission_does_not_hide_the_file_that_was_used_here(start, monkeypatch, tmp_path, capsys):
    data = ["--data.source", "drawn_faces", "--data.images", "70", "--data.size", "12"]
    run = str(tmp_path / "run")
    assert main(["run", "quickstart", *data, "--model.name", NET, "--train.epochs", "1", "--out", run]) == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(start)])
    forget(monkeypatch)
    assert main(["evaluate", run, "--allow-code", NET]) == 0, capsys.readouterr().err


def test_a_near_miss_is_named(start, capsys):
    path = settings_file(start, NET_OF_FILE)
    assert main(["run", "--config", str(path), "--allow-code", NET.lower()]) == 4
    said = capsys.readouterr().err
    assert f"--allow-code {NET} What you allowed is another name: {NET.lower()}." in said
    with pytest.raises(UsageError, match="Did you mean 'Net'"):
        plugins.load(NET.lower(), "Model")
    assert main(["run", NET]) == 2
    assert f"--model.name {NET}" in capsys.readouterr().err


def test_python_counts_and_a_recipe_that_the_user_named_too(start, monkeypatch, capsys):
    monkeypatch.syspath_prepend(start)
    from mien.train.run import run

    recipe = Recipe(
        data=Data(source="drawn_faces", images=70, size=12), model=Model(name=NET), train=Train(epochs=1, batch_size=35)
    )
    folder = run(recipe, start / "run")
    assert mien.from_pretrained(folder).labels
    (start / "mine.py").write_text(
        "from mien.config import *\nrecipe = Recipe(data=Data(source='drawn_faces', images=70, size=12), "
        f"model=Model(name={NET!r}), train=Train(epochs=1, batch_size=35))\n"
    )
    assert main(["run", "mine.py", "--out", "second"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(("name", "code"), [("mine:Net", True), ("a.b:c", True), ("vit", False), ("mien:base", False),
                                            ("timm:convnext_atto", False), ("hf-hub:a/b", False), (r"C:\x", False),
                                            (None, False), (7, False), ("os.system:x y", True)])  # fmt: skip
def test_what_is_code(name, code):
    assert plugins.is_code(name) is code


@pytest.mark.parametrize("name", ["os.system:x y", "timm:Net", "mien:load"])
def test_a_name_that_is_no_name_is_refused(name, tmp_path, monkeypatch):
    (tmp_path / "timm.py").write_text("raise AssertionError('a scheme is no module')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="name an own one MODULE:NAME"):
        plugins.load(name, "Model")


def test_a_module_is_known_with_what_it_imports_from_its_own_folder(start, monkeypatch, tmp_path):
    """A stranger who may change a sibling could run anything as well as one who changes the module."""
    (start / "parts").mkdir()
    files = {
        "own_module.py": "import json, os.path, sibling\nfrom parts import head as h\nclass Net: pass\n",
        "sibling.py": "def later():\n    from parts.deep import a\n",
        "parts/__init__.py": "from .near import *\n",
        "parts/head.py": "",
        "parts/near.py": "from . import far\nfrom .. import beyond\n",
        "parts/far.py": "",
        "parts/deep.py": "",
        "stranger.py": "",  # imported by nothing
    }
    for name, text in files.items():
        (start / name).write_text(text)
    monkeypatch.syspath_prepend(str(start))
    found = module_files("own_module")
    assert found[0] == start / "own_module.py"
    assert {str(path.relative_to(start)) for path in found} == files.keys() - {"stranger.py"}
    installed = module_files("yaml.loader")
    assert installed[0].parts[-2:] == ("yaml", "__init__.py")
    assert {path.parent.name for path in installed} == {"yaml"}
    assert module_files("none_of_this_name") == []
    plugins.remember("own_module:Net")
    plugins.refuse_foreign("own_module:Net", "model.name", "a file")
    (start / "parts" / "far.py").write_text("import os\n")
    with pytest.raises(DataError, match=r"far\.py has changed since it was used here"):
        plugins.refuse_foreign("own_module:Net", "model.name", "a file")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="has no fork")
def test_names_that_processes_remember_at_the_same_time_are_all_kept(start, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(start))
    children = []
    for number in range(8):
        children.append(os.fork())
        if not children[-1]:
            for each in range(5):
                plugins.remember(f"canary_in_a_file:Net{number}{each}")
            os._exit(0)
    for child in children:
        os.waitpid(child, 0)
    assert len(plugins._remembered()) == 40
    known = tmp_path / "cache" / plugins.KNOWN
    known.write_text(known.read_text().replace("Net11", "Not11"))
    assert plugins._remembered() == {}, "damaged: the user is asked again"
