"""Checkpoints within an epoch: a run that goes on from one ends as a run that was never stopped."""

import pytest
import torch
from safetensors.torch import load_file

from mien.config import Augment, Data, Model, Recipe, Train
from mien.runs.history import read_epochs
from mien.train import run

RECIPE = Recipe(
    data=Data(source="drawn_faces", images=70, size=16),
    model=Model(name="vit", patch_size=8, embed_dim=16, depth=2, num_heads=2, drop_rate=0.1, stem="conv"),
    augment=Augment(hflip=0.5, rotate=10),
    train=Train(
        epochs=3, batch_size=7, accumulate_grad_batches=2, ema=0.9, warmup_epochs=1, precision="fp32",
        unfreeze={2: 1}, checkpoint_minutes=1e-9,
    ),
)  # fmt: skip


@pytest.mark.parametrize("settings", [{}, {"unfreeze": {}, "accumulate_grad_batches": 1, "batch_size": 14}])
def test_a_run_goes_on_within_an_epoch(tmp_path, monkeypatch, interrupted, settings):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    recipe = RECIPE.with_(train=settings)
    whole = run.run(recipe, tmp_path / "whole")
    with interrupted():
        run.run(recipe, tmp_path / "part")
    last = torch.load(tmp_path / "part" / "checkpoints" / "last.ckpt", weights_only=True)
    progress = last["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"]
    assert (last["epoch"], progress["ready"]) == (1, 2), "two batches of the second epoch"
    run.resume(tmp_path / "part")
    one, two = (load_file(folder / "model" / "model.safetensors") for folder in (whole, tmp_path / "part"))
    assert all(torch.equal(one[name], two[name]) for name in one)
    histories = [read_epochs(folder) for folder in (whole, tmp_path / "part")]
    for a, b in zip(*histories, strict=True):
        assert {key: a[key] for key in a if key not in ("seconds", "images_per_second")} == {
            key: b[key] for key in b if key not in ("seconds", "images_per_second")
        }
    seconds = [row["seconds"] for row in histories[1]]
    assert seconds == sorted(seconds)
    assert all(row["images_per_second"] > 0 for row in histories[1])
