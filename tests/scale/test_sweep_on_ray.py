"""`mien sweep --on ray`: the runs of a plain sweep, several at once, stopped and killed on the way."""

import json
import os
import signal
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from sweep_plans import TINY

from mien.cli import main
from mien.config.sweep_plan import Trial
from mien.runs import Predictions
from mien.train.sweep import Outcome

TRIAL = Trial("lr=0.1", "lr 0.1", {"train.lr": 0.1})


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in Ray's tasks of one core
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def on_ray():
    pytest.importorskip("ray", reason="ray is not installed: pip install 'mien[scale]', see .ci/run")
    from mien.train import on_ray

    return on_ray


def checkpoints():
    return list(Path("s").glob("*/checkpoints/last.ckpt"))


@pytest.mark.usefixtures("cluster", "_one_thread")
def test_a_sweep_that_was_stopped_and_whose_process_was_killed_gives_the_runs_of_a_plain_one(
    on_ray, processes, monkeypatch, capsys
):
    grid = [*TINY, "--train.epochs", "4", "--train.lr", "1e-2,1e-3"]
    assert main([*grid, "--out", "plain"]) == 0

    def interrupted(*_):
        while not checkpoints():
            time.sleep(0.02)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(on_ray, "_over", interrupted)
        assert main([*grid, "--out", "s", "--on", "ray"]) == 130
    assert not list(processes("_train_there"))
    killed = []

    def kill_one():
        before = {path: path.stat().st_mtime_ns for path in checkpoints()}
        while all(path.stat().st_mtime_ns == before.get(path) for path in checkpoints()):
            time.sleep(0.01)
        killed.extend(list(processes("_train_there"))[:1])
        os.kill(killed[0], signal.SIGKILL)

    killing = threading.Thread(target=kill_one)
    killing.start()
    capsys.readouterr()
    assert main(["sweep", "--resume", "s", "--on", "ray", "--json"]) == 0
    killing.join()
    out, err = capsys.readouterr()
    assert {row["state"] for row in json.loads(out)["runs"]} == {"finished"}
    assert "Over: lr 0.01, accuracy " in err
    for run in ("lr=0.01", "lr=0.001"):
        assert Path("s", run, "predictions.npz").read_bytes() == Path("plain", run, "predictions.npz").read_bytes()
        assert Path("s", run, "report.html").is_file()
    assert "2 of 2 runs" in Path("s/sweep.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("cluster")
def test_a_search_shares_its_log_and_a_run_that_fails_keeps_no_other(capsys):
    pytest.importorskip("optuna", reason="optuna is not installed: pip install 'mien[tune]'")
    search = ["--train.epochs", "1", "--train.lr", "1e-3:1e30:log", "--search", "4", "--prune", "--out", "s"]
    assert main([*TINY, *search, "--seed", "1", "--on", "ray", "--json"]) == 1
    out, err = capsys.readouterr()
    rows = json.loads(out)["runs"]
    assert sorted(row["run"][:3] for row in rows) == ["001", "002", "003", "004"]
    assert {row["state"] for row in rows} == {"finished", "failed"}
    assert len({row["train.lr"] for row in rows}) == 4
    assert "diverged in epoch 1" in err
    assert '"intermediate_value":0.' in Path("s/optuna.log").read_text()  # which tasks have told


@pytest.mark.usefixtures("cluster")
def test_folds_are_trained_at_once_and_joined(capsys):
    words = ["run", *TINY[1:], "--train.epochs", "1", "--data.folds", "2", "--out", "s", "--on", "ray", "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["means"][0]["runs"] == 2
    pooled = Predictions.load(Path("s/out-of-fold.csv"))
    assert len(pooled) == len(set(pooled.names))


def test_what_becomes_of_tasks_that_end_badly(on_ray, monkeypatch, tmp_path):
    exceptions = on_ray.ray.exceptions
    sweep = SimpleNamespace(folder=tmp_path, is_finished=lambda _: False)

    def got(*, found=None, error=None):
        def get(_):
            if error:
                raise error
            return found

        monkeypatch.setattr(on_ray.ray, "get", get)
        return on_ray._outcome(sweep, TRIAL, None)

    ended = got(error=exceptions.WorkerCrashedError())
    assert ended.problem.startswith("The process that trained it ended, and so did 3 others after it (")
    with pytest.raises(OSError, match="disk is full"):
        got(error=exceptions.RayTaskError("train", "Traceback", OSError("disk is full"), "ray", 1, "10.0.0.1"))
    monkeypatch.setattr(on_ray, "PATIENCE", 0)
    assert got(found=Outcome()).problem.endswith(f"whose {tmp_path} is not the one here. Choose a shared `out`.")
    assert got(found=Outcome(given_up=3)) == Outcome(given_up=3)
    away = on_ray._train_there(None, tmp_path, TRIAL, [], str(tmp_path / "none"))
    assert "has no " in away.problem
    assert "Start where every machine has it." in away.problem


@pytest.mark.parametrize(("device", "gpus", "wanted"), [("auto", 2, 1), ("auto", 0, 0), ("cpu", 2, 0)])
def test_a_run_asks_for_a_core_and_a_gpu_where_there_are_any(on_ray, monkeypatch, tmp_path, device, gpus, wanted):
    asked = {}

    def remote(**needs):
        asked.update(needs)
        return lambda _: SimpleNamespace(remote=lambda *_: "task")

    monkeypatch.setattr(on_ray.ray, "remote", remote)
    monkeypatch.setattr(on_ray.ray, "cluster_resources", lambda: {"CPU": 8.0, "GPU": float(gpus)} if gpus else {})
    recipe = SimpleNamespace(device=device, data=SimpleNamespace(source="folder"), model=SimpleNamespace(name="vit"))
    sweep = SimpleNamespace(folder=tmp_path, plan=SimpleNamespace(build=lambda _: recipe))
    assert on_ray._begun(sweep, TRIAL) == "task"
    assert asked == {"num_cpus": 1, "num_gpus": wanted, "max_retries": 3}
    room = on_ray._room(device)
    assert room == (8 if device == "cpu" else max(1, gpus))


def test_engines_that_are_none_and_what_is_one_run(capsys):
    assert main([*TINY, "--train.lr", "1e-2,1e-3", "--on", "dask"]) == 2
    assert "--on dask: there are ray, which starts it on this machine" in capsys.readouterr().err
    pytest.importorskip("ray", reason="ray is not installed: pip install 'mien[scale]', see .ci/run")
    for words in ([], ["--resume"]):
        assert main(["run", "fer2013_cnn_v2", *words, "--on", "ray"]) == 2
        assert "--on ray trains several runs at once; this is one. Add --data.folds 5" in capsys.readouterr().err
