"""What trains when: everything, the head alone, the last blocks, attention alone, or block after block.

A model that can be frozen in part has blocks (`models.protocol.block_names`) and `get_classifier()`, its head.
What stands before the blocks is its stem, as in timm: patch embedding, class token and positions of a ViT, the
first convolution of a ResNet. What stands between the last block and the head (a norm) trains as soon as a
whole block does.

Frozen parts are in eval mode, so dropout, drop-path and batch norm leave them alone, and need no gradient.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mien.config import Recipe, Train
from mien.errors import UsageError
from mien.models.parts.attention import attention_names
from mien.models.protocol import after_blocks, block_names, head_names
from mien.runs.records import TrainedShare

STEM, HEAD = "stem", "head"


def freezes(settings: Train) -> bool:
    """Whether some part of the model is frozen for some of the time."""
    return settings.trainable != "all" or bool(settings.unfreeze)


def check(model: nn.Module, recipe: Recipe) -> None:
    """Raise UsageError where the settings of what trains do not fit each other or the model."""
    settings = recipe.train
    if settings.unfreeze and settings.trainable != "all":
        raise UsageError(
            f"train.unfreeze says by itself what trains when. Leave train.trainable at 'all', not "
            f"'{settings.trainable}', or take train.unfreeze out."
        )
    if settings.freeze_batch_norm and not batch_norms(model):
        raise UsageError(f"train.freeze_batch_norm does nothing: {recipe.model.name} has no batch norm. Take it out.")
    if settings.last_blocks and settings.trainable != "last_blocks":
        raise UsageError(f"train.last_blocks {settings.last_blocks} does nothing without train.trainable last_blocks.")
    if not freezes(settings) and settings.layer_decay == 1:
        return
    found = block_names(model)
    if not found or not hasattr(model, "get_classifier"):
        raise UsageError(
            f"{_asked(settings)} needs a model with blocks, and '{recipe.model.name}' has none. Take a vit or a "
            "resnet, or leave that setting out."
        )
    _check_blocks(found, settings, recipe.model.name)
    if settings.trainable == "attention" and not attention_names(model):
        raise UsageError(f"Model '{recipe.model.name}' has no attention to train. Take a vit, or train.trainable head.")


def trained(model: nn.Module, settings: Train, epoch: int) -> list[str]:
    """Names of the modules that train in an epoch (from 1), each with all that is in it; [''] is the whole model."""
    if not freezes(settings):
        return [""]
    found, head = block_names(model), head_names(model)
    if settings.trainable == "attention":
        return attention_names(model) + head
    if settings.trainable == "last_blocks":
        return found[-settings.last_blocks :] + after_blocks(model)
    begun = [_several(block) for start, block in settings.unfreeze.items() if start <= epoch]
    thawed = sorted({block for some in begun for block in some})
    return [found[block] for block in thawed] + after_blocks(model) if thawed else head


def freeze(model: nn.Module, settings: Train, epoch: int) -> None:
    """Set the model up for an epoch (from 1): what trains is in train mode, all else frozen and in eval mode."""
    model.train()
    if freezes(settings):  # else parameters that are fixed for good, such as sine-cosine positions, stay so
        model.requires_grad_(False).eval()
        for name in trained(model, settings, epoch):
            model.get_submodule(name).requires_grad_(True).train()
    if settings.freeze_batch_norm:
        for norm in batch_norms(model):
            norm.eval()


def batch_norms(model: nn.Module) -> list[nn.Module]:
    """The batch norms of a network, timm's and synchronised ones too."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def rates(model: nn.Module, layer_decay: float) -> dict[str, float]:
    """Share of the learning rate of each parameter, by its name: 1 for the head and the norm before it, then for
    each block `layer_decay` times that of the block above it, the stem lowest.

    Layer-wise decay as in BEiT (arXiv 2106.08254) and MAE (arXiv 2111.06377).
    """
    if layer_decay == 1:
        return {name: 1.0 for name, _ in model.named_parameters()}
    depth = len(block_names(model))
    places = _places(model)
    return {name: layer_decay ** (depth + 1 - place) for name, place in places.items()}


def history(model: nn.Module, settings: Train) -> list[TrainedShare]:
    """What trains in each epoch of the run; [] where everything does all the time."""
    if not freezes(settings):
        return []
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    parts = _parts(model)
    rows: list[TrainedShare] = []
    for epoch in range(1, settings.epochs + 1):
        modules = trained(model, settings, epoch)
        live = {name for name in sizes if _inside(name, modules)}
        share = {part: _share(names, live, sizes) for part, names in parts.items()}
        rows.append(TrainedShare(epoch=epoch, share=_share(sizes, live, sizes), parts=share))
    return rows


def describe(rows: Sequence[TrainedShare]) -> str:
    """'trained share of the parameters: 0.0063% from epoch 1, 8.4% from epoch 2': an entry for each change."""
    changes = [row for i, row in enumerate(rows) if i == 0 or row.parts != rows[i - 1].parts]
    shares = [f"{100 * row.share:.3g}% from epoch {row.epoch}" for row in changes]
    return f"trained share of the parameters: {', '.join(shares)}"


def _check_blocks(found: list[str], settings: Train, name: str) -> None:
    depth = f"{name} has {len(found)} blocks, 0 to {len(found) - 1}"
    if settings.trainable == "last_blocks" and not 1 <= settings.last_blocks <= len(found):
        raise UsageError(
            f"train.trainable last_blocks with train.last_blocks {settings.last_blocks}: {depth}. Give a number "
            f"from 1 to {len(found)}."
        )
    for epoch, given in settings.unfreeze.items():
        if not 1 <= epoch <= settings.epochs:
            raise UsageError(
                f"train.unfreeze names epoch {epoch}, but the run has epochs 1 to {settings.epochs}. Take the entry "
                "out, or change train.epochs."
            )
        for block in _several(given):
            if not 0 <= block < len(found):
                raise UsageError(f"train.unfreeze names block {block} in epoch {epoch}, but {depth}.")


def _asked(settings: Train) -> str:
    if settings.unfreeze:
        return "train.unfreeze"
    if settings.trainable != "all":
        return f"train.trainable {settings.trainable}"
    return f"train.layer_decay {settings.layer_decay}"


def _several(block: int | tuple[int, ...]) -> tuple[int, ...]:
    return (block,) if isinstance(block, int) else block


def _places(model: nn.Module) -> dict[str, int]:
    """Each parameter's place on the way to the head: 0 the stem, 1 the first block, ..., depth + 1 what follows."""
    found, after = block_names(model), after_blocks(model)

    def place(name: str) -> int:
        if _inside(name, after):
            return len(found) + 1
        return next((i for i, block in enumerate(found, 1) if name.startswith(f"{block}.")), 0)

    return {name: place(name) for name, _ in model.named_parameters()}


def _parts(model: nn.Module) -> dict[str, list[str]]:
    """Names of the parameters of the stem, each block and the head, of those that have any; the norm after the blocks
    belongs to none.
    """
    labels = [STEM, *block_names(model)]
    parts: dict[str, list[str]] = {label: [] for label in [*labels, HEAD]}
    head = head_names(model)
    for name, place in _places(model).items():
        if place < len(labels):
            parts[labels[place]].append(name)
        elif _inside(name, head):
            parts[HEAD].append(name)
    return {part: names for part, names in parts.items() if names}


def _inside(parameter: str, modules: Iterable[str]) -> bool:
    """Whether a parameter lies in one of these modules."""
    return any(parameter.startswith(f"{module}.") for module in modules)


def _share(names: Iterable[str], live: set[str], sizes: dict[str, int]) -> float:
    names = list(names)
    return round(sum(sizes[name] for name in names if name in live) / sum(sizes[name] for name in names), 6)
