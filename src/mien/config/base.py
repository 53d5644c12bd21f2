"""What every group of settings is, and how it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from mien.errors import SettingError, nearest


class Settings(BaseModel):
    """Settings that cannot change. Raises SettingError for an unknown one, with the nearest, and for a wrong value."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    if not TYPE_CHECKING:  # to an editor, the settings are the arguments

        def __init__(self, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise refusal(type(self), error) from None

    @model_validator(mode="before")
    @classmethod
    def _null(cls, values: Any) -> Any:
        """Read the null that a flag gives as text, of settings that may be None."""
        if not isinstance(values, Mapping):
            return values
        nulls = [key for key, value in values.items() if isinstance(value, str | list) and value in ("null", ["null"])]
        return {**values, **{key: None for key in nulls if _may_be_none(cls, key)}}

    def with_(self, **values: Any) -> Self:
        """Return the same with some settings changed. Raises SettingError as a new one would."""
        return type(self)(**{**dict(self), **values})


def _may_be_none(kind: type[BaseModel], key: str) -> bool:
    field = kind.model_fields.get(key)
    return field is not None and field.default is None


def refusal(kind: type[BaseModel], error: ValidationError) -> SettingError:
    """pydantic's findings in our words, settings named from the recipe on: train.lr, also where `kind` is Train."""
    section = [] if kind.__name__ == "Recipe" else [kind.__name__.lower()]
    return SettingError([_problem(kind, section, found) for found in error.errors()])


def _problem(kind: type[BaseModel], section: list[str], found: Any) -> tuple[str, str]:
    path = [str(part) for part in found["loc"]]
    key = ".".join(section + path)
    if found["type"] != "extra_forbidden":
        return key, f"{found['msg'].removeprefix('Value error, ')}, given {found['input']!r}."
    for part in path[:-1]:
        kind = kind.model_fields[part].annotation  # type: ignore[assignment]
    known = list(kind.model_fields)
    return "", f"Unknown key '{key}'.{nearest(path[-1], known)} Known here: {', '.join(known)}."
