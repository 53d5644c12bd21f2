"""Every command and every example of the README runs, on faces drawn for the purpose and for one epoch."""

import csv
import re
import shlex
from pathlib import Path

import pytest

from mien.cli import main
from mien.data.sources.drawn_faces import read

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


@pytest.mark.timeout(900)  # six trainings on what may be a busy machine
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


@pytest.mark.timeout(900)
def test_the_library_example_runs(home, capsys):
    example = next(block for kind, block in BLOCKS if kind == "python")
    assert len(example.splitlines()) <= 8
    next((home / "pictures").rglob("*.png")).rename(home / "photo.jpg")
    exec(compile(example.replace('"epochs": 5', '"epochs": 1'), "README.md", "exec"), {})
    assert len(list((home / "runs").glob("folder_vit-*/report.html"))) == 1
    assert len(list((home / "runs").glob("folder_vit-*/model/model.safetensors"))) == 1
    assert len(set(capsys.readouterr().out.splitlines()[-1].split())) <= 2, "the labels, and perhaps 'unsure'"


def test_the_tree_names_what_is_there():
    tree = re.search(r"## What is where\n+```\n(.*?)```", README, re.DOTALL).group(1)
    root = Path(__file__).parent.parent
    for line in tree.splitlines():
        name = line.split()[0]
        assert (root / name).exists() or (root / "src" / "mien" / name).exists(), name
    rooms = {path.name for path in (root / "src" / "mien").iterdir() if (path / "__init__.py").exists()}
    assert rooms <= {line.split()[0].rstrip("/") for line in tree.splitlines()}


SECONDS = {  # the runs that a network comes from, by recipe and what of its settings tells them apart
    "fer2013_cnn_v2": [("fer2013_cnn_v2", "")],
    "fer2013_vit_scratch_naive": [("fer2013_vit_scratch_naive", "")],
    "fer2013_vit_best_taught_average": [
        ("fer2013_vit_best", "distill.stored=True"),
        ("fer2013_vit_best_taught", "teachers"),
        ("fer2013_vit_best_taught", "augment.noise"),
    ],
    "fer2013_hybrid_average": [
        ("fer2013_resnet_mixup", "train.optimizer=muon"),
        ("fer2013_hybrid", "data.source=table"),
        ("fer2013_hybrid", "augment.mixup"),
        ("fer2013_hybrid", "augment.noise"),
    ],
    "fer2013_tiny_noise": [("fer2013_tiny", ""), ("fer2013_tiny_noise", "fer2013_cnn_best_average")],
    "fer2013_tiny_fast_average": [("fer2013_tiny_fast", "augment.mixup"), ("fer2013_tiny_fast", "augment.noise")],
    "fer2013_resnet_mixup_average": [
        ("fer2013_resnet", ""),
        ("fer2013_resnet_mixup", ""),
        ("fer2013_resnet_noise", ""),
    ],
}


AVERAGES = {"fer2013_tiny_fast_average": "0.5 fer2013_tiny_fast, 0.5 fer2013_tiny_fast"}  # where there are several


def recorded(recipe: str, mark: str) -> dict[str, str]:
    """The first run of a recipe in results/runs.csv: as it is for '', else with `mark` in its settings."""
    path = Path(__file__).parent.parent / "results" / "runs.csv"
    with open(path, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["metric"] == "accuracy" and row["recipe"] == recipe]
    plain = [row for row in rows if not row["settings"]] if not mark else []
    return (plain or [row for row in rows if mark in row["settings"]])[0]


def test_the_rows_are_recorded_runs():
    rows = re.findall(
        r"`(fer2013_\w+)` \|.*\| \*\*([\d.]+) %\*\* \(([\d.]+) to ([\d.]+)\) \| ([\d,]+) \| ([\d,]+) \|", README
    )
    assert [row[0] for row in rows] == list(SECONDS)
    for recipe, accuracy, low, high, parameters, seconds in rows:
        averaged = recipe.endswith("_average")
        run = recorded(recipe, AVERAGES.get(recipe, "average of 0.5 ")) if averaged else recorded(*SECONDS[recipe][-1])
        assert [f"{100 * float(run[key]):.1f}" for key in ("value", "low", "high")] == [accuracy, low, high], recipe
        assert f"{int(run['parameters']):,}" == parameters
        assert f"{sum(float(recorded(*each)['seconds']) for each in SECONDS[recipe]):,.0f}" == seconds, recipe


def test_no_table_is_longer_than_ten_rows():
    tables = re.findall(r"(?:^\|.*\n)+", README, re.MULTILINE)
    assert tables
    assert all(len(table.splitlines()) <= 12 for table in tables)
