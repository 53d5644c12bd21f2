"""Any network of timm's by its name, `timm:convnext_atto`, with the protocol of mien.models.protocol.

The network is timm's own and keeps its modules' names. What it lacks of the protocol comes as a second base class:
which blocks it has (by its own group_matcher), how its tokens lie over the image, where the evidence lies.
Its sizes are the parameters of timm's constructor that can be spelled as a setting.

Wightman, "PyTorch Image Models" (github.com/huggingface/pytorch-image-models).
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import torch
from pydantic import Field, create_model
from torch import Tensor, nn

from mien import operators
from mien.errors import MissingError, UsageError, missing_extra, nearest
from mien.models.parts.heads import DistilledHead
from mien.models.protocol import Tokens, outermost
from mien.models.sizes import FROM_DATA, VARIABLE, Sizes

SCHEME = "timm:"
INTERNAL = ("device", "dtype", "pretrained_cfg", "pretrained_cfg_overlay", "features_only", "norm_eval", "weight_init")
POOLS = {"token": "token", "avg": "avg"}  # what the head reads; other poolings read all patches, as 'avg' does
PREVIOUS = (99999,)  # timm's mark of what goes with the group before it


class TimmNetwork(nn.Module):
    """What mien.models.protocol asks for, beside one of timm's networks.

    It is the first base of a class made for each of timm's: `forward_features` and `forward_head` are timm's own.
    """

    sizes: Sizes
    output_fmt: str  # timm's: 'NHWC' of networks whose maps are (B, h, w, D)

    @property
    def block_names(self) -> list[str]:
        """Its blocks, from the image to the head, as timm's layer-wise learning rates part them."""
        return list(_parts(self)[0])

    @property
    def after_blocks(self) -> list[str]:
        """The modules behind the last block: a norm, a last convolution, the head."""
        blocks, stem = _parts(self)
        inside = tuple(f"{block}." for block in blocks)
        after = {name for name, _ in self.named_parameters() if not name.startswith(inside) and name not in stem}
        names = [name for name, _ in self.named_modules()]
        last = names.index(blocks[-1]) if blocks else 0

        def follows(name: str, module: nn.Module) -> bool:
            own = [f"{name}.{each}" for each, _ in module.named_parameters()]
            return set(own) <= after if own else names.index(name) > last and not name.startswith(inside)

        return outermost([name for name, module in self.named_modules() if name and follows(name, module)])

    @property
    def attention_names(self) -> list[str]:
        """The modules that attend, by timm's word for them."""
        return [name for name, _ in self.named_modules() if re.search(r"(^|[._])attn$", name)]

    @property
    def tokens(self) -> Tokens | None:
        """How its tokens lie over the image, of a ViT whose every block attends to all of them."""
        network = cast(Any, self)
        grid = getattr(getattr(self, "patch_embed", None), "grid_size", None)
        blocks = [*network.blocks] if isinstance(getattr(self, "blocks", None), nn.Module) else []
        plain = all(hasattr(getattr(block, "attn", None), "num_heads") for block in blocks)
        if not blocks or not plain or not grid or hasattr(self, "blocks_token_only") or grid[0] != grid[1]:
            return None
        prefix = int(getattr(self, "num_prefix_tokens", 0))
        read = 2 if hasattr(self, "head_dist") else 1
        pool: Any = POOLS.get(str(getattr(network, "global_pool", "")), "avg")
        return Tokens(prefix, grid[0], self.sizes.img_size // grid[0], pool, min(read, prefix))

    @property
    def evidence(self) -> str | None:
        """The last attention's norm, or the module that gives what `forward_features` gives."""
        if self.tokens:
            last = f"blocks.{len(cast(Any, self).blocks) - 1}"
            return f"{last}.norm1" if f"{last}.norm1" in dict(self.named_modules()) else last
        return _last_maps(self)

    @property
    def map_names(self) -> list[str]:
        """The modules that give maps of a new size, as timm lists them."""
        known = {name for name, _ in self.named_modules()}
        listed = [str(stage.get("module", "")) for stage in _stages(self)]
        return [name for name in listed if name in known]

    @property
    def first_layer(self) -> str | None:
        """The convolution that sees the pixels, where timm names one."""
        named = cast(Any, self).pretrained_cfg.get("first_conv")
        return named if isinstance(named, str) else None

    def clear_head(self) -> None:
        """Set a new head on pretrained features to zero: timm's own start is for training from nothing, and the noise
        in it outlasts the few steps of a head.
        """
        for parameter in cast(Any, self).get_classifier().parameters():
            nn.init.zeros_(parameter)

    def fitted(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Weights of this architecture, also under old names or for another image size, as this network takes them.

        What timm's own reading of checkpoints does.
        """
        ours = [base for base in type(self).__mro__ if base.__module__.startswith("timm.")]
        change = getattr(inspect.getmodule(ours[0]), "checkpoint_filter_fn", None)
        if change is None:
            return dict(weights)
        takes = len(inspect.signature(change).parameters)
        return dict(change(dict(weights), self) if takes > 1 else change(dict(weights)))


class TwoTokens(TimmNetwork):
    """DeiT's two heads, each with a token of its own: the mean of both their logits."""

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Tokens (B, N, D) -> logits (B, K), or with pre_logits class and distillation token, (B, 2, D)."""
        pooled = x[:, :2]  # (B, N, D) -> (B, 2, D)
        return pooled if pre_logits else self.get_classifier()(pooled)

    def get_classifier(self) -> nn.Module:
        """Both heads: the two tokens (B, 2, D) -> logits (B, K)."""
        return DistilledHead(cast(Any, self).head, cast(Any, self).head_dist)


class MeanHead(nn.Module):
    """Two heads that read the same features: the mean of their logits."""

    def __init__(self, head: nn.Module, head_dist: nn.Module) -> None:
        super().__init__()
        self.head = head
        self.head_dist = head_dist

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, D) -> logits (B, K)."""
        return (self.head(x) + self.head_dist(x)) / 2


class TwoHeads(TimmNetwork):
    """Two heads on the same features, as LeViT has them."""

    def get_classifier(self) -> nn.Module:
        """Both heads: features (B, D) -> logits (B, K)."""
        return MeanHead(cast(Any, self).head, cast(Any, self).head_dist)


def build(name: str, sizes: Sizes) -> nn.Module:
    """The network with random weights. sizes: of the class that `sizes_of(name)` gives.

    Raises UsageError for a value that timm refuses.
    """
    told = arguments(name, sizes)
    try:
        network = _library().create_model(architecture(name), **told)
    except (AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise UsageError(f"Model '{name}': timm refuses {_told(told)}: {_reason(error)}") from error
    return _speaking(network, sizes)


def arguments(name: str, sizes: Sizes) -> dict[str, Any]:
    """The arguments of timm's create_model with which it builds the network of these sizes."""
    given = {key: value for key, value in sizes.model_dump().items() if value is not None and key not in FROM_DATA}
    fixed: dict[str, Any] = {"num_classes": sizes.num_classes, "in_chans": sizes.in_chans}
    if "img_size" in _parameters(_constructor(name)):
        fixed["img_size"] = sizes.img_size
    return fixed | given


def sizes_of(name: str) -> type[Sizes]:
    """What can be set of a network of timm's: the parameters of its constructor that a setting can spell."""
    return _sizes_of(architecture(name))


def architecture(name: str) -> str:
    """timm's name, without the scheme. Raises UsageError where timm has none of this name, with the nearest."""
    library, wanted = _library(), name.removeprefix(SCHEME)
    if not library.is_model(wanted):
        known = library.list_models()
        hint = nearest(wanted.partition(".")[0], known)
        raise UsageError(f"Model '{name}': timm {library.__version__} has no network '{wanted}'.{hint}")
    return wanted


def pretrained_cfg(name: str) -> dict[str, Any]:
    """What timm says of the pictures that a network's published weights were trained on: input_size, mean, std ..."""
    with torch.device("meta"):
        return dict(_library().create_model(architecture(name)).pretrained_cfg)


@cache
def _sizes_of(name: str) -> type[Sizes]:
    fields: dict[str, Any] = {}
    for key, kind in _parameters(_constructor(name)).items():
        if key not in (*FROM_DATA, *INTERNAL) and kind is not None:
            fields[key] = (kind | None, Field(default=None, description=f"Of timm's {name}; its own unless given."))
    return create_model("TimmSizes", __base__=Sizes, **fields)


@cache
def _library() -> Any:
    """timm. Raises MissingError where it is not installed, or torchvision beside it cannot be imported."""
    operators.stand_in()
    try:
        import timm
    except ModuleNotFoundError as error:
        raise missing_extra(error) or MissingError(f"timm cannot be imported: {error}.") from error
    except (ImportError, RuntimeError, AttributeError) as error:
        raise MissingError(f"timm cannot be imported with {operators.pair()}: {_reason(error)}") from error
    return timm


@cache
def _constructor(name: str) -> type[nn.Module]:
    """The class of a network; it is put together without memory for its weights."""
    with torch.device("meta"):
        return type(_library().create_model(name.removeprefix(SCHEME)))


def _parameters(network: type[nn.Module]) -> dict[str, Any]:
    """Names of a constructor's parameters with the type of a setting; None for those that no setting can spell.

    A constructor that hands on what it does not know has those of its base class too.
    """
    found: dict[str, Any] = {}
    for base in network.__mro__[:-1]:
        if "__init__" not in vars(base):
            continue
        parameters = [*inspect.signature(base.__init__).parameters.values()][1:]  # type: ignore[misc]
        hints = _hints(base)
        for each in parameters:
            if each.kind not in VARIABLE:
                told = hints.get(each.name, None if each.default is None else type(each.default))
                found.setdefault(each.name, _plain(told))
        if not any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters):
            break
    return found


def _hints(network: type[nn.Module]) -> dict[str, Any]:
    """The types written in a constructor, {} where one of them cannot be found."""
    try:
        return get_type_hints(network.__init__)
    except (NameError, TypeError):
        return {}


def _plain(hint: Any) -> Any:
    """A type that a setting can have: numbers, text, several of them; None where there is none in it."""
    if hint in (int, float, bool, str):
        return hint
    origin, parts = get_origin(hint), [part for part in get_args(hint) if part not in (type(None), Ellipsis)]
    if origin is Literal:
        return hint
    kinds = [kind for part in parts if (kind := _plain(part)) is not None]
    if origin in (Union, types.UnionType) and kinds:
        return Union[tuple(kinds)]  # noqa: UP007  (of a tuple)
    if origin in (tuple, list, Sequence) and len(kinds) == len(parts) and kinds and {*kinds} <= {int, float, bool, str}:
        return tuple[kinds[0], ...]  # type: ignore[valid-type]
    return None


def _speaking(network: nn.Module, sizes: Sizes) -> nn.Module:
    """The same network, which speaks the protocol too."""
    own = type(network)
    tokens = any(base.__name__ == "VisionTransformerDistilled" for base in own.__mro__)
    base = TwoTokens if tokens else TwoHeads if hasattr(network, "head_dist") else TimmNetwork
    network.__class__ = type(own.__name__, (base, own), {"__module__": own.__module__})
    network.sizes = cast(Any, sizes)
    return network


def _parts(network: TimmNetwork) -> tuple[list[str], set[str]]:
    """Names of the blocks, in order, and of the parameters of the stem, by the patterns of timm's group_matcher."""
    for coarse in (False, True):
        matcher = cast(Any, network).group_matcher(coarse=coarse)
        patterns = matcher["blocks"] if isinstance(matcher["blocks"], list | tuple) else [(matcher["blocks"], None)]
        stem_patterns = matcher.get("stem") or r"$^"
        stems = [stem_patterns] if isinstance(stem_patterns, str) else [each for each, _ in stem_patterns]
        classifier = {id(each) for each in cast(Any, network).get_classifier().parameters()}
        names = [name for name, each in network.named_parameters() if id(each) not in classifier]
        stem = {name for name in names if any(re.match(each, name) for each in stems)}
        starts = [each for each, suffix in patterns if suffix != PREVIOUS]
        found: dict[str, None] = {}
        for name in names:
            block = next((match[0] for each in starts if (match := re.match(each, name))), None)
            if block is not None and name not in stem:
                found[_module_of(block, name)] = None
        blocks = list(found)
        if not any(one != other and one.startswith(f"{other}.") for one in blocks for other in blocks):
            return blocks, stem
    return [], set()


def _module_of(start: str, parameter: str) -> str:
    """The module that a pattern has matched the start of: 'blocks.1' of 'blocks.1' or 'blocks.1.', whole words."""
    rest = parameter[len(start) :]
    word = "" if start.endswith(".") else re.match(r"[^.]*", rest)[0]  # type: ignore[index]
    return (start + word).rstrip(".")


def _last_maps(network: TimmNetwork) -> str | None:
    """The last module with weights that gives what `forward_features` gives; None where that is no map."""
    given: dict[str, Tensor] = {}

    def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, Tensor) and next(module.parameters(), None) is not None:
                given[name] = output.clone()  # an activation in place comes after it

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in network.named_modules() if name]
    training = {module: module.training for module in network.modules()}
    try:
        with torch.no_grad():
            features = cast(Any, network.eval()).forward_features(_noise(network))
    finally:
        for handle in handles:
            handle.remove()
        for module, was in training.items():
            module.training = was
    if not isinstance(features, Tensor) or features.ndim != 4:
        return None
    same = [name for name, output in given.items() if output.shape == features.shape and output.equal(features)]
    return same[-1] if same else None


def _noise(network: TimmNetwork) -> Tensor:
    """An image of the network's size, (1, C, H, W), the same each time."""
    shape = (1, network.sizes.in_chans, network.sizes.img_size, network.sizes.img_size)
    drawn = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return drawn.to(next(network.parameters()).device)


def _stages(network: nn.Module) -> list[dict[str, Any]]:
    info = getattr(network, "feature_info", None) or []
    return list(getattr(info, "info", info))


def _told(sizes: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in sizes.items())


def _reason(error: BaseException) -> str:
    """The first line of what went wrong, as the end of a sentence."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text if text.endswith(".") else f"{text}."
