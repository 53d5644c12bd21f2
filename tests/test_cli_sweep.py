"""`mien sweep` from the command line: a real grid, stopped and resumed; failures, JSON, exit codes and error texts."""

import json
import re
import shlex
import sys

import pytest
from sweep_plans import TINY

from mien.cli import main
from mien.cli.sweep import _as_text
from mien.config import Recipe
from mien.train import callbacks
from mien.train.callbacks import epoch_line

SHORT = [*TINY, "--train.epochs", "1"]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("LOCAL_RANK", raising=False)


def test_a_sweep_stopped_and_resumed_equals_one_run_after_the_other(tmp_path, capsys, monkeypatch):
    stop_after(monkeypatch, epochs=3)
    command = [*TINY, "--train.epochs", "2", "--train.lr", "1e-2,1e-3", "--out", "s"]
    assert main(command) == 130
    err = capsys.readouterr().err
    assert err.endswith("mien: stopped\n")
    assert "Run 2 of 2: lr 0.001" in err
    assert "The sweep was stopped; everything is kept. Go on with: mien sweep --resume s" in err
    assert "1 of 2 runs finished" in (tmp_path / "s" / "sweep.html").read_text()
    monkeypatch.setattr(callbacks, "epoch_line", epoch_line)
    assert main(["sweep", "--resume", "s"]) == 0
    out, err = capsys.readouterr()
    assert "1 of 2 runs have finished already." in err
    assert "epoch   1/2" not in err  # the first epoch was kept
    best, page = out.splitlines()
    assert best.startswith("s/lr=0.0")
    assert "  accuracy " in best
    assert page == "s/sweep.html"
    assert all(re.search(rf"^  lr {rate} +accuracy ", err, re.M) for rate in ("0.01", "0.001"))  # the table
    assert not (tmp_path / "s" / "failed.json").exists()
    assert (tmp_path / "s" / "lr=0.001" / "report.html").exists()
    # the next step, as printed, gives the very same run
    run = shlex.split(err.rpartition("Next: mien ")[2])
    assert main([*run, "--out", "alone"]) == 0
    best_run = tmp_path / best.partition("  ")[0]
    assert (tmp_path / "alone" / "predictions.npz").read_bytes() == (best_run / "predictions.npz").read_bytes()
    # the same command again finds nothing to do, another one is refused
    capsys.readouterr()
    assert main([*command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["sweep"], printed["page"]) == ("s", "s/sweep.html")
    assert [row["epochs"] for row in printed["runs"]] == [2, 2]
    assert printed["runs"][0]["accuracy"] >= printed["runs"][1]["accuracy"]
    fails([*command, "--seed", "3"], 2, "s was started with other settings: seed is 0 there, 3 here.", capsys)


def stop_after(monkeypatch, epochs):
    """Ctrl-C at the end of the n-th epoch, counted over all runs."""
    lines = []

    def line(row, total, *before):
        lines.append(row)
        if len(lines) == epochs + 1:
            raise KeyboardInterrupt
        return f"epoch {row['epoch']:>3.0f}/{total}"

    monkeypatch.setattr(callbacks, "epoch_line", line)


def test_a_diverging_run_does_not_stop_the_others(tmp_path, capsys):
    assert main([*SHORT, "--train.lr", "1e30,1e-3", "--out", "s"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("s/lr=0.001  accuracy ")
    assert "diverged in epoch 1" in err
    assert "mien: 1 of 2 runs failed; s/sweep.html says why." in err
    assert "diverged in epoch 1" in (tmp_path / "s" / "sweep.html").read_text()


def test_a_search_end_to_end(tmp_path, capsys):
    pytest.importorskip("optuna")
    search = ["--train.lr", "1e-3:1e-1:log", "--train.schedule", "cosine,constant", "--search", "2", "--json"]
    assert main([*SHORT, *search]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["sweep"].startswith("runs/sweep-fer2013_cnn_v2-")
    assert sorted(row["run"][:3] for row in printed["runs"]) == ["001", "002"]
    assert all(0.001 <= row["train.lr"] <= 0.1 for row in printed["runs"])
    assert main(["sweep", "--resume", printed["sweep"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == printed


def test_file_and_environment_stand_below_the_flags(tmp_path, capsys, monkeypatch):
    (tmp_path / "c.yaml").write_text("seed: 3\ntrain: {lr: 0.25, momentum: 0.5}\n")
    monkeypatch.setenv("MIEN_TRAIN__EPOCHS", "1")
    assert main([*TINY, "--config", "c.yaml", "--train.lr", "1e-3,1e-2", "--out", "s"]) == 0
    text = (tmp_path / "s" / "lr=0.01" / "recipe.yaml").read_text()
    for line in ("seed: 3", "epochs: 1\n", "lr: 0.01\n", "momentum: 0.5"):
        assert line in text
    assert "--config c.yaml" in capsys.readouterr().err


def test_the_best_run_is_repeated_by_flags_and_from_its_recipe_where_flags_cannot_say_it(capsys):
    of_a_vit = ["sweep", "drawn_faces_vit", "--data.images", "70", "--data.size", "16", "--train.epochs", "1"]
    of_a_vit += ["--train.batch_size", "35", "--model.patch_size", "8", "--model.representation_size", "null"]
    assert main([*of_a_vit, "--seed", "0,1", "--out", "s"]) == 0
    assert " --model.representation_size null " in capsys.readouterr().err.partition("Next: mien run")[2]
    assert main([*of_a_vit, "--name=-a", "--seed", "0,1", "--out", "t"]) == 0
    out, err = capsys.readouterr()
    best = out.partition("  ")[0]
    assert f"Next: mien run --config {best}/recipe.yaml\n" in err


def fails(arguments, code, text, capsys):
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert text in err


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ([], 2, "Which recipe?"),
        (["folder_vitt", "--train.lr", "1,2"], 2, "Did you mean 'folder_vit'?"),
        (["folder_vit", "--train.epochz", "1,2"], 2, "Did you mean --train.epochs?"),
        (["folder_vit", "--train.lr", "1e-3,x"], 2, "--train.lr: Input should be a valid number"),
        (["folder_vit"], 2, "Nothing to sweep"),
        (["folder_vit", "--train.lr", "1,2"], 3, "Give --data.path"),
        (["--resume"], 2, "--resume what? Give the folder of a sweep"),
        (["--resume", "nowhere"], 3, "nowhere is not a sweep"),
        (["--resume", "nowhere", "--train.lr", "1,2"], 2, "it takes no others"),
        (["--resume", "nowhere", "--search", "3"], 2, "it takes no others"),
        (
            ["folder_vit", "--train.compile", "--seed", "1,2"],
            2,
            "true, or true,false for both",
        ),
        (["folder_vit", "--seed", "1,2", "--train.lr"], 2, "--train.lr requires an argument.\n"),
    ],
)
def test_bad_requests(arguments, code, text, capsys, tmp_path):
    fails(["sweep", *arguments], code, text, capsys)
    assert not list(tmp_path.iterdir())


def test_a_search_without_optuna_names_the_pip_line(capsys, monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.partition(".")[0] == "optuna" or name == "mien.train.search"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "optuna", None)
    fails([*TINY, "--train.lr", "1e-3:1e-1", "--search", "2"], 3, "pip install 'mien[tune]'", capsys)
    assert not list(tmp_path.iterdir())


def test_every_setting_of_a_recipe_can_be_swept(capsys):
    def keys(model):
        return {
            name: keys(field.annotation) if hasattr(field.annotation, "model_fields") else None
            for name, field in model.model_fields.items()
        }

    as_text = _as_text(Recipe)
    own = {name: as_text.model_fields[name].annotation.__args__[0] for name in Recipe.model_fields}
    assert {name: keys(kind) if hasattr(kind, "model_fields") else None for name, kind in own.items()} == keys(Recipe)
    assert main(["sweep", "--help"]) == 0
    assert "--train.label-smoothing" in capsys.readouterr().out
