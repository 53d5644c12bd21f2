"""Which network, and its sizes. The network declares them (see mien.models.sizes); none is known here by its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, create_model, field_validator, model_validator
from pydantic.fields import FieldInfo

from mien.config.base import Settings
from mien.models import DEFAULT, list_models, sizes_of
from mien.models.sizes import FROM_DATA

# Sizes that a checkpoint leaves open; all others are its own.
FREE = ("head_hidden", "head_batch_norm", "head_drop_rate", "drop_rate", "drop_path_rate")


class Chosen(Settings):
    """A network by its name, and how its weights start: what is set of every network."""

    name: str = Field(
        default=DEFAULT,
        description=f"One of {', '.join(list_models())}; timm:NAME, any network of timm's; or MODULE:CLASS, a "
        "torch.nn.Module of your own, looked for where you start.",
    )
    init: str | None = Field(
        default=None,
        description="Initialisation (the network's docstring names them), or a checkpoint to start from: a run, a "
        "file, a folder, mien:NAME (one that comes with mien), pip:NAME (an installed package that holds weights), "
        "hf-hub:OWNER/NAME. null is the network's own initialisation, where a recipe names another.",
    )

    @property
    def checkpoint(self) -> str | None:
        """The checkpoint to start from, None where `init` is the name of an initialisation."""
        named = self.init is None or re.fullmatch(r"\w+", self.init)
        return None if named else self.init

    @field_validator("*", mode="before")
    @classmethod
    def _with_commas(cls, value: Any, info: ValidationInfo) -> Any:
        """Several numbers may come as text: '16,32,48'."""
        takes_several = "tuple" in str(cls.model_fields[str(info.field_name)].annotation)
        if not takes_several or not isinstance(value, list | tuple | str):
            return value
        text = str(value)  # also of what the command line has read already, such as [[8, 16, 24]]
        return tuple(re.findall(r"[^\s,'\"\[\]()]+", text))


class Model(Chosen):
    """A network by its name in mien.models, and its sizes, in timm's words: `Model(name="vit", depth=4)`.

    A size that is None, or not given, is the network's own default. A size that the network does not have is an error;
    of an own network, whose code no setting imports, it is one once the network is built.
    """

    model_config = ConfigDict(extra="allow")

    if TYPE_CHECKING:

        def __init__(self, *, name: str = ..., init: str | None = ..., **sizes: Any) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _judged(cls, values: Any) -> Any:
        """Each size as its network takes it; those of ours that are not given are None."""
        if not isinstance(values, Mapping):
            return values
        name = values.get("name") or DEFAULT
        if name not in list_models():
            return {key: value for key, value in values.items() if value is not None}
        known = model_settings(name)
        others = _sizes_of_all() - known.model_fields.keys()
        given = {key: value for key, value in values.items() if value is not None or key not in others}
        return known.model_validate(given).model_dump()

    def sizes(self) -> dict[str, Any]:
        """The sizes that were set, as keyword arguments for `create_model`."""
        own = {key: value for key, value in (self.model_extra or {}).items() if value is not None}
        return own if self.init is None or self.checkpoint else {**own, "init": self.init}

    def settings(self) -> dict[str, FieldInfo]:
        """Everything that can be set, with default and description; of an own network, what was set."""
        if self.name in list_models():
            return dict(model_settings(self.name).model_fields)
        return {**Chosen.model_fields, **dict.fromkeys(self.model_extra or {}, FieldInfo(default=None))}


def model_settings(*networks: str) -> type[Chosen]:
    """What can be set of a network, as fields of one class: name, init and its sizes; of several, those of any.

    Raises UsageError for an unknown network, and where an own network, which is imported, cannot be.
    """
    return _settings(*(sizes_of(network) for network in networks or (DEFAULT,)))


@cache
def _settings(*declared: type[BaseModel]) -> type[Chosen]:
    fields: dict[str, Any] = {}
    for sizes in declared:
        for key, size in sizes.model_fields.items():
            if key not in (*FROM_DATA, *Chosen.model_fields, *fields):
                fields[key] = _optional(size)
    config = ConfigDict(arbitrary_types_allowed=True, protected_namespaces=())
    base = type("Model", (Chosen,), {"model_config": config, "__module__": __name__, "__doc__": Model.__doc__})
    return create_model("Model", __base__=base, **fields)


def _optional(size: FieldInfo) -> tuple[Any, Any]:
    """A size that need not be set, with the same bounds."""
    kind: Any = size.annotation | None  # type: ignore[operator]
    bounded = Annotated[(kind, *size.metadata)] if size.metadata else kind
    return bounded, Field(default=None, description=size.description)


@cache
def _sizes_of_all() -> frozenset[str]:
    """The sizes of all our networks: recipes of version 0.1.0 spell them all, null where they say nothing."""
    return frozenset(model_settings(*list_models()).model_fields)
