"""Running and resuming the runs of a sweep, and Optuna's proposals."""

import json

import pytest
import torch
from fake_runs import picture_names, write_run
from sweep_plans import plan

from mien import config
from mien.config.sweep_plan import make_plan, read_plan
from mien.errors import DataError, MienError, UsageError
from mien.evaluate.sweep_table import read_table
from mien.runs.history import read_epochs
from mien.train import callbacks, sweep

# --- the runs, with training replaced


class Trainer:
    """Stands in for mien.train.run: writes finished runs, and fails or is stopped where it is told to."""

    def __init__(self, monkeypatch):
        self.calls = []
        self.failing = {}
        self.monkeypatch = monkeypatch
        monkeypatch.setattr(sweep.training, "run", lambda recipe, folder: self._make("run", folder, recipe))
        monkeypatch.setattr(sweep.training, "resume", lambda folder: self._make("resume", folder))
        monkeypatch.setattr(sweep, "check", lambda plan: None)

    def _make(self, how, folder, recipe=None):
        self.calls.append((how, folder.name))
        if folder.name in self.failing:
            if not folder.exists():
                folder.mkdir(parents=True)
                (folder / "recipe.yaml").write_text(config.dump(recipe))
            raise self.failing[folder.name]
        names, labels = picture_names()
        if folder.exists():
            (folder / "recipe.yaml").unlink()
            folder.rmdir()
        lr = recipe.train.lr if recipe else 0.5
        write_run(folder, names=names, labels=labels, skill=3 - lr)
        (folder / "report.html").write_text("a report")


@pytest.fixture
def trainer(monkeypatch):
    return Trainer(monkeypatch)


def run_all(made, folder):
    begun = sweep.start(made, folder)
    return begun, [trial.name for trial in begun.run()]


def test_runs_go_in_order_and_finished_ones_are_skipped(trainer, tmp_path, capsys):
    made = plan({"train.lr": "1,2,3"})
    _, ran = run_all(made, tmp_path / "s")
    assert ran == ["lr=1", "lr=2", "lr=3"]
    assert "Run 2 of 3: lr 2" in capsys.readouterr().err
    assert json.loads((tmp_path / "s" / "sweep.json").read_text())["runs"] == ran
    _, again = run_all(made, tmp_path / "s")
    assert again == []
    assert "3 of 3 runs have finished already." in capsys.readouterr().err
    assert len(trainer.calls) == 3


def test_a_failing_run_does_not_stop_the_others_and_is_tried_again(trainer, tmp_path, capsys):
    trainer.failing["lr=2"] = MienError("It diverged.")
    made = plan({"train.lr": "1,2,3"})
    begun, ran = run_all(made, tmp_path / "s")
    assert ran == ["lr=1", "lr=2", "lr=3"]
    assert begun.problems == {"lr=2": "It diverged."}
    assert "This run failed: It diverged." in capsys.readouterr().err
    trainer.failing.clear()
    begun = sweep.start(made, tmp_path / "s")
    assert begun.problems == {"lr=2": "It diverged."}
    assert [trial.name for trial in begun.run()] == ["lr=2"]
    assert trainer.calls[-1] == ("resume", "lr=2")
    assert begun.problems == {}


def test_a_run_too_large_for_the_device_does_not_stop_the_others(trainer, tmp_path):
    trainer.failing["batch_size=4096"] = torch.OutOfMemoryError("CUDA out of memory.")
    begun, ran = run_all(plan({"train.batch_size": "4096,16"}), tmp_path / "s")
    assert ran == ["batch_size=4096", "batch_size=16"]
    assert "Try a smaller `train.batch_size`." in begun.problems["batch_size=4096"]


def test_a_stopped_sweep_goes_on_with_the_run_it_was_in(trainer, tmp_path):
    trainer.failing["lr=2"] = KeyboardInterrupt()
    made = plan({"train.lr": "1,2,3"})
    with pytest.raises(KeyboardInterrupt):
        run_all(made, tmp_path / "s")
    trainer.failing.clear()
    _, ran = run_all(read_plan(tmp_path / "s"), tmp_path / "s")
    assert ran == ["lr=2", "lr=3"]
    assert trainer.calls == [("run", "lr=1"), ("run", "lr=2"), ("resume", "lr=2"), ("run", "lr=3")]


def test_a_folder_with_something_else_in_it_is_left_alone(trainer, tmp_path):
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path, tmp_path / "file"):
        with pytest.raises(UsageError, match=r"exists and is not a sweep\. Choose another `out`"):
            sweep.start(plan({"train.lr": "1,2"}), place)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ({"model.name": "vit", "model.num_heads": "2,5", "model.embed_dim": "16"}, "num_heads 5: "),
        ({"model.name": "lenet,lenett"}, "name lenett: "),
        ({"train.lr": "1,2", "train.processes": "2"}, "train.processes 2: the runs of a sweep take one process each."),
    ],
)
def test_a_model_that_cannot_be_built_is_found_before_training(tmp_path, monkeypatch, flags, text):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    drawn = {"data.source": "drawn_faces", "data.images": "70", "data.size": "16"}
    made = make_plan(None, None, [], drawn | flags)
    with pytest.raises(UsageError) as caught:
        sweep.start(made, tmp_path / "s")
    assert text in str(caught.value)
    assert not (tmp_path / "s").exists()


# --- searches


def search(trainer, folder, count=4, **flags):
    given = {"train.lr": "1e-2:1:log", "train.batch_size": "8:16", "augment.scale": "[1,1],[1,2]"} | flags
    return run_all(plan(given, search=count), folder)


def test_a_search_draws_from_its_ranges_and_lists(trainer, tmp_path):
    pytest.importorskip("optuna")
    begun, ran = search(trainer, tmp_path / "s")
    assert [name[:4] for name in ran] == ["001,", "002,", "003,", "004,"]
    for trial in begun.trials:
        assert 0.01 <= trial.settings["train.lr"] <= 1
        assert trial.settings["train.batch_size"] in range(8, 17)
        assert trial.settings["augment.scale"] in ([1, 1], [1, 2])
        assert begun.plan.build(trial.settings).train.lr == trial.settings["train.lr"]
    best = max(begun.trials, key=lambda trial: sweep.accuracy(tmp_path / "s" / trial.name))
    assert begun.source.study.best_trial.number == int(best.name[:3]) - 1
    assert begun.source.study.best_value == sweep.accuracy(tmp_path / "s" / best.name)


def test_a_search_that_was_stopped_proposes_what_it_would_have_proposed(trainer, tmp_path):
    pytest.importorskip("optuna")
    count = 13  # the first ten are drawn at random, the others in the light of those before
    whole, _ = search(trainer, tmp_path / "whole", count)
    for position in (3, 11):
        name = whole.trials[position].name
        trainer.failing[name] = KeyboardInterrupt()
        with pytest.raises(KeyboardInterrupt):
            search(trainer, tmp_path / "parts", count)
        write_stopped_as_finished(trainer, whole, tmp_path / "parts" / name)
    parts, ran = search(trainer, tmp_path / "parts", count)
    assert [trial.settings for trial in parts.trials] == [trial.settings for trial in whole.trials]
    assert ran == [whole.trials[-1].name]
    assert len(parts.source.study.get_trials()) == count


def write_stopped_as_finished(trainer, whole, folder):
    """The run was stopped after its scores were written and before the study heard of them."""
    trainer.failing.clear()
    trial = next(trial for trial in whole.trials if trial.name == folder.name)
    trainer._make("run", folder, whole.plan.build(trial.settings))


def test_a_stopped_run_of_a_search_is_resumed_and_a_failed_one_counts(trainer, tmp_path):
    pytest.importorskip("optuna")
    whole, _ = search(trainer, tmp_path / "whole")
    first, second = (trial.name for trial in whole.trials[:2])
    trainer.failing |= {first: MienError("It diverged."), second: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        search(trainer, tmp_path / "s")
    trainer.failing.clear()
    trainer.calls.clear()
    begun, ran = search(trainer, tmp_path / "s")
    assert trainer.calls[0] == ("resume", second)
    assert len(ran) == 3
    assert begun.problems == {first: "It diverged."}
    assert [trial.state.name for trial in begun.source.study.get_trials()] == ["FAIL", *["COMPLETE"] * 3]


def test_a_search_takes_nothing_from_its_log_but_what_its_plan_allows(trainer, tmp_path):
    """The log comes with the folder, so a name in it could be that of somebody's code."""
    pytest.importorskip("optuna")
    search(trainer, tmp_path / "s", count=2)
    log = tmp_path / "s" / "optuna.log"
    log.write_text(log.read_text().replace("[1.0, 1.0]", "[3, 3]").replace("[1.0, 2.0]", "[3, 3]"))
    with pytest.raises(
        DataError, match=r"optuna\.log is not of this sweep: it proposes augment\.scale \[3, 3\]\. Start"
    ):
        search(trainer, tmp_path / "s", count=2)


def by_rate(trainer, monkeypatch):
    """Runs of four epochs that tell their accuracy, which falls with the learning rate; returns how far each came."""
    came: dict[str, int] = {}

    def train(recipe, folder, *, watch):
        for epoch in range(1, 5):
            came[folder.name] = epoch
            if watch(epoch, epoch * (1 - recipe.train.lr) / 4):
                raise callbacks.PrunedError(epoch)
        trainer._make("run", folder, recipe)

    monkeypatch.setattr(sweep.training, "run", train)
    return came


def test_a_search_gives_up_runs_below_the_median_and_says_so(trainer, tmp_path, monkeypatch):
    pytest.importorskip("optuna")
    came = by_rate(trainer, monkeypatch)
    made = plan({"train.lr": "1e-2:0.9", "train.epochs": "4"}, search=9, prune=True)
    begun, _ = run_all(made, tmp_path / "s")
    pruned = begun.source.pruned
    assert pruned
    assert all(came[name] == 2 for name in pruned), "the first quarter of the epochs is waited for"
    assert all(came[trial.name] == 4 for trial in begun.trials[:5]), "the first five are trained whole"
    assert begun.problems == {}
    table = read_table(made, tmp_path / "s", begun.trials, begun.problems, begun.total, pruned)
    assert {row.name for row in table.rows if row.state == "pruned"} == pruned
    assert table.count("failed") == 0
    assert len(table.rows) == 9
    came.clear()
    again, ran = run_all(made, tmp_path / "s")
    assert (came, ran, again.source.pruned) == ({}, [], pruned), "what is pruned stays so"


@pytest.mark.parametrize(
    ("flags", "how", "text"),
    [
        ({"train.lr": "0.1,0.2"}, {}, "`prune=True` gives up runs of a search; a grid trains all of its runs."),
        ({"train.lr": "0.1:0.2", "train.epochs": "2:5"}, {"search": 3}, "`train.epochs` 2:5: runs are pruned by"),
        ({"train.lr": "0.1:0.2", "train.epochs": "2,5"}, {"search": 3}, "`train.epochs` 2,5: runs are pruned by"),
    ],
)
def test_what_cannot_be_pruned(flags, how, text):
    with pytest.raises(UsageError) as caught:
        plan(flags, prune=True, **how)
    assert text in str(caught.value)


def test_a_run_that_is_given_up_ends_after_that_epoch(tmp_path, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    heard = []

    def watch(epoch, accuracy):
        heard.append((epoch, accuracy))
        return epoch == 2

    recipe = config.build(
        {"data": {"source": "drawn_faces", "images": 70, "size": 16}, "model": {"name": "lenet"}},
        {"train": {"epochs": 4, "batch_size": 35}},
    )
    with pytest.raises(callbacks.PrunedError, match="given up after epoch 2"):
        sweep.training.run(recipe, tmp_path / "run", watch=watch)
    assert [epoch for epoch, _ in heard] == [1, 2]
    assert [row["val_accuracy"] for row in read_epochs(tmp_path / "run")] == pytest.approx([a for _, a in heard])
