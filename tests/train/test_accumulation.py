"""Gradients of several batches added up are those of one large batch."""

import pytest
import torch
from safetensors.torch import load_file

from mien.config import Augment, Data, Model, Recipe, Train
from mien.errors import UsageError
from mien.runs.history import read_epochs
from mien.train import run

RECIPE = Recipe(
    data=Data(source="drawn_faces", images=75, size=16),
    model=Model(name="vit", patch_size=8, embed_dim=16, depth=1, num_heads=2),
    augment=Augment(hflip=0.5, rotate=10, noise=0.1, mixup=0.4),
    # SGD, as Adam blows up the rounding of gradients near 0
    train=Train(epochs=2, batch_size=32, optimizer="sgd", lr=0.3, ema=0.9, warmup_epochs=1, precision="fp32"),
)


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.mark.parametrize("clip", [0.0, 0.1])
def test_four_batches_a_step_train_as_one_large_batch_does(tmp_path, clip):
    """With augmentation, mixup, the moving average, a schedule and a last step that is not full and left out."""
    recipe = RECIPE.with_(train={"gradient_clip": clip})
    parts = recipe.with_(train={"batch_size": 8, "accumulate_grad_batches": 4})
    whole, split = (run.run(each, tmp_path / name) for each, name in ((recipe, "whole"), (parts, "split")))
    one, two = (load_file(folder / "model" / "model.safetensors") for folder in (whole, split))
    assert max((one[name] - two[name]).abs().max().item() for name in one) < 1e-5
    steps = [torch.load(f / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] for f in (whole, split)]
    assert steps == [4, 4]
    for a, b in zip(read_epochs(whole), read_epochs(split), strict=True):
        assert a["lr"] == b["lr"]
        assert a["train_loss"] == pytest.approx(b["train_loss"], abs=1e-5)
        assert a["val_loss"] == pytest.approx(b["val_loss"], abs=1e-5)


def test_mixup_wants_pairs_in_every_batch_of_a_step():
    with pytest.raises(UsageError, match=r"are no pairs\. Take a train\.batch_size that 2 divides"):
        RECIPE.with_(train={"batch_size": 7, "accumulate_grad_batches": 2})
