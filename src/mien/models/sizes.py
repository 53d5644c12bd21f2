"""What sizes a network has: declared once, with type, default, bounds and description, and read without torch.

A network of ours declares them in the file beside its own: `vit_sizes.VitSizes` belongs to `vit.VisionTransformer`. Of
somebody's own network they are the parameters of its constructor (see `of_constructor`).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from mien.errors import SettingError, nearest

VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Sizes(BaseModel):
    """What every network is built for: images of one size and a number of classes. Further sizes are timm's words.

    A network whose constructor takes one such object, `def __init__(self, sizes: MySizes)`, declares its sizes with it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    has_patches: ClassVar[bool] = False  # whether pretraining can mask them

    img_size: int = Field(default=48, ge=1, description="Side of the square images, in pixels.")
    in_chans: int = Field(default=1, ge=1, description="Channels of the images: 1 for grey, 3 for RGB.")
    num_classes: int = Field(default=7, ge=0, description="Classes to tell apart; 0 leaves the head out.")


FROM_DATA = tuple(Sizes.model_fields)  # the data decides these, nobody sets them


class HeadSizes(Sizes):
    """Of a network whose head may be a small MLP, see `parts.heads.make_head`."""

    head_hidden: tuple[int, ...] = Field(
        default=(), description="Widths of the head's hidden layers, such as 512,256; none is a linear head."
    )
    head_batch_norm: bool = Field(default=False, description="Batch norm in the head's hidden layers.")
    head_drop_rate: float = Field(
        default=0.0, ge=0, lt=1, description="Dropout probability after each of the head's hidden layers."
    )


class BlockSizes(HeadSizes):
    """Of a network that has transformer blocks, see `parts.blocks.Block`."""

    embed_dim: int = Field(default=192, ge=1, description="Width of a token.")
    depth: int = Field(default=6, ge=1, description="Number of transformer blocks.")
    num_heads: int = Field(default=3, ge=1, description="Attention heads; they divide embed_dim.")
    mlp_ratio: float = Field(default=4.0, gt=0, description="Hidden width of a block's MLP over embed_dim.")
    qkv_bias: bool = Field(default=True, description="Bias in the query, key and value projections.")
    drop_rate: float = Field(default=0.0, ge=0, lt=1, description="Dropout probability.")
    drop_path_rate: float = Field(default=0.0, ge=0, lt=1, description="Stochastic depth of the last block.")


def of_constructor(network: type, name: str) -> type[BaseModel]:
    """The sizes of somebody's own network: what its constructor takes, with the types and defaults written there.

    A constructor whose only parameter is a `Sizes` object has the sizes of that class. name: for the descriptions.
    """
    constructor = network.__init__  # type: ignore[misc]
    try:
        hints = get_type_hints(constructor)
    except (NameError, TypeError):  # a type that only a type checker imports: the values are taken as they come
        hints = {}
    parameters = list(inspect.signature(constructor).parameters.values())[1:]  # without self
    whole = hints.get(parameters[0].name) if len(parameters) == 1 else None
    if isinstance(whole, type) and issubclass(whole, Sizes):
        return whole
    takes_any = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters)
    fields: dict[str, Any] = {
        each.name: (
            hints.get(each.name, Any),
            Field(
                default=... if each.default is inspect.Parameter.empty else each.default,
                description=f"A size of {name}.",
            ),
        )
        for each in parameters
        if each.kind not in VARIABLE and not each.name.startswith("_")
    }
    settings = ConfigDict(
        frozen=True,
        extra="allow" if takes_any else "forbid",
        arbitrary_types_allowed=True,
        protected_namespaces=(),
    )
    return create_model(f"{network.__name__}Sizes", __config__=settings, **fields)


def judged(name: str, declared: type[BaseModel], given: Mapping[str, Any]) -> BaseModel:
    """The sizes of network `name`, each of its type. Raises UsageError for one that it does not have or refuses."""
    try:
        return declared.model_validate(dict(given))
    except ValidationError as error:
        raise SettingError([("", _said(name, declared, problem)) for problem in error.errors()]) from None


def _said(name: str, declared: type[BaseModel], problem: Any) -> str:
    size = ".".join(map(str, problem["loc"]))
    if problem["type"] == "extra_forbidden":
        known = list(declared.model_fields)
        return f"Model '{name}' has no size '{size}'.{nearest(size, known)} It has {', '.join(known)}."
    if problem["type"] == "literal_error":
        known = [str(value) for value in get_args(declared.model_fields[size].annotation)]
        given = problem["input"]
        return (
            f"Model '{name}': {size} '{given}' is not known; there are {', '.join(known)}.{nearest(str(given), known)}"
        )
    text = problem["msg"].removeprefix("Value error, ")
    return f"Model '{name}': {size} (={problem['input']!r}): {text}." if size else f"Model '{name}': {text}"
