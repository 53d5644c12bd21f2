"""Muon beside torch's own, on filters and fused matrices, and in runs that are stopped and resumed."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from mien import config
from mien.config import Augment, Data, Model, Recipe, Train
from mien.models import create_model
from mien.models.parts.attention import Attention
from mien.train import run
from mien.train.muon import Muon, matrices_in, orthogonal
from mien.train.optimizers import make_optimizer

RECIPE = Recipe(
    name="small",
    data=Data(source="drawn_faces", images=70, size=16),
    model=Model(name="vit", patch_size=4, embed_dim=16, depth=2, num_heads=2),
    augment=Augment(hflip=0.5),
    train=Train(epochs=3, batch_size=14, optimizer="muon", lr=0.02, weight_decay=0.05, ema=0.9, gradient_clip=1.0),
)


def drawn(*shapes: tuple[int, ...], seed: int = 0) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def give_gradients(*lists: list[nn.Parameter], seed: int) -> None:
    """The same gradients to the parameters of each list, in the shape of each."""
    generator = torch.Generator().manual_seed(seed)
    for alike in zip(*lists, strict=True):
        gradient = torch.randn(alike[0].shape, generator=generator)
        for parameter in alike:
            parameter.grad = gradient.reshape(parameter.shape).clone()


def test_matrices_move_as_with_torchs_muon():
    ours = drawn((8, 5), (5, 9))
    theirs = [nn.Parameter(each.detach().clone()) for each in ours]
    optimizer = Muon([{"params": ours, "weight_decay": 0.1}], lr=0.02)
    reference = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, momentum=0.95)
    for step in range(5):
        give_gradients(ours, theirs, seed=step)
        optimizer.step()
        reference.step()
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own, other)


def test_all_else_moves_as_with_torchs_adamw():
    ours = drawn((8, 5), (7,))
    theirs = [nn.Parameter(each.detach().clone()) for each in ours]
    optimizer = Muon([{"params": ours, "weight_decay": 0.1, "lr": 0.01, "matrices": 0}])
    reference = torch.optim.AdamW(theirs, lr=0.01, weight_decay=0.1)
    for step in range(5):
        give_gradients(ours, theirs, seed=step)
        optimizer.step()
        reference.step()
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(own, other)


def test_filters_move_as_the_matrix_of_their_rows():
    filters = drawn((6, 2, 3, 3))
    matrix = [nn.Parameter(filters[0].detach().reshape(6, 18).clone())]
    laid_out = [nn.Parameter(filters[0].detach().clone(memory_format=torch.channels_last))]
    optimizers = [Muon([{"params": each}], lr=0.02) for each in (filters, matrix, laid_out)]
    for step in range(3):
        give_gradients(filters, matrix, laid_out, seed=step)
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(filters[0].flatten(1), matrix[0])
    torch.testing.assert_close(laid_out[0], filters[0])


def test_fused_queries_keys_and_values_move_apart():
    fused = drawn((12, 4))
    apart = [nn.Parameter(part.clone()) for part in fused[0].detach().chunk(3)]
    optimizers = [Muon([{"params": fused, "matrices": 3}]), Muon([{"params": apart}])]
    for step in range(3):
        give_gradients(fused, seed=step)
        for parameter, gradient in zip(apart, fused[0].grad.chunk(3), strict=True):
            parameter.grad = gradient.clone()
        for optimizer in optimizers:
            optimizer.step()
    torch.testing.assert_close(fused[0], torch.cat(apart))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(4, 30), (30, 4)])
def test_singular_values_end_near_one(shape, dtype):
    made = orthogonal(drawn(shape)[0].detach(), dtype)
    assert made.dtype == torch.float32
    values = torch.linalg.svdvals(made)
    assert 0.5 < values.min() <= values.max() < 1.4


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("vit", {"img_size": 8, "patch_size": 4, "embed_dim": 8, "depth": 2, "num_heads": 2, "distilled": True}),
        ("resnet", {"img_size": 8, "widths": (4, 8), "layers": (1, 1), "squeeze_excitation": True}),
    ],
)
def test_muon_trains_matrices_and_adamw_the_rest(name, sizes):
    model = create_model(name, num_classes=3, **sizes)
    optimizer = make_optimizer(model, Train(optimizer="muon", lr=0.02, adam_lr=0.003, weight_decay=0.1))
    names = {parameter: name for name, parameter in model.named_parameters()}
    by_muon, fused, by_adamw = set(), set(), set()
    for group in optimizer.param_groups:
        assert group["lr"] == (0.02 if group["matrices"] else 0.003)
        kept = {0: by_adamw, 1: by_muon, 3: fused}[group["matrices"]]
        kept |= {names[parameter] for parameter in group["params"]}
    assert by_muon | fused | by_adamw == set(names.values())
    assert all(each.endswith("attn.qkv.weight") for each in fused)
    assert len(fused) == sum(isinstance(module, Attention) for module in model.modules())
    assert all(model.get_parameter(each).dim() > 1 for each in by_muon)
    heads = {"head.weight", "head_dist.weight", "fc.weight"}
    matrices = {each for each in names.values() if model.get_parameter(each).dim() > 1} - heads
    assert by_muon | fused == matrices - {"pos_embed", "cls_token", "dist_token"}


def test_without_a_named_head_the_last_layer_is_adamws():
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    assert list(matrices_in(model)) == [model[0].weight]
    assert not matrices_in(nn.Linear(4, 3))


@pytest.mark.parametrize("model", [RECIPE.model, Model(name="cnn_v2", widths=(3, 5))])
@pytest.mark.parametrize("schedule", ["one_cycle", "cosine", "plateau"])
def test_an_interrupted_run_ends_with_the_same_weights(model, schedule, tmp_path, interrupted, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    recipe = config.build(RECIPE.model_dump(), {"model": model.model_dump(), "train": {"schedule": schedule}})
    whole = load_file(run.run(recipe, tmp_path / "whole") / "model" / "model.safetensors")
    with interrupted():
        run.run(recipe, tmp_path / "part")
    resumed = load_file(run.resume(tmp_path / "part") / "model" / "model.safetensors")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_one_cycle_moves_the_rates_and_leaves_the_momentum():
    parameters = drawn((4, 4), (4,))
    optimizer = Muon([{"params": parameters[:1]}, {"params": parameters[1:], "matrices": 0, "lr": 0.001}])
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [0.02, 0.001], 10, cycle_momentum=False)
    give_gradients(parameters, seed=0)
    before = optimizer.param_groups[0]["lr"]
    for _ in range(3):
        optimizer.step()
        schedule.step()
    assert optimizer.param_groups[0]["lr"] > before
    assert optimizer.param_groups[0]["momentum"] == 0.95
