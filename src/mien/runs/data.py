"""The images of a run: where they lie now, and whether they are still those that it learned from.

A run knows its images by their content (data.npz), so folder and images may both be moved. `lying_at` says where the
images lie now.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mien import config
from mien.atomic import read_arrays, write_arrays
from mien.config import Recipe
from mien.data import Store, open_store
from mien.data.hub_data import is_on_hub
from mien.data.listing import SPLITS
from mien.data.store import sha256_of
from mien.errors import MissingError, UsageError
from mien.runs import layout, manifest
from mien.runs.folder import read_env, read_recipe

VARIABLE = "MIEN_DATA__PATH"

_place: ContextVar[Path | None] = ContextVar("place", default=None)
_networks: ContextVar[tuple[str | None, tuple[str, ...]]] = ContextVar("networks", default=(None, ()))


class OtherImagesError(UsageError):
    """The images of a run are no longer those that it was trained on."""


@contextmanager
def lying_at(path: Path | None, *, init: str | None = None, teachers: Sequence[str] = ()) -> Iterator[None]:
    """Within it the images of runs are looked for in `path`; None: where each run's recipe says.

    init, teachers: where the networks lie that a run goes on to start and to learn from.
    """
    token, networks = _place.set(path), _networks.set((init, tuple(teachers)))
    try:
        yield
    finally:
        _place.reset(token)
        _networks.reset(networks)


def anchored(recipe: Recipe) -> Recipe:
    """The recipe with its relative paths made absolute, so that its run can be used from any folder."""
    changes: dict[str, dict[str, object]] = {}
    if recipe.data.path is not None and not is_on_hub(recipe.data.path):
        changes["data"] = {"path": _absolute(recipe.data.path)}
    if (checkpoint := recipe.model.checkpoint) is not None and Path(checkpoint).exists():
        changes["model"] = {"init": str(_absolute(Path(checkpoint)))}
    if recipe.distill.teachers:
        teachers = (_absolute(Path(each)) if Path(each).exists() else each for each in recipe.distill.teachers)
        changes["distill"] = {"teachers": tuple(map(str, teachers))}
    # One layer: laid over the recipe, a checkpoint would leave behind the sizes that the recipe has from it.
    return config.build(config.merge(recipe.model_dump(), changes))


def moved(recipe: Recipe) -> Recipe:
    """The recipe with the places where its images and networks lie now. Raises UsageError for what it has not."""
    recipe = _with_networks(recipe, *_networks.get())
    if recipe.data.source == "drawn_faces":
        if _place.get() is not None:
            raise UsageError("A run on drawn faces: its images are drawn, so they lie nowhere. Leave `data.path` out.")
        return recipe
    named = _place.get() or _place_of_variable()
    return recipe if named is None else recipe.with_(data={"path": _absolute(named)})


def _with_networks(recipe: Recipe, init: str | None, teachers: Sequence[str]) -> Recipe:
    changes: dict[str, dict[str, object]] = {}
    if init:
        if recipe.model.init is None:
            raise UsageError("The run started from random weights. Leave `model.init` out.")
        changes["model"] = {"init": init}
    if teachers:
        if len(teachers) != len(recipe.distill.teachers):
            raise UsageError(
                f"The run has {len(recipe.distill.teachers)} teachers, given {len(teachers)}: name where each lies "
                "now, in their order, with `distill.teachers`."
            )
        changes["distill"] = {"teachers": tuple(teachers)}
    return config.build(config.merge(recipe.model_dump(), changes)) if changes else recipe


def refuse_missing(run: Path, source: str, setting: str) -> None:
    """Raise MissingError for a network that a run needs and that is no longer where its recipe says."""
    if os.path.isabs(source) and not os.path.exists(source):
        raise MissingError(f"{run} needs the network that lay at {source}. Say where it lies now: `{setting}`.")


def _place_of_variable() -> Path | None:
    return Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None


def _named_by_variable() -> str:
    """What an error adds to a place that only the environment names."""
    return f" ({VARIABLE} names that place)" if _place.get() is None and _place_of_variable() else ""


def open_data(run: Path, recipe: Recipe | None = None) -> Store:
    """Open the images of a run, or of the recipe with which it goes on.

    Raises MissingError when they are not where the run or `lying_at` says, OtherImagesError when they are others.
    """
    recipe = moved(recipe or read_recipe(run))
    path = recipe.data.path
    if path is not None and not is_on_hub(path) and not path.exists():
        named = _place.get() or _place_of_variable()
        what = (
            f"there is nothing at {path}{_named_by_variable()}" if named else f"its images are not at {path} any more"
        )
        raise MissingError(f"{run}: {what}. Say where they lie now: `data={{'path': FOLDER}}`.")
    store = open_store(recipe.data)
    refuse_other_images(run, store)
    return store


def refuse_other_images(run: Path, store: Store) -> None:
    """Raise OtherImagesError when the store is not the one the run was trained on.

    Pictures added or removed since would change the held-out share, and mix training images into it.
    """
    if not store.matches(read_env(run).store.fingerprint or store.fingerprint):
        known = Images.of(run)
        how = f": {known.compared_with(store)}" if known else ""
        raise OtherImagesError(
            f"{run} was trained on other images than its data now holds{_named_by_variable()}{how}. Bring the old ones "
            "back, or start a new run."
        )


@dataclass(frozen=True, eq=False)
class Images:
    """Which images a run learned from and was scored on. digests: (N,), of their pixels. splits: (N,), by position."""

    names: list[str]
    digests: np.ndarray
    splits: np.ndarray

    @classmethod
    def of(cls, run: Path) -> Images | None:
        """What a run noted; None of a run of mien 0.1, which noted none. Raises DataError for a damaged file."""
        path = manifest.check(run, layout.DATA)
        if not path.is_file():
            return None
        with read_arrays(path, f"`mien.resume({str(run)!r})`") as saved:
            digests = saved["digests"].view("V16")[:, 0]  # uint8 (N, 16) -> (N,)
            return cls([str(name) for name in saved["names"]], digests, saved["splits"])

    def content(self, split: str | None = None) -> str:
        """As `Store.content`: sha256 over the pixels of a split, or of all images, whatever their order and names."""
        chosen = self.digests if split is None else self.digests[self.splits == SPLITS.index(split)]
        return sha256_of(chosen)

    def compared_with(self, store: Store) -> str:
        """'3 added, 1 removed, 2 changed', or that only their splits or labels differ."""
        before = dict(zip(self.names, map(bytes, self.digests), strict=True))
        now = dict(zip(store.names, map(bytes, store.digests), strict=True))
        both = before.keys() & now.keys()
        counts = Counter(
            added=len(now.keys() - before.keys()),
            removed=len(before.keys() - now.keys()),
            changed=sum(before[name] != now[name] for name in both),
        )
        told = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
        return told or "the same pictures with other labels or splits"


def note_images(run: Path, store: Store) -> None:
    """Write which images a run learns from, before its first step."""
    with manifest.changing(run, layout.DATA):
        digests = np.asarray(store.digests).view(np.uint8).reshape(len(store), 16)  # (N,) -> (N, 16)
        write_arrays(
            run / layout.DATA, names=np.array(store.names, dtype=str), digests=digests, splits=np.asarray(store.splits)
        )


def _absolute(path: Path) -> Path:
    return path if is_on_hub(path) else Path(os.path.abspath(os.path.expanduser(path)))
