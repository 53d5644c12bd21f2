"""Every command and every example of the README runs, on faces drawn for the purpose and for one epoch."""

import csv
import re
import shlex
from pathlib import Path

import pytest

from mien.cli import main
from mien.data.drawn_faces import read

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for kind, block in BLOCKS if kind == "bash" for line in block.splitlines() if line.startswith("mien ")]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A working folder with `pictures`, `other-pictures` and `fer2013`, and settings that make training short."""
    for seed, folders in enumerate((("fer2013", "pictures"), ("other-pictures",))):
        faces = read(70, 48, seed=seed)
        for i, (name, label) in enumerate(zip(faces.names, faces.labels, strict=True)):
            for folder in folders:
                split = faces.splits[i] if folder == "fer2013" else ""
                path = tmp_path.joinpath(folder, split, faces.classes[label], f"{name.replace('/', '-')}.png")
                path.parent.mkdir(parents=True, exist_ok=True)
                faces.read(i).save(path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    for key, value in {"TRAIN__EPOCHS": "1", "TRAIN__WARMUP_EPOCHS": "0", "DATA__IMAGES": "70"}.items():
        monkeypatch.setenv(f"MIEN_{key}", value)
    return tmp_path


def test_every_command_runs(home, capsys):
    assert len(COMMANDS) >= 9
    for command in COMMANDS:
        code, err = main(shlex.split(command)[1:]), capsys.readouterr().err
        assert code == 0, f"{command}\n{err}"
        assert "very images that the network was trained on" not in err, command
    assert (home / "runs" / "my-vit" / "report.html").exists()
    assert (home / "comparison.html").exists()
    assert (home / "data.png").exists()


def test_quickstart_leaves_two_runs_and_their_comparison(home, capsys):
    assert "mien quickstart" in README
    assert main(["quickstart"]) == 0
    found = sorted(path.name for path in (home / "runs").iterdir())
    assert [name.partition("-2")[0] for name in found] == ["quickstart", "quickstart-cnn", "quickstart-vit"]
    page = next((home / "runs").glob("*.html"))
    assert str(page.relative_to(home)) in capsys.readouterr().out


def test_the_library_example_runs(home):
    example = next(block for kind, block in BLOCKS if kind == "python")
    exec(compile(example.replace('"epochs": 5', '"epochs": 1'), "README.md", "exec"), {})
    assert len(list((home / "runs").glob("folder_vit-*/report.html"))) == 0
    assert len(list((home / "runs").glob("folder_vit-*/model/model.safetensors"))) == 1


def test_the_tree_names_what_is_there():
    tree = re.search(r"## What is where\n+```\n(.*?)```", README, re.DOTALL).group(1)
    root = Path(__file__).parent.parent
    for line in tree.splitlines():
        name = line.split()[0]
        assert (root / name).exists() or (root / "src" / "mien" / name).exists(), name


def test_every_number_in_the_table_is_a_recorded_run():
    """The accuracy of each row stands in results/runs.csv."""
    with open(Path(__file__).parent.parent / "results" / "runs.csv", newline="", encoding="utf-8") as file:
        recorded = [row for row in csv.DictReader(file) if row["metric"] == "accuracy"]
    rows = re.findall(r"^\| `(\w+)`.*?\| \*\*([\d.]+) %\*\*", README, re.MULTILINE)
    assert len(rows) >= 7
    for recipe, accuracy in rows:
        values = [float(row["value"]) for row in recorded if row["recipe"] == recipe]
        assert any(f"{100 * value:.1f}" == accuracy for value in values), f"{recipe} {accuracy}"
