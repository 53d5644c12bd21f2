"""More epochs on a finished run: its last weights and optimizer, a stretched schedule, one history, one record."""

import pytest
import torch

from mien import config
from mien.config import Data, Model, Recipe, Train
from mien.errors import UsageError
from mien.runs import RunFolder, is_finished, read_recipe
from mien.runs.folder import read_env
from mien.runs.history import read_epochs
from mien.train import callbacks, more_epochs, run

RECIPE = Recipe(
    name="tiny",
    data=Data(source="drawn_faces", images=70, size=16),
    model=Model(name="vit", patch_size=8, embed_dim=16, depth=1, num_heads=2, drop_rate=0.1),
    train=Train(epochs=2, batch_size=14, ema=0.9, warmup_epochs=0, precision="fp32"),
)


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("LOCAL_RANK", raising=False)


def change(**train):
    return config.build(RECIPE.model_dump(), {"train": train})


def last_weights(folder):
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return state["state_dict"]


@pytest.mark.parametrize("schedule", ["constant", "one_cycle"])
def test_a_run_goes_on_as_one_that_was_longer_from_the_start(tmp_path, schedule, capsys):
    run.run(change(schedule=schedule, epochs=4), tmp_path / "whole")
    folder = run.run(change(schedule=schedule), tmp_path / "run")
    (folder / "model.onnx").write_bytes(b"export")
    before = read_epochs(folder)
    assert run.resume(folder, 4) == folder
    rows, whole = read_epochs(folder), read_epochs(tmp_path / "whole")
    assert rows[:2] == before
    assert len(rows) == 4
    assert [row["lr"] for row in rows[2:]] == [row["lr"] for row in whole[2:]]
    if schedule == "constant":  # whose first epochs do not know how many will follow
        one, other = last_weights(folder), last_weights(tmp_path / "whole")
        assert all(torch.equal(one[name], other[name]) for name in one)
    else:
        assert "The schedule ends after 4 epochs now, a warm restart: the learning" in capsys.readouterr().err
    assert read_recipe(folder).train.epochs == 4
    assert [(part.after, part.epochs) for part in read_env(folder).extensions] == [(2, 4)]
    assert is_finished(folder)
    assert not (folder / "model.onnx").exists()
    assert (folder / "model-2-epochs.onnx").is_file()
    assert RunFolder.open(folder).env.epochs == 4


def test_more_epochs_that_are_interrupted_go_on(tmp_path, monkeypatch):
    """Killed at any place: what was begun is an unfinished run, or the finished one of before."""
    settings = change(schedule="cosine", early_stopping=3)
    whole = run.run(settings, tmp_path / "whole")
    run.resume(whole, 4)
    part = run.run(settings, tmp_path / "part")

    def killed(*arguments):
        raise KeyboardInterrupt

    for step in ("write_env", "discard_results", "write_recipe"):
        with monkeypatch.context() as patch:
            patch.setattr(more_epochs, step, killed)
            with pytest.raises(KeyboardInterrupt):
                run.resume(part, 4)
        assert read_recipe(part).train.epochs == 2
        assert is_finished(part) == (step != "write_recipe")
    assert is_finished(run.resume(part))  # the run of before, finished anew
    assert read_env(part).extensions == ()

    def stop(self, trainer, task, batch, index):
        if (trainer.current_epoch, index) == (3, 1):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.Display, "on_train_batch_start", stop, raising=False)
        with pytest.raises(KeyboardInterrupt):
            run.resume(part, 4)
    assert not is_finished(part)
    assert len(read_epochs(part)) == 3
    run.resume(part)
    one, other = last_weights(part), last_weights(whole)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert [row["lr"] for row in read_epochs(part)] == [row["lr"] for row in read_epochs(whole)]


def test_a_run_that_was_stopped_in_its_first_epoch_gets_the_longer_schedule(tmp_path, monkeypatch):
    def stop(self, trainer, task, batch, index):
        if index == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.Display, "on_train_batch_start", stop, raising=False)
        with pytest.raises(KeyboardInterrupt):
            run.run(change(schedule="one_cycle", checkpoint_minutes=1e-9), tmp_path / "run")
    folder = run.resume(tmp_path / "run", 4)
    rates = [row["lr"] for row in read_epochs(folder)]
    assert len(rates) == 4
    assert rates[1] > rates[2] > 10 * rates[3]
    assert [(part.after, part.epochs) for part in read_env(folder).extensions] == [(0, 4)]


def test_a_run_that_stopped_early_waits_anew(tmp_path):
    folder = run.run(change(early_stopping=1, lr=1e-12, epochs=9, ema=0), tmp_path / "run")
    done = len(read_epochs(folder))
    assert done < 9
    run.resume(folder, 9)
    assert len(read_epochs(folder)) > done


def test_the_best_epoch_is_that_of_all(tmp_path):
    """Also where the run was moved in between: lightning knows its checkpoints by their folder."""
    folder = run.run(change(lr=1e-12, ema=0), tmp_path / "run").rename(tmp_path / "moved")
    (tmp_path / "run").mkdir()
    with pytest.raises(UsageError, match=r"has trained 2 epochs already\. Give more, such as `train\.epochs` 4"):
        run.resume(folder, 2)
    run.resume(folder, 3)
    assert len(read_epochs(folder)) == 3
    assert read_env(folder).best_epoch == 1  # no later one was better
    assert (folder / "checkpoints" / "best.ckpt").is_file()
