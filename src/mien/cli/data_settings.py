"""The data section that `mien data` and other verbs take as flags, and which data a path means."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from pydantic import Field

from mien import config
from mien.config import Settings
from mien.errors import UsageError


class DataSettings(Settings):
    """The data section of a recipe, for the `mien data` commands."""

    data: config.Data = Field(default_factory=config.Data)


DataSettable = Annotated[DataSettings | None, Parameter(name="*", show_default=False)]


def data_of(path: Path, settings: DataSettings | None) -> tuple[config.Data, str | None]:
    """The data section of a path, and the network of its own that it has as a run."""
    from mien.evaluate.embedding import of_run
    from mien.runs import is_run
    from mien.runs.data import lying_at

    if not is_run(path):
        return settings_of(path, settings), None
    given = settings.data.model_dump(exclude_unset=True) if settings else {}
    if given.keys() - {"path"}:
        raise UsageError(f"{path} is a run: its data settings are its own. Say only where its images lie: --data.path.")
    with lying_at(given.get("path")):
        return of_run(path), str(path)


def settings_of(path: Path, settings: DataSettings | None) -> config.Data:
    """The data section for a path: flags over the environment, the source guessed where none is named."""
    from mien.data import guess_source

    given = settings.data.model_dump(exclude_unset=True) if settings else {}
    given = config.merge(config.from_environment().get("data", {}), given)
    source = given.get("source") or guess_source(path, given.get("encoding"))
    return config.build({"data": {**given, "path": path, "source": source}}).data
