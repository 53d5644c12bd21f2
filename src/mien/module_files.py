"""The files that importing a module would run, found without importing it."""

from __future__ import annotations

import ast
import sysconfig
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

INSTALLED = ("site-packages", "dist-packages")


def module_files(module: str) -> list[Path]:
    """The module's own file, its packages' before it, and what these import that lies beside them, sorted.

    Beside them: in the folder where the module, or its outermost package, lies; of an installed one, in its package.
    Imports are read from the source, those within functions too; what is imported by other means (importlib, a path
    that is put together) is not seen. [] where the module is not to be found.
    """
    own = _own_files(module)
    if not own:
        return []
    outermost = own[0].parent.parent if own[0].name == "__init__.py" else own[0].parent
    within = own[0].parent if _is_installed(outermost) else outermost
    seen = dict.fromkeys(own)
    waiting = [] if _is_installed(within) else list(own)
    while waiting:
        for found in _imported(waiting.pop(), outermost):
            if found not in seen and found.is_relative_to(within):
                seen[found] = None
                waiting.append(found)
    return own + sorted(seen.keys() - set(own))


def _own_files(module: str) -> list[Path]:
    paths: list[str] | None = None
    files: list[Path] = []
    parts = module.split(".")
    for depth in range(len(parts)):
        spec = PathFinder.find_spec(".".join(parts[: depth + 1]), paths)
        if spec is None:
            return []
        if spec.has_location and spec.origin:
            files.append(Path(spec.origin).resolve())
        paths = list(spec.submodule_search_locations or [])
    return files


def _is_installed(folder: Path) -> bool:
    """Whether a folder holds what is installed, or Python's own modules: whoever could change these needs no name."""
    own = {Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return folder in own or folder.name in INSTALLED


def _imported(file: Path, outermost: Path) -> Iterator[Path]:
    """The files below `outermost` that a file's import statements name."""
    if file.suffix != ".py":
        return
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):  # which the import itself will say
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files_below(outermost, alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = file.parents[node.level - 1] if 0 < node.level <= len(file.parents) else outermost
            parts = node.module.split(".") if node.module else []
            for alias in node.names:
                yield from _files_below(base, [*parts, alias.name])


def _files_below(base: Path, parts: list[str]) -> Iterator[Path]:
    """a.py, or a/__init__.py and then b's of it, for the parts a, b."""
    for depth in range(len(parts) + 1):
        path = base.joinpath(*parts[:depth])
        for file in (path.with_name(f"{path.name}.py"), path / "__init__.py") if depth else (base / "__init__.py",):
            if file.is_file():
                yield file.resolve()
