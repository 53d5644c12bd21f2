import math

import numpy as np
import pytest
import torch
from torch import nn

from mien import hardware
from mien.config import Train
from mien.evaluate.metrics import calibration_error
from mien.hardware import choose_device, choose_precision
from mien.models import create_model
from mien.runs import Predictions
from mien.train.callbacks import epoch_line
from mien.train.metrics import CalibrationError
from mien.train.moving_average import moving_average
from mien.train.optimizers import make_optimizer, rate
from mien.train.task import entropy, hard


def test_rate_by_hand():
    shares = [rate(step, steps=11, warmup=1, cosine=True) for step in (0, 1, 6, 11)]
    assert shares == pytest.approx([0.5, 1.0, 0.5, 0.0])
    assert rate(7, steps=11, warmup=1, cosine=False) == 1.0


@pytest.mark.parametrize(("kind", "expected"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam)])
def test_optimizers(kind, expected):
    optimizer = make_optimizer(nn.Linear(2, 3), Train(optimizer=kind, lr=0.25))
    assert type(optimizer) is expected
    assert optimizer.param_groups[0]["lr"] == 0.25


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_betas_are_adams(kind):
    assert make_optimizer(nn.Linear(2, 3), Train(optimizer=kind)).param_groups[0]["betas"] == (0.9, 0.999)
    optimizer = make_optimizer(nn.Linear(2, 3), Train(optimizer=kind, betas=(0.75, 0.99)))
    assert optimizer.param_groups[0]["betas"] == (0.75, 0.99)


def test_weight_decay_spares_biases_norms_tokens_and_positions():
    model = create_model("vit", img_size=8, patch_size=4, embed_dim=8, depth=1, num_heads=2)
    optimizer = make_optimizer(model, Train(weight_decay=0.5))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed, spared = ({names[id(p)] for p in group["params"]} for group in optimizer.param_groups)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.5, 0.0]
    assert {"cls_token", "pos_embed", "norm.weight", "head.bias"} <= spared
    assert {"head.weight", "patch_embed.proj.weight", "blocks.0.attn.qkv.weight"} <= decayed


def test_frozen_parameters_are_left_to_themselves():
    model = create_model("vit", pos_embed="sincos2d")
    optimizer = make_optimizer(model, Train())
    assert all(p is not model.pos_embed for group in optimizer.param_groups for p in group["params"])


def test_moving_average_by_hand():
    """Decays min(0.9, (1 + n) / (10 + n)): the first update copies, the second keeps 2/11."""
    model = nn.Linear(1, 1, bias=False)
    averaged = moving_average(model, 0.9)
    for value in (1.0, 2.0):
        model.weight.data.fill_(value)
        averaged.update_parameters(model)
    assert averaged.module.weight.item() == pytest.approx(2 / 11 * 1.0 + 9 / 11 * 2.0)
    assert not averaged.module.weight.requires_grad
    assert moving_average(model, 0.0) is None


def test_entropy():
    assert entropy(np.array([5, 5])) == pytest.approx(math.log(2))
    assert entropy(np.array([7, 0])) == 0
    assert entropy(np.array([3995, 436, 4097, 7215, 4830, 3171, 4965])) == pytest.approx(1.8096, abs=1e-4)


def test_precision_follows_the_hardware():
    assert choose_device("cpu") == "cpu"
    dense = nn.Conv2d(4, 4, 3)
    assert choose_precision("auto", "cpu", dense) in ("fp32", "bf16")
    assert choose_precision("fp32", "cpu", dense) == "fp32"
    with pytest.raises(Exception, match="fp16 needs a GPU"):
        choose_precision("fp16", "cpu", dense)


def test_on_a_cpu_depthwise_convolutions_train_in_fp32(monkeypatch):
    monkeypatch.setattr(hardware, "computes_bf16", lambda device: True)
    dense, depthwise = nn.Conv2d(4, 8, 3), nn.Conv2d(4, 8, 3, groups=4)
    chosen = [choose_precision("auto", device, model) for device in ("cpu", "cuda") for model in (dense, depthwise)]
    assert chosen == ["bf16", "fp32", "bf16", "bf16"]
    assert choose_precision("bf16", "cpu", depthwise) == "bf16"
    assert choose_precision("auto", "cpu", depthwise.requires_grad_(False)) == "bf16"


def test_epoch_line():
    row = {"epoch": 2, "seconds": 60, "train_loss": 1.5, "train_accuracy": 0.25, "val_loss": 1.25, "val_accuracy": 0.5}
    line = epoch_line(row | {"images_per_second": 1234.4}, epochs=4)
    assert line.startswith("epoch   2/4  train loss 1.500 acc 25.0%  validation loss 1.250 acc 50.0%")
    assert line.endswith("1,234 images/s  1.0 min left")


def test_the_calibration_error_of_an_epoch_is_that_of_its_predictions():
    """In batches and in two processes, whose states are added up; a confidence of 1 belongs to the last bin."""
    logits, labels = 3 * torch.randn(37, 3, generator=torch.manual_seed(0)), torch.arange(37) % 3
    logits[5] = torch.tensor([0.0, 0.0, 200.0])
    one, first, second = CalibrationError(3), CalibrationError(3), CalibrationError(3)
    for batch, part in ((slice(0, 11), first), (slice(11, 29), second), (slice(29, 37), first)):
        one.update(logits[batch], labels[batch])
        part.update(logits[batch], hard(nn.functional.one_hot(labels[batch])))
    kept = Predictions([str(i) for i in range(37)], labels.numpy(), logits.softmax(1).numpy(), ("a", "b", "c"))
    assert one.compute().item() == pytest.approx(calibration_error(kept), abs=1e-6)
    assert calibration_error(kept) > 0.05
    first.merge_state(second)
    assert first.compute().item() == pytest.approx(calibration_error(kept), abs=1e-6)
