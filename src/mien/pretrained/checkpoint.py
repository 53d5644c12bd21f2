"""A checkpoint in our names: what every reader of foreign files returns, and how it becomes a model."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.errors import DataError, UsageError
from mien.models import create_model, sizes_of
from mien.models.protocol import head_names
from mien.progress import note

Weights = dict[str, Tensor]
Scale = float | tuple[float, ...]
Resize = Literal["bicubic_antialias", "bicubic", "bicubic_corners", "bilinear_corners"]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HEADS = ("head.", "head_dist.", "fc.", "classifier.")
POOLS = ("avg", "flatten")  # without weights of their own, so that one can take the place of the other
FIRST_LAYERS = ("patch_embed.stem.0", "patch_embed.proj", "conv1", "features.0", "image_branch.conv1")

# Heads cannot be read off the weights' shapes; these are the published configurations (Ti, S, B, L, H).
HEADS_OF_WIDTH = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16}


def one_or_each(values: float | Sequence[float]) -> Scale:
    """One number for all colours where theirs are equal, else one for each."""
    if isinstance(values, float | int):
        return float(values)
    return float(values[0]) if len(set(values)) == 1 else tuple(map(float, values))


@dataclass(frozen=True)
class Checkpoint:
    """A trained network by its weights, under the names of mien's own models.

    model, sizes: what `create_model` needs to build it, num_classes of its own head included.
    mean, std: of the pixels (0..1) it was trained with. labels: names of its classes, () where not known.
    resize: how its source interpolates position embeddings. source: where it came from, for messages.
    norms_anew: whether its batch norms were folded away and do nothing now; their statistics start anew in training.
    """

    model: str
    sizes: dict[str, Any]
    weights: Weights
    source: str
    mean: Scale = 0.5
    std: Scale = 0.5
    labels: tuple[str, ...] = ()
    resize: Resize = "bicubic_antialias"
    preprocessing: dict[str, Any] = field(default_factory=dict)  # size, fit and so on, of a model trained by mien
    norms_anew: bool = False

    @property
    def fingerprint(self) -> str:
        """sha256 of the weights and their names."""
        digest = hashlib.sha256()
        for name, values in sorted(self.weights.items()):
            digest.update(name.encode() + values.contiguous().reshape(-1).view(torch.uint8).numpy(force=True).tobytes())
        return digest.hexdigest()

    def build(self, labels: tuple[str, ...] | None = None, **sizes: Any) -> nn.Module:
        """The network with these weights. `sizes` (img_size, in_chans, num_classes, dropout …) change it.

        labels: the classes it is to tell apart; unless they are the checkpoint's own, the head starts anew.
        num_classes=0 leaves the head out, and the network gives what the head would read.
        Positions are interpolated to another img_size and kernels adapted to another number of channels;
        a head for another number of classes starts anew, and so does one that reads every place of the image
        (of a CNN, or of global_pool 'flatten') at another img_size, or in place of one on global_pool 'avg'. Raises
        UsageError for a size that the weights do not allow, DataError when a tensor is missing, surplus or of
        another shape.
        """
        wanted = {key: value for key, value in sizes.items() if value is not None}
        if not self.sizes["num_classes"] and "num_classes" not in wanted:
            raise UsageError(f"{self.source} has no head of its own. Say how many classes there are: num_classes=7.")
        self._refuse_other_sizes(wanted)
        model = create_model(self.model, **{**self.sizes, **wanted})
        new_head = wanted.get("num_classes") == 0 or (labels is not None and labels != self.labels)
        changed = {name for name, value in wanted.items() if _plain(self._own(name, value)) != _plain(value)}
        replaced = self.load_into(model, new_head, strict=not changed)
        if replaced and hasattr(model, "clear_head"):
            model.clear_head()  # type: ignore[operator]
        if replaced and not new_head and changed <= {"img_size", "in_chans", "global_pool"}:
            note(f"{self.source}: its head fits its own image size and pooling only, so it starts anew. Train it.")
        return model

    def scale_of(self, channels: int) -> tuple[Scale, Scale]:
        """Mean and deviation of the pixels for a network built with this many channels."""
        each = isinstance(self.mean, tuple) or isinstance(self.std, tuple)
        if each and channels == 1:
            return _middle(self.mean), _middle(self.std)
        return self.mean, self.std

    def load_into(self, model: nn.Module, new_head: bool = False, strict: bool = False) -> bool:
        """Copy the weights into a model of this architecture; only its head may differ, and when strict nothing.

        new_head: the head keeps its fresh weights even where the checkpoint's would fit. Returns whether it did.
        """
        weights = model.fitted(self.weights) if hasattr(model, "fitted") else dict(self.weights)  # type: ignore[operator]
        known, heads = model.state_dict(), _heads(model)
        _resize_positions(weights, known, self, model)
        self.adapt_channels(weights, known, getattr(model, "first_layer", None))
        replaced = [name for name in known if name.startswith(heads) and _differs(weights.get(name), known[name])]
        fresh = new_head or bool(replaced and not strict)
        if fresh:  # a head for other classes, or with other layers, keeps its fresh weights
            weights = {name: value for name, value in weights.items() if not name.startswith(heads)}
            weights |= {name: value for name, value in known.items() if name.startswith(heads)}
        for name, value in known.items():
            if name.endswith("num_batches_tracked"):  # older files lack it; only momentum=None would read it
                weights.setdefault(name, value)
        refuse_mismatch(weights, known, self.source)
        model.load_state_dict(weights)
        return fresh

    def _own(self, name: str, default: Any) -> Any:
        """The checkpoint's size of this name: as it lists it, else the model's default."""
        declared = sizes_of(self.model).model_fields.get(name)
        unset = default if declared is None or declared.is_required() else declared.default
        return self.sizes.get(name, unset)

    def _refuse_other_sizes(self, wanted: Mapping[str, Any]) -> None:
        free = ("img_size", "in_chans", "num_classes", "drop_rate", "drop_path_rate")
        for name, value in wanted.items():
            own = self._own(name, value)
            if name == "global_pool" and own in POOLS and value in POOLS:
                continue
            if name not in free and not name.startswith("head_") and _plain(own) != _plain(value):
                known = "its own" if own is None else _plain(own)
                raise UsageError(
                    f"{self.source} was trained with {name} {known}, not {_plain(value)}. Leave `model.{name}` out."
                )

    def adapt_channels(self, weights: Weights, known: Mapping[str, Tensor], first: str | None = None) -> None:
        """Kernels for RGB applied to grey pictures and the other way round, without changing the answer.

        A grey picture in RGB is three equal channels g, scaled by each channel's mean and std; one kernel
        of their weighted sum gives the same, once the offsets of the means are put into the bias.
        """
        name = next((name for name in (first, *FIRST_LAYERS) if f"{name}.weight" in weights), None)
        if name is None or f"{name}.weight" not in known:
            return
        kernel = weights[f"{name}.weight"]
        channels, wanted = kernel.shape[1], known[f"{name}.weight"].shape[1]
        if channels == wanted:
            return
        if wanted > 1:  # one kernel for each channel, a third of it each
            weights[f"{name}.weight"] = kernel.repeat(1, wanted, 1, 1) / wanted
            return
        mean, std = (torch.tensor(value).expand(channels) for value in (self.mean, self.std))
        scaled = kernel / std[:, None, None]  # (D, C, P, P)
        offset = (scaled * (mean.mean() - mean)[:, None, None]).sum((1, 2, 3))  # (D,)
        if offset.abs().max() > 1e-6 and f"{name}.bias" not in weights:
            raise UsageError(
                f"{self.source} has no bias that could take up the means of three colours. Train in colour: "
                "`data.channels` 3 (grey pictures become three equal channels)."
            )
        weights[f"{name}.weight"] = scaled.sum(1, keepdim=True) * std.mean()
        if f"{name}.bias" in weights:
            weights[f"{name}.bias"] = weights[f"{name}.bias"] + offset


def rename(weights: Mapping[str, Tensor], table: Sequence[tuple[str, str]]) -> Weights:
    """Weights under new names: every pattern of the table (regular expression, replacement) in turn."""
    renamed = {}
    for name, value in weights.items():
        for pattern, replacement in table:
            name = re.sub(pattern, replacement, name)
        renamed[name] = value
    return renamed


VIT = re.compile(
    r"(cls_token|dist_token|pos_embed|(patch_embed\.proj|norm|head|head_dist|pre_logits\.fc)\.(weight|bias)"
    r"|blocks\.\d+\.((norm[12]|attn\.(qkv|query|key|value|proj)|mlp\.fc[12])\.(weight|bias)|ls[12]\.gamma))"
)


def known_in_vit(weights: Mapping[str, Tensor], table: Sequence[tuple[str, str]] = ()) -> list[str]:
    """The names that a ViT's tensors have, once they are renamed by the table."""
    return [name for name in weights if VIT.fullmatch(next(iter(rename({name: weights[name]}, table))))]


def vit_sizes(weights: Mapping[str, Tensor], num_heads: int | None, source: str) -> dict[str, Any]:
    """Sizes of a VisionTransformer read off its weights under our names. Raises DataError where parts are missing."""
    try:
        embed_dim, in_chans, patch_size, _ = weights["patch_embed.proj.weight"].shape
        hidden = weights["blocks.0.mlp.fc1.weight"].shape[0]
        tokens = weights["pos_embed"].shape[1]
        class_token, distilled = "cls_token" in weights, "dist_token" in weights
        heads = num_heads or HEADS_OF_WIDTH.get(embed_dim)
        if heads is None:
            raise UsageError(
                f"{source}: the heads of a ViT of width {embed_dim} are not known. Give `model.num_heads`."
            )
        rows = weights["blocks.0.attn.qkv.weight"].shape[0]
    except KeyError as error:
        raise DataError(f"{source} is no Vision Transformer that mien knows: it has no {error.args[0]}.") from error
    if rows != 3 * embed_dim:
        raise DataError(f"{source}: blocks.0.attn.qkv.weight has {rows} rows, not 3 x {embed_dim}.")
    grid = math.isqrt(tokens - class_token - distilled)
    if grid**2 != tokens - class_token - distilled:
        raise DataError(f"{source}: its {tokens} positions are not those of a square of patches and first tokens.")
    sizes = {
        "img_size": grid * patch_size,
        "patch_size": patch_size,
        "in_chans": in_chans,
        "num_classes": len(weights["head.bias"]) if "head.bias" in weights else 0,
        "embed_dim": embed_dim,
        "depth": 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks.")),
        "num_heads": heads,
        "mlp_ratio": hidden / embed_dim,
        "qkv_bias": "blocks.0.attn.qkv.bias" in weights,
        "global_pool": "token" if class_token else "avg",
        "distilled": distilled,
    }
    if "blocks.0.ls1.gamma" in weights:
        sizes["layer_scale"] = 1.0  # where it starts; the weights say where it is
    if "pre_logits.fc.weight" in weights:
        sizes["representation_size"] = weights["pre_logits.fc.weight"].shape[0]
    return sizes


def refuse_mismatch(weights: Mapping[str, Tensor], known: Mapping[str, Tensor], source: str) -> None:
    """Raise DataError when tensors are missing, surplus or of another shape; the first of each are named."""
    problems = []
    for what, names in (("lacks", known.keys() - weights.keys()), ("has unknown", weights.keys() - known.keys())):
        if names:
            problems.append(f"it {what} {_some(sorted(names))}")
    shapes = [name for name in sorted(known.keys() & weights.keys()) if known[name].shape != weights[name].shape]
    if shapes:
        first = shapes[0]
        problems.append(f"{first} is {tuple(weights[first].shape)}, not {tuple(known[first].shape)}")
    if problems:
        same = f"{len(known.keys() & weights.keys()) - len(shapes)} of its {len(weights)} tensors do"
        raise DataError(f"{source} does not fit the model: {same}; {'; '.join(problems)}.")


def resize_positions(positions: Tensor, grid: int, prefix: int, resize: Resize) -> Tensor:
    """Position embeddings (1, prefix + n * n, D) for another grid, (1, prefix + grid * grid, D).

    'bicubic_antialias' is timm's way, 'bicubic' that of transformers, 'bicubic_corners' torchvision's,
    'bilinear_corners' that of the JAX code (scipy's zoom of order 1).
    """
    before, places = positions[:, :prefix], positions[:, prefix:]
    side = math.isqrt(places.shape[1])
    if side * side != places.shape[1]:
        raise DataError(f"{positions.shape[1]} positions are not {prefix} token(s) and a square of patches.")
    kind, _, how = resize.partition("_")
    image = places.reshape(1, side, side, -1).permute(0, 3, 1, 2)  # (1, n * n, D) -> (1, D, n, n)
    image = F.interpolate(
        image.float(), (grid, grid), mode=kind, align_corners=how == "corners", antialias=how == "antialias"
    )
    return torch.cat(
        [before, image.flatten(2).transpose(1, 2).to(before.dtype)], dim=1
    )  # (1, D, g, g) -> (1, g * g, D)


def resize_line(vectors: Tensor, grid: int) -> Tensor:
    """Vectors of rows or of columns (n, D) for another grid, (grid, D), linear between their middles."""
    line = F.interpolate(vectors.T[None].float(), grid, mode="linear", align_corners=False)  # (1, D, n) -> (1, D, g)
    return line[0].T.to(vectors.dtype)  # (1, D, g) -> (g, D)


def resize_offsets(table: Tensor, grid: int) -> Tensor:
    """Biases by offset ((2n - 1)^2, h) for another grid, ((2 grid - 1)^2, h): bicubic over rows and columns.

    As in Swin's own loading of weights (arXiv 2103.14030); the offset 0, in the middle, stays in the middle.
    """
    side = math.isqrt(len(table))
    if side * side != len(table) or not side % 2:
        raise DataError(f"{len(table)} relative positions are not those of the offsets within a square of patches.")
    image = table.T.contiguous().view(1, -1, side, side).float()  # ((2n-1)^2, h) -> (1, h, 2n-1, 2n-1)
    wanted = (2 * grid - 1, 2 * grid - 1)
    image = F.interpolate(image, wanted, mode="bicubic", align_corners=False, antialias=True)
    return image[0].flatten(1).T.to(table.dtype)  # (1, h, 2g-1, 2g-1) -> ((2g-1)^2, h)


def _resize_positions(weights: Weights, known: Mapping[str, Tensor], checkpoint: Checkpoint, model: nn.Module) -> None:
    """Positions of every kind, learned for another image size, for the grid of this model."""
    prefix = int(getattr(model, "num_prefix_tokens", 0))
    for name, wanted in known.items():
        found = weights.get(name)
        if found is None or found.shape == wanted.shape:
            continue
        if name == "pos_embed":
            grid = math.isqrt(wanted.shape[1] - prefix)
            weights[name] = resize_positions(found, grid, prefix, checkpoint.resize)
        elif name in ("pos_embed.rows", "pos_embed.columns"):
            weights[name] = resize_line(found, len(wanted))
        elif name.endswith(".attn.relative.table"):
            weights[name] = resize_offsets(found, (math.isqrt(len(wanted)) + 1) // 2)


def _heads(model: nn.Module) -> tuple[str, ...]:
    """What the names of the head's tensors start with: of a model that names its classifier, its; else the usual."""
    if not hasattr(model, "get_classifier"):
        return HEADS
    return tuple(f"{name}." for name in head_names(model))


def _middle(value: Scale) -> float:
    return sum(value) / len(value) if isinstance(value, tuple) else value


def _differs(found: Tensor | None, known: Tensor) -> bool:
    return found is None or found.shape != known.shape


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more
