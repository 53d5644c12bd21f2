"""Code that a setting names as MODULE:NAME: an own model or an own reader of images.

A name is code. Typed on the command line, written in Python or in a recipe .py, it is the user's own word and counts.
A name that a file brings (a settings file, a run's recipe.yaml, a model's config.json, an export) may be a stranger's:
it is refused before anything is imported, unless the user allows it for one call (`allowing`) or has used it on this
machine before and its files are unchanged since (`remember`). So whatever reads a name from a file must pass it
through `refuse_foreign`; what reaches `load` may be imported.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from mien.cache import cache_folder
from mien.errors import DataError, MienError, UsageError, missing_extra, nearest

SCHEMES = ("mien", "hf-hub", "timm")  # mien:base and the like name no module
KNOWN = "own_code.json"  # in the cache folder: "names" {name: {file: sha256}}, and their own "sha256"

_allowed: ContextVar[frozenset[str]] = ContextVar("allowed", default=frozenset())
_used: set[str] = set()  # names that this process has imported on the user's word
_folder: str | None = None  # where modules are looked for beside sys.path


def is_code(name: Any) -> bool:
    """Whether a setting's value is MODULE:NAME, and not a name of mien's, a file or a scheme such as mien:base."""
    module, colon, attribute = name.partition(":") if isinstance(name, str) else ("", "", "")
    return bool(colon) and module not in SCHEMES and not attribute.startswith(("/", "\\"))


def load(place: str, what: str) -> Any:
    """Import what `place`, 'package.module:name', stands for; `what` is what an error calls it.

    Raises UsageError when it cannot be imported, MissingError when it needs a package of an extra that is not there.
    """
    module, _, name = place.partition(":")
    if module in SCHEMES or not re.fullmatch(r"\w+(\.\w+)*:\w+", place):
        raise UsageError(f"{what}: name an own one MODULE:NAME, such as mine:Model for the class Model in mine.py.")
    own = module.partition(".")[0] != "mien"
    if own and _folder is not None and _folder not in sys.path:
        sys.path.append(_folder)
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        missing = missing_extra(error) if isinstance(error, ModuleNotFoundError) else None
        raise missing or UsageError(
            f"{what} cannot be imported: {error}.{nearest(name, dir(sys.modules.get(module)))} A module is looked for "
            "in the folder where you start, and among what is installed."
        ) from error
    if own and place not in _allowed.get():
        _used.add(place)
        remember(place)
    return found


@contextmanager
def allowing(names: Iterable[str]) -> Iterator[None]:
    """Within it, files may bring these names, or one; afterwards they are refused again.

    Raises UsageError for what is no such name.
    """
    chosen = frozenset([names] if isinstance(names, str) else names)
    for name in chosen:
        if not is_code(name):
            raise UsageError(f"'{name}' names no code to allow: give MODULE:NAME, as the refusal spells it.")
    token = _allowed.set(_allowed.get() | chosen)
    try:
        yield
    finally:
        _allowed.reset(token)


def look_in(folder: str) -> None:
    """Look for modules in `folder` too, from the moment code is asked for: the command line's working folder."""
    global _folder
    _folder = folder


def refuse_foreign(name: Any, setting: str, source: str | Path) -> None:
    """Raise DataError for a name of code that a file brings, unless it may be imported. setting: what it is for.

    Nothing is imported to find out.
    """
    if not is_code(name) or name in _used or _is_remembered(name) or name in _allowed.get():
        return
    raise DataError(
        f"{source} names code: {setting} {name} would import the module '{name.partition(':')[0]}'. {_doubt(name)} "
        f"allow it for this call: `allow_code=[{name!r}]`"
        + (f" What you allowed is another name: {', '.join(sorted(_allowed.get()))}." if _allowed.get() else "")
    )


def _doubt(name: str) -> str:
    """Why a name is refused: its files changed since they were used here, or are not known."""
    known = _remembered().get(name)
    if isinstance(known, dict) and (
        changed := [file for file in known if _hashes([Path(file)]) != {file: known[file]}]
    ):
        return f"{changed[0]} has changed since it was used here. If the change is yours,"
    return "A file from elsewhere could run anything so. If you know this module and trust it,"


def remember(place: str) -> None:
    """Keep the hashes of a name's files in the user's cache, so that files made with it here go on working."""
    from mien.atomic import json_sha256, write_json
    from mien.locks import lock

    with suppress(OSError, MienError):  # a cache that cannot be written only means that the user is asked again
        if hashes := _hashes(_files(place)):
            cache_folder().mkdir(parents=True, exist_ok=True)
            handle = lock(cache_folder(), wait=True)  # another process may remember another name
            try:
                names = _remembered() | {place: hashes}
                write_json(cache_folder() / KNOWN, {"names": names, "sha256": json_sha256(names)})
            finally:
                if handle is not None:
                    os.close(handle)


def _is_remembered(place: str) -> bool:
    """Whether the user has used this name here and its files are as they were; they can be imported from now on."""
    hashes = _remembered().get(place)
    files = [Path(file) for file in hashes] if isinstance(hashes, dict) else []
    if not files or _hashes(files) != hashes:
        return False
    if there := _files(place):
        return there == files  # not another module of this name that comes first
    first = files[0]
    sys.path.append(str(first.parent.parent if first.name == "__init__.py" else first.parent))
    return True


def _remembered() -> dict[str, Any]:
    import json

    from mien.atomic import json_sha256

    with suppress(OSError, ValueError, RecursionError, MienError):
        known = json.loads((cache_folder() / KNOWN).read_text(encoding="utf-8"))
        if isinstance(known, dict) and known.get("sha256") == json_sha256(known.get("names")):
            return dict(known["names"])
    return {}  # damaged: the user is asked again


def _files(place: str) -> list[Path]:
    from mien.module_files import module_files

    return module_files(place.partition(":")[0])


def _hashes(files: Iterable[Path]) -> dict[str, str]:
    """{file: sha256}; {} when one cannot be read."""
    import hashlib

    try:
        return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    except OSError:
        return {}
