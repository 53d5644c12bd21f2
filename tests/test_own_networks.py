"""Own networks, as the docs write them: run, swept, explained, exported and explained from the export."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mien import plugins
from mien.cli import main
from mien.models import sizes_of
from mien.runs import read_recipe

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "extend.md"
DATA = [
    *("--data.source", "drawn_faces", "--data.images", "70", "--data.size", "24"),
    *("--train.epochs", "1", "--train.batch_size", "35", "--augment.crop", "0"),
]


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """A folder with mine.py, where the commands are started, and a picture."""
    folder = tmp_path_factory.mktemp("own")
    source = re.search(r"```python\n(# mine\.py\n.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1]
    assert len(source.splitlines()) < 40
    (folder / "mine.py").write_text(source, encoding="utf-8")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 40), np.uint8)).save(folder / "photo.png")
    return folder


@pytest.fixture(autouse=True)
def _there(mine, monkeypatch):
    monkeypatch.chdir(mine)
    monkeypatch.syspath_prepend(str(mine))
    plugins.look_in(str(mine))


@pytest.mark.parametrize(("network", "size"), [("Net", ("kernel", 5)), ("Blocks", ("depth", 1))])
def test_run_explain_and_export(network, size, capsys):
    name, value = size
    chosen = ["--model.name", f"mine:{network}", f"--model.{name}", str(value)]
    assert main(["run", "folder_cnn", *DATA, *chosen, "--out", network]) == 0
    assert read_recipe(Path(network)).model.sizes() == {name: value}
    assert main(["explain", network, "photo.png", "--out", f"{network}-explained"]) == 0
    assert main(["export", network]) == 0
    exported = Path(network) / "model.onnx"
    assert main(["explain", str(exported), "photo.png", "--out", f"{network}-from-export"]) == 0


def test_sweep():
    chosen = ["--model.name", "mine:Net", "--model.kernel", "3,5"]
    assert main(["sweep", "folder_cnn", *DATA, *chosen, "--out", "swept"]) == 0
    assert (Path("swept") / "kernel=5" / "recipe.yaml").is_file()


def test_its_sizes_are_judged_and_listed(capsys):
    own = ["run", "folder_cnn", "--model.name", "mine:Net"]
    assert main([*own, "--model.kernl", "5"]) == 2
    assert "Did you mean --model.kernel?" in capsys.readouterr().err
    assert main([*own, "--model.kernel", "wide"]) == 2
    assert "valid integer" in capsys.readouterr().err
    assert main([*own, "--help"]) == 0
    assert "--model.kernel" in capsys.readouterr().out
    assert set(sizes_of("mine:Net").model_fields) == {"img_size", "in_chans", "num_classes", "kernel"}
