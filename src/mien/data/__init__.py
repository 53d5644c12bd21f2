"""Files -> a Store, and a Store -> the splits a recipe asks for."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from mien import labels, media, plugins
from mien.cache import cache_folder
from mien.config import Data
from mien.data import archives, shards, splits
from mien.data.decode import build, unreadable
from mien.data.hub_data import local
from mien.data.layouts import laid_out, sub_folders
from mien.data.listing import SPLITS, Listing, existing, file_stamp, signature
from mien.data.sources import affectnet, dogs_vs_cats, ferplus, raf_db, tiny_imagenet
from mien.data.store import Store
from mien.data.store_folder import META, load, read_meta, verify
from mien.data.text_table import header_of
from mien.drafts import alone, clear
from mien.errors import DataError, MissingError, UsageError
from mien.pictures import odd_kind
from mien.preprocessing import DECODING, Preprocessing
from mien.progress import note

__all__ = ["Store", "check", "guess_source", "listed", "open_store", "prepare", "preprocessing_of", "verify"]


def preprocessing_of(data: Data) -> Preprocessing:
    """The Preprocessing that a recipe's data section describes."""
    values: dict[str, Any] = {name: getattr(data, name) for name in DECODING}
    values["interpolation"] = data.interpolation or Preprocessing.interpolation
    mean, std = (0.5 if each is None else each for each in (data.mean, data.std))
    return Preprocessing(**values, mean=mean, std=std)


def check(data: Data) -> None:
    """Raise what is wrong with a data section at first sight, before anything slow is imported or read.

    MissingError for a path that is not there, UsageError for a mean or std that does not fit the channels, or a
    reader that cannot be imported.
    """
    preprocessing_of(data)
    _reader(data.source)
    if data.source != "drawn_faces":
        existing(data.path and local(data.path), f"the data ({data.source})")


def open_store(data: Data) -> Store:
    """The store of a recipe: prepared if need be, split, and cleaned as the recipe asks.

    Images that are left out (blank, leaked, not in train_fraction) belong to no split.
    """
    store = prepare(data)
    if told := media.told(store.left_out):
        _say_once(f"{data.path}: left out are {told}.")
    return splits.apply(store if data.soft_labels else replace(store, soft_labels=None), data)


def prepare(data: Data, out: Path | None = None) -> Store:
    """Decode a recipe's images into a store, or reuse the one in the cache when the source is unchanged.

    A stored set that lacks unreadable images serves again only where the recipe says skip_bad.
    """
    listing = listed(data)
    for text in listing.notes:
        _say_once(f"{data.path}: {text}")
    preprocessing = preprocessing_of(data)
    key = signature([listing.signature, repr(preprocessing.decoding), *listing.classes])
    place = out or cache_folder() / f"{data.source.replace(':', '.')}-{key[:16]}"
    clear(place.parent)
    store = _reopened(place, listing, preprocessing)
    if store is None:
        with alone(place):  # of several processes one decodes
            store = _reopened(place, listing, preprocessing)
            if store is None:
                size = len(listing) * data.channels * data.size**2
                note(f"Decoding {len(listing):,} images into {place} ({size / 1e6:,.0f} MB)")
                elsewhere = "`out`" if out else "the environment variable MIEN_CACHE"
                return build(listing, preprocessing, place, skip_bad=data.skip_bad, elsewhere=elsewhere)
    if store.unreadable and not data.skip_bad:
        raise unreadable(next(iter(store.unreadable.values())))
    return store


def guess_source(path: Path, encoding: str | None = None) -> str:
    """Which reader a path needs: a known data set's layout, shards, a CSV of pixels, a table of paths,
    any folder or archive of one."""
    path = local(path)
    if shards.are_parquet(path):
        return "parquet"
    if shards.are_samples(path):
        return "webdataset"
    if archives.has_pictures(path):
        return _expressions_or_any(archives.tree(path))
    if path.is_file():
        header = header_of(path, encoding)
        return "fer2013" if "pixels" in header else "ferplus" if {"image name", "nf"} <= set(header) else "table"
    if path.is_dir():
        for source in (tiny_imagenet, dogs_vs_cats, ferplus, raf_db, affectnet):
            if source.recognises(path):
                return source.__name__.rpartition(".")[2]
        return _expressions_or_any(path)
    if path.exists():
        raise MissingError(f"{path} is {odd_kind(path)}; a file or a folder is needed.")
    raise MissingError(f"{path}: there is no such file or folder.")


def _expressions_or_any(folder: Path) -> str:
    names = {labels.folded(child.name) for child in sub_folders(laid_out(folder).train)}
    return "fer2013" if names == set(labels.FER2013) else "folder"


def _reopened(place: Path, listing: Listing, preprocessing: Preprocessing) -> Store | None:
    """The store in `place` if it was made from this source in this way and is whole, else None."""
    meta = read_meta(place)
    if not meta and (place / META).is_file():
        _say_once(f"The store {place} is damaged, or of another version of mien. It is prepared anew.")
    if (meta.get("signature"), meta.get("classes")) != (listing.signature, list(listing.classes)):
        return None
    try:
        store = load(place)
    except (DataError, MissingError) as error:
        _say_once(f"{error} It is prepared anew.")
        return None
    if store.preprocessing.decoding != preprocessing.decoding:
        return None
    return replace(store, preprocessing=preprocessing, left_out=dict(listing.left_out))


def listed(data: Data) -> Listing:
    """The images that a recipe's source has, none of them decoded yet."""
    read = _reader(data.source)
    drawn = data.source == "drawn_faces"
    place = data.path and local(data.path)
    how = (data.images, data.size, data.split_seed, data.clutter) if drawn else (place, *_encoding(data, read))
    listing: Listing = read(*how)
    if ":" in data.source:
        _refuse_misfit(listing, data.source)
        of_reader = file_stamp(Path(inspect.getfile(read)))  # a reader that was changed may read the same files anew
        listing = replace(listing, signature=signature([listing.signature, of_reader]))
    if data.encoding:
        listing = replace(listing, signature=signature([listing.signature, data.encoding]))
    return listing.without(data.without) if data.without else listing


def _encoding(data: Data, read: Callable[..., Any]) -> tuple[str, ...]:
    """What a reader of text gets beside the path."""
    if not data.encoding:
        return ()
    if "encoding" not in inspect.signature(read).parameters:
        raise UsageError(f"`data.encoding` {data.encoding}: the source {data.source} reads no text. Leave it out.")
    return (data.encoding,)


@cache
def _say_once(text: str) -> None:
    """Say a line once in a process: a run opens its data several times."""
    note(text)


def _reader(source: str) -> Callable[..., Any]:
    if not plugins.is_code(source):
        return plugins.load(f"mien.data.sources.{source}:read", f"Data source '{source}'")
    found = plugins.load(source, f"Data source '{source}'")
    if not _declares_a_reader(found):
        raise UsageError(
            f"Data source '{source}' does not say that it is a reader, so it is not called: its function returns a "
            "Listing, def read(path: Path) -> Listing, with Listing from mien.data.listing."
        )
    return found


def _declares_a_reader(found: Any) -> bool:
    """Whether this is a function whose return annotation is Listing; it is not called to find out."""
    try:
        return inspect.isfunction(found) and inspect.signature(found, eval_str=True).return_annotation is Listing
    except Exception:  # an annotation is any expression, and evaluating it may raise anything
        return False


def _refuse_misfit(listing: Any, source: str) -> None:
    """What a reader of the user's own gives must be a Listing whose parts belong together."""
    if not isinstance(listing, Listing):
        raise UsageError(f"Data source '{source}' gave a {type(listing).__name__}, not a mien.data.listing.Listing.")
    counts = {part: len(getattr(listing, part)) for part in ("names", "labels", "splits")}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{count} {part}" for part, count in counts.items())
        raise UsageError(f"Data source '{source}' gave {told}; each image has one of each.")
    if unknown := {*listing.splits} - {*SPLITS, ""}:
        raise UsageError(f"Data source '{source}': a split is {', '.join(SPLITS)} or '', not '{min(unknown)}'.")
    if wrong := {*listing.labels} - {*range(len(listing.classes))}:
        last = len(listing.classes) - 1
        raise UsageError(f"Data source '{source}': a label is the place of its class, 0 to {last}, not {min(wrong)!r}.")
