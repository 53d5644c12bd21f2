"""Several runs' weights -> their mean, as a run folder of its own."""

import importlib.util
import json
import math
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mien import config
from mien.cli import main
from mien.config import Augment, Data, Model, Recipe, Train
from mien.errors import MissingError, UsageError
from mien.evaluate.compare import compare
from mien.export import export
from mien.recipes import load
from mien.report import write_comparison
from mien.runs import read_recipe
from mien.runs.folder import RunFolder
from mien.train import average as averaging
from mien.train import run
from mien.train.average import WORSE, average, mean

FIRST = Recipe(
    name="first",
    device="cpu",
    data=Data(source="drawn_faces", images=70, size=16),
    model=Model(name="resnet", widths=(3, 5), layers=(1, 1), drop_rate=0.1),
    augment=Augment(hflip=0.5),
    train=Train(epochs=1, batch_size=14, precision="fp32", optimizer="sgd", lr=0.05),
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A run, and one that went on from its weights with another seed and without dropout."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
        first = run.run(FIRST, folder / "first")
        goes_on = {"name": "second", "seed": 1, "model": {"init": str(first), "drop_rate": 0.0}}
        second = run.run(config.build(FIRST.model_dump(), goes_on), folder / "second")
    return first, second


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def weights(folder):
    return load_file(folder / "model" / "model.safetensors")


def record():
    """benchmarks/record.py."""
    path = Path(__file__).parents[2] / "benchmarks" / "record.py"
    spec = importlib.util.spec_from_file_location("record", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def changed(out, **sections):
    return run.run(config.build(FIRST.model_dump(), sections), out)


def test_a_run_of_another_network_than_its_recipe_has_is_recorded():
    recipe = load("fer2013_lenet")[0].with_(model={"name": "vit", "depth": 2})
    assert record().changed(recipe) == "model.name=vit model.depth=2"


def test_the_mean_is_weighted_and_counters_are_the_first_ones():
    states = [
        {"weight": torch.tensor([2.0, -3.0]), "num_batches_tracked": torch.tensor(7)},
        {"weight": torch.tensor([10.0, 5.0]), "num_batches_tracked": torch.tensor(11)},
    ]
    found = mean(states, [0.75, 0.25])
    assert found["weight"].tolist() == [4.0, -1.0]
    assert found["num_batches_tracked"].tolist() == 7


def test_an_average_is_a_run_folder_like_any_other(pair, tmp_path):
    folder = average(pair, tmp_path / "mean", [1, 3])
    first, second, both = weights(pair[0]), weights(pair[1]), weights(folder)
    assert both.keys() == first.keys()
    for key, value in both.items():
        if value.is_floating_point():
            torch.testing.assert_close(value, 0.25 * first[key] + 0.75 * second[key])
    env = json.loads((folder / "env.json").read_text())
    parts = [json.loads((part / "env.json").read_text()) for part in pair]
    assert [(part["recipe"], part["share"]) for part in env["average"]] == [("first", 0.25), ("second", 0.75)]
    assert env["epochs"] == 2
    assert env["seconds"] == pytest.approx(parts[0]["seconds"] + parts[1]["seconds"])
    assert read_recipe(folder).name == "first_average"
    assert env["hardware"] == parts[0]["hardware"]
    assert env["warnings"] == []
    comparison = compare([folder, *pair])
    assert {row.label: row.epochs for row in comparison.rows}["first_average"] == 2
    page = write_comparison(comparison, tmp_path / "page.html").read_text()
    assert "How fast they learn" in page  # of those that were trained
    (row,) = [row for row in record().rows(folder) if row["metric"] == "accuracy"]
    assert row["settings"] == "average of 0.25 first, 0.75 second"


def test_the_card_of_an_exported_average_names_its_parts(pair, tmp_path, capsys):
    folder = average(pair, tmp_path / "mean", [1, 3])
    assert main(["card", str(export(folder).path)]) == 0
    assert "mean of the weights of 25% `first`, 75% `second`, 2 epochs" in capsys.readouterr().out


def test_the_average_of_a_run_with_itself_answers_as_the_run_does(pair, tmp_path):
    twin = shutil.copytree(pair[0], tmp_path / "twin")
    folder = average([pair[0], twin], tmp_path / "same")
    assert (folder / "predictions.npz").read_bytes() == (pair[0] / "predictions.npz").read_bytes()


def test_what_cannot_be_averaged_is_said(pair, tmp_path):
    wide = changed(tmp_path / "wide", model={"widths": (3, 7)})
    scaled = changed(tmp_path / "scaled", data={"std": 0.4})
    other = changed(tmp_path / "other", data={"images": 77})
    cases = {
        "two or more runs": ([pair[0]], []),
        "one number above 0 for each of the 2 runs": (pair, [0.5, 0.3, 0.2]),
        r"above 0 for each of the 2 runs, given 2: \[1.0, 0.0\]": (pair, [1.0, 0.0]),
        r"given 2: \[1.0, nan\]": (pair, [1.0, math.nan]),
        r"given 2: \[inf, 1.0\]": (pair, [math.inf, 1.0]),
        "first is given 2 times": ([pair[0], pair[1], pair[0]], []),
        r"wide cannot be averaged with .*first: widths is \(3, 7\), not \(3, 5\)": ([pair[0], wide], []),
        "scaled cannot be averaged with .*: std is 0.4": ([pair[0], scaled], []),
        "other was trained on other images than .*first": ([pair[0], other], []),
    }
    for message, (runs, shares) in cases.items():
        with pytest.raises(UsageError, match=message):
            average(runs, tmp_path / "out", shares)
    with pytest.raises(MissingError, match="not a run folder"):
        average([pair[0], tmp_path / "nowhere"], tmp_path / "out")
    with pytest.raises(UsageError, match="is one of the runs to average"):
        average(pair, pair[1], overwrite=True)
    assert not (tmp_path / "out").exists()


def test_an_average_that_is_stopped_leaves_nothing(pair, tmp_path, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(averaging, "evaluate", stop)
    with pytest.raises(KeyboardInterrupt):
        average(pair, tmp_path / "mean")
    assert not (tmp_path / "mean").exists()
    old = shutil.copytree(pair[0], tmp_path / "mean")
    with pytest.raises(KeyboardInterrupt):
        average(pair, old, overwrite=True)
    assert weights(old).keys() == weights(pair[0]).keys()
    assert [path.name for path in tmp_path.iterdir()] == ["mean"]


def test_an_average_that_is_worse_says_so_and_keeps_its_runs_warnings(pair, tmp_path):
    """A twin with the first run's weights negated, which claims to be as good: their mean is zero."""
    no_manifest = shutil.ignore_patterns("manifest.json")  # so that files may change
    first, twin = (shutil.copytree(pair[0], tmp_path / name, ignore=no_manifest) for name in ("first", "twin"))
    save_file({key: -value for key, value in weights(twin).items()}, twin / "model" / "model.safetensors")
    for folder in (first, twin):
        scores = json.loads((folder / "evaluation.json").read_text())
        scores["validation"]["accuracy"] = 0.9
        (folder / "evaluation.json").write_text(json.dumps(scores))
    env = json.loads((twin / "env.json").read_text()) | {"warnings": ["learned from its own validation images"]}
    (twin / "env.json").write_text(json.dumps(env))
    folder = average([first, twin], tmp_path / "mean")
    warnings = json.loads((folder / "env.json").read_text())["warnings"]
    assert warnings == [f"{twin}: learned from its own validation images", WORSE]


def test_an_average_of_averages_counts_each_training_and_each_reading_of_the_test_split_once(pair, tmp_path):
    first, second = (Path(shutil.copytree(run, tmp_path / run.name)) for run in pair)
    (second / "test_reads.json").write_text('["2026-11-21T10:00:00+00:00"]')
    both = average([first, second], tmp_path / "both")
    again = RunFolder.open(average([both, second], tmp_path / "again"))
    seconds = [json.loads((run / "env.json").read_text())["seconds"] for run in pair]
    assert again.env.epochs == 2
    assert again.env.seconds == pytest.approx(sum(seconds), abs=0.01)
    assert again.test_reads == ["2026-11-21T10:00:00+00:00"]
    assert not average([first, pair[1]], tmp_path / "unread").joinpath("test_reads.json").exists()


def test_a_default_that_is_written_out_is_the_same_model(pair, tmp_path):
    written = changed(tmp_path / "written", model={"squeeze_excitation": False})
    assert average([pair[0], written], tmp_path / "mean") == tmp_path / "mean"


def test_an_average_is_not_trained_further_nor_overwritten_unasked(pair, tmp_path):
    folder = average(pair, tmp_path / "mean")
    with pytest.raises(UsageError, match="nothing to train"):
        run.resume(folder)
    with pytest.raises(UsageError, match="exists"):
        average(pair, folder)
    assert average(pair, folder, overwrite=True) == folder


def test_the_command_says_what_it_averaged_and_how_well_it_does(pair, tmp_path, capsys):
    folder = tmp_path / "mean"
    assert main(["average", *map(str, pair), "--shares", "1,1", "--out", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    saved = json.loads((folder / "evaluation.json").read_text())["validation"]
    assert told["run"] == str(folder)
    assert told["validation"]["accuracy"] == saved["accuracy"]
    assert [part["share"] for part in told["average"]] == [0.5, 0.5]
    page = (folder / "report.html").read_text()
    assert "What it averages" in page
    assert str(pair[1]) in page.replace("<wbr>", "")
    assert main(["average", *map(str, pair), "--shares", "half,half"]) == 2
    assert "numbers with commas" in capsys.readouterr().err
