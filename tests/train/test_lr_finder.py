"""A learning rate by a range test, for each optimizer and for groups with rates of their own."""

import json
import signal

import pytest
import torch

import mien
from mien import config
from mien.cli import main
from mien.config import Data, Model, Recipe, Train
from mien.data import Store
from mien.errors import UsageError
from mien.train import callbacks, run
from mien.train.lr_finder import steepest

RECIPE = Recipe(
    name="tiny",
    data=Data(source="drawn_faces", images=70, size=16),
    model=Model(name="vit", patch_size=8, embed_dim=16, depth=1, num_heads=2),
    train=Train(epochs=1, batch_size=14, precision="fp32", layer_decay=0.5, ema=0.9, accumulate_grad_batches=2),
)


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
def test_every_optimizer_gets_a_rate_and_groups_keep_their_shares(optimizer, monkeypatch):
    shares = []
    end = callbacks.RisingRate.on_train_batch_end

    def watch(self, trainer, *rest):
        rates = [group["lr"] for group in trainer.optimizers[0].param_groups]
        shares.append([rate / rates[0] for rate in rates])
        end(self, trainer, *rest)

    monkeypatch.setattr(callbacks.RisingRate, "on_train_batch_end", watch)
    found = mien.lr(RECIPE.with_(train={"optimizer": optimizer}), steps=40)
    assert 1e-6 < found.suggestion < 10
    assert found.rates[0] == 1e-6
    assert len(found.rates) == len(found.losses) <= 40
    assert len(shares[0]) > 2
    assert all(each == pytest.approx(shares[0]) for each in shares)
    assert min(shares[0]) < 0.5


def test_the_steepest_fall_by_hand():
    rates = [10.0**i for i in range(-10, 6)]
    losses = [2.0] * 12 + [1.9, 1.2, 1.1, 5.0]
    assert steepest(rates, losses) in (10.0**2, 10.0**3)
    assert steepest(rates, [float(i) for i in range(16)]) is None
    assert steepest(rates[:9], losses[:9]) is None
    assert steepest(rates, [*losses, 4.0, 1.15, 6.0]) == steepest(rates, losses)  # it falls again once it has diverged


def test_without_an_image_to_train_on_there_is_no_rate(monkeypatch):
    monkeypatch.setattr(Store, "has", lambda store, split: split != "train")
    with pytest.raises(UsageError, match="all images are held out, and none is left to train on"):
        mien.lr(RECIPE)


def test_ctrl_c_stops_the_test(tmp_path, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(config.dump(RECIPE))
    monkeypatch.setattr(callbacks.RisingRate, "on_train_batch_end", interrupted)
    before = signal.getsignal(signal.SIGINT)
    assert main(["lr", "--config", "tiny.yaml"]) == 130
    assert signal.getsignal(signal.SIGINT) is before
    assert [path.name for path in tmp_path.iterdir()] == ["tiny.yaml"]


def test_the_command_says_a_rate_draws_a_picture_and_changes_no_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(config.dump(RECIPE))
    folder = run.run(RECIPE, tmp_path / "before")
    torch.manual_seed(7)
    assert main(["lr", "--config", "tiny.yaml", "--steps", "24"]) == 0
    said = capsys.readouterr()
    assert " steps of " in said.err
    rate, picture = said.out.splitlines()
    assert 1e-6 < float(rate) < 10
    assert picture == "lr.png"
    assert (tmp_path / "lr.png").read_bytes().startswith(b"\x89PNG")
    assert f"mien run --config tiny.yaml --train.lr {rate}" in said.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["before", "lr.png", "tiny.yaml"]
    after = run.run(RECIPE, tmp_path / "after")
    one, two = (each / "model" / "model.safetensors" for each in (folder, after))
    assert one.read_bytes() == two.read_bytes()
    assert main(["lr", "quickstart", "--config", "tiny.yaml", "--steps", "24", "--train.class_weights", "sqrt"]) == 0
    assert "mien run quickstart --config tiny.yaml --train.class_weights sqrt --train.lr " in capsys.readouterr().err
    assert main(["lr", "--config", "tiny.yaml", "--steps", "24", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert f"{found['lr']:.2g}" == rate
    assert len(found["rates"]) == len(found["losses"])
    assert main(["lr", "--config", "tiny.yaml", "--steps", "3"]) == 2
    assert "--steps 3: give at least 20" in capsys.readouterr().err
    assert main(["lr", "--config", "tiny.yaml", "--out", "lr.txt"]) == 2
    assert "--out lr.txt: the picture is a PNG" in capsys.readouterr().err
