"""Settings of another library's file: what changes an answer is honoured or refused, the rest is known or named."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from mien.errors import DataError
from mien.progress import note


@dataclass(frozen=True)
class Foreign:
    """One object of such a file. source: the checkpoint, file: the name of the file, within: the object's own key."""

    values: Mapping[str, Any]
    source: str
    file: str
    within: str = ""

    def part(self, key: str) -> Foreign:
        """The object under a key, {} where there is none. Raises DataError for what is no object."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, Mapping):
            self.refuse(key, "an object is needed")
        return Foreign(value or {}, self.source, self.file, f"{self.within}{key}.")

    def refuse(self, key: str, why: str) -> NoReturn:
        """Raise DataError: one sentence with key, value and file."""
        value = repr(self.values.get(key))
        shown = value if len(value) <= 80 else f"{value[:77]}..."
        raise DataError(f"{self.source}: {self.within}{key} in its {self.file} is {shown}; {why}.")

    def only(self, allowed: Mapping[str, tuple[Any, ...]], why: str) -> None:
        """Refuse each of these keys that has another value than those (or None, or none at all)."""
        for key, values in allowed.items():
            if (value := self.values.get(key)) is not None and value not in values:
                self.refuse(key, why)

    def number(self, key: str, default: float) -> float:
        """A number above 0."""
        value = self.values.get(key)
        if value is None:
            return default
        if not _is_number(value) or value <= 0:
            self.refuse(key, "a number above 0 is needed")
        return float(value)

    def switch(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            self.refuse(key, "true or false is needed")
        return default if value is None else bool(value)

    def side(self, key: str, default: int | None) -> int | None:
        """The side of a square: one number, two equal ones, or height and width, equal ones."""
        value = self.values.get(key)
        if isinstance(value, Mapping) and value.keys() == {"height", "width"}:
            value = list(value.values())
        if isinstance(value, list | tuple) and len(value) == 2 and value[0] == value[1]:
            value = value[0]
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            self.refuse(key, "mien's networks see squares, whose side is one whole number")
        return value

    def colours(self, key: str, default: tuple[float, ...]) -> tuple[float, ...]:
        """A number for each colour, or one for all."""
        value = self.values.get(key)
        if value is None:
            return default
        numbers = list(value) if isinstance(value, list | tuple) else [value]
        if len(numbers) not in (1, 3) or not all(_is_number(number) for number in numbers):
            self.refuse(key, "one number is needed, or three")
        if "std" in key and min(numbers) <= 0:
            self.refuse(key, "pixels are divided by it, so it must be above 0")
        return tuple(map(float, numbers))

    def same(self, key: str, found: Any) -> None:
        """Refuse a key that says something else than the weights do."""
        if (value := self.values.get(key)) is not None and value != found:
            self.refuse(key, f"the weights say {found}. One of the two files is another network's")

    def name_rest(self, known: Collection[str]) -> None:
        """Name the keys that nobody here knows: they may matter."""
        rest = sorted(key for key, value in self.values.items() if key not in known and value is not None)
        if rest:
            named = ", ".join(f"{self.within}{key} ({self.values[key]!r})"[:80] for key in rest[:5])
            more = f" and {len(rest) - 5} more" if len(rest) > 5 else ""
            note(f"{self.source}: what mien does not know in its {self.file} changes nothing here: {named}{more}.")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
