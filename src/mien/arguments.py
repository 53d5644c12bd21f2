"""What the verbs of `mien.api` take: places, settings and names, and what is said where an extra is not installed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeAlias, TypeVar

from mien import plugins
from mien.errors import UsageError, missing_extra
from mien.runs import RunFolder, is_run

Place: TypeAlias = Mapping[str, Any] | str | Path
Source: TypeAlias = str | Path | RunFolder

P = ParamSpec("P")
T = TypeVar("T")


def verb(function: Callable[P, T]) -> Callable[P, T]:
    """Say which extra to install where a verb needs a package that is not there."""

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except ModuleNotFoundError as error:
            raise missing_extra(error) or error from error

    return called


@contextmanager
def reading(
    allow_code: Sequence[str] = (), data: Place | None = None, init: str | Path | None = None,
    teachers: Sequence[str | Path] = (),
) -> Iterator[None]:  # fmt: skip
    """Within it files may bring these names of code, and images and networks of runs lie where these say."""
    from mien.runs.data import lying_at

    place = None if data is None else settings_of(data)
    if place is not None and place.keys() != {"path"}:
        raise UsageError(
            "A run has its own data settings; say only where its images lie now: {'path': FOLDER}, not "
            f"{dict(place)}."
        )
    images, start = Path(place["path"]) if place else None, None if init is None else str(init)
    with plugins.allowing(allow_code), lying_at(images, init=start, teachers=several(teachers)):
        yield


def settings_of(data: Place) -> Mapping[str, Any]:
    """Settings of a data section; a path alone says where the images lie."""
    return {"path": data} if isinstance(data, str | Path) else data


def file_of(path: str | Path | None) -> Path | None:
    """The path, with ~ read as the home folder, but for a name such as ~draft.onnx; None where there is none."""
    return None if path is None else Path(os.path.expanduser(path))


def several(values: str | Path | Sequence[str | Path]) -> list[str]:
    """Values as texts; a text alone is one of them, and not its letters."""
    return [str(values)] if isinstance(values, str | Path) else list(map(str, values))


def place_of(source: Source) -> Any:
    """The place of a run; a path, or a name such as mien:base, as it is."""
    if isinstance(source, RunFolder):
        return source.path
    text = str(source)
    return text if text.startswith(("mien:", "hf-hub:", "timm:")) else Path(os.path.expanduser(source))


def run_place(source: Source, verb_: str) -> Path:
    """The place of a run. Raises UsageError for a network alone, which has no recipe, curves or data of its own."""
    place = place_of(source)
    if is_network(place):
        raise UsageError(f"{place} is a network and no run: `{verb_}` takes runs, as folders or as `mien.Run`.")
    return Path(place)


def is_network(place: str | Path) -> bool:
    """Whether a place that `place_of` gives is an export, or a network known by its name."""
    from mien.runtime.network import is_export

    return isinstance(place, str) or (is_export(place) and not is_run(place))


EXPORTED = {
    "out": None,
    "weights": "fp16",
    "error_rate": 0.2,
    "coverage": 0.9,
    "outliers": True,
}  # where nothing is said
ON_THE_WEB = {"margin": 0.0, "overwrite": False}


def is_exported(place: str | Path, web: str | Path | None, **options: Any) -> bool:
    """Whether a web folder is to be made of a file that is exported already. options: all others of `mien.export`.

    Raises UsageError for options that would say nothing.
    """
    exported = web is not None and is_network(place)
    for name, default in (EXPORTED if exported else {} if web is not None else ON_THE_WEB).items():
        if options[name] != default:
            raise UsageError(
                f"{place} is exported already, so `{name}` says nothing: leave it out, or give the run."
                if exported
                else f"`{name}` is of a web folder. Say where it is to be written: `web`."
            )
    return exported
