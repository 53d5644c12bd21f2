"""`write_web_folder`: an exported network, the page, YuNet and onnxruntime-web as files for any static host.

The browser reads pictures as `mien.runtime.Reader` does; what it runs lies in `page/`. No torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from mien import drafts
from mien.assets import asset
from mien.atomic import put, share
from mien.errors import UsageError, require, unwritable
from mien.labels import has_expressions
from mien.page import page_files
from mien.runtime.any_size import any_size
from mien.runtime.faces import YUNET
from mien.runtime.network import Network, locate
from mien.serve.limits import Limits

OWN = Path(__file__).parent / "page"  # what of the page is the web folder's alone
RUNTIME = "onnxruntime_web"  # in assets; its README says where it comes from
OPSET = 22  # the newest of ONNX's own operators that it knows
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; base-uri 'none'; form-action 'none'"
)
LIMITS = {"body": Limits.body, "pixels": Limits.pixels}  # bytes of a file, pixels of a picture, as of `mien serve`
NETWORK, SETTINGS, OFFLINE = "model.onnx", "settings.json", "offline.js"


@dataclass(frozen=True)
class WebFolder:
    """A folder that was written: its place, its files and their sizes in bytes, the network's fingerprint."""

    path: Path
    files: dict[str, int]
    fingerprint: str

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())


def write_web_folder(
    model: str | Path, folder: str | Path, *, margin: float = 0.0, overwrite: bool = False
) -> WebFolder:
    """Write a folder that a static host, or `python -m http.server`, shows as a page which reads pictures itself.

    model: an exported file, or a network that comes with mien ('mien:tiny'). folder: where; an earlier web folder there
    is replaced where `overwrite` says so, anything else is refused. margin: what the network sees around a face, as a
    share of its side.
    Raises MissingError where there is no such network, DataError where the file is no export of mien's, UsageError for
    a folder that is in use, or a network that the page cannot run.
    """
    place = Path(os.path.expanduser(folder))
    refuse(place, margin, overwrite)
    real = place.resolve()  # where a link leads; the folder that one is in has a name there
    source = Path(locate(model))
    files = web_files(source, margin)
    fingerprint = (Network.open(source, threads=1).card or {})["fingerprint"]
    try:
        real.parent.mkdir(parents=True, exist_ok=True)
        with drafts.draft(real.parent, folder=True) as draft:
            new = draft / real.name
            for name, content in files.items():
                (new / name).parent.mkdir(parents=True, exist_ok=True)
                (new / name).write_bytes(content)
            share(new)
            with drafts.aside(real):
                put(new, real)
    except OSError as error:
        raise unwritable(place, error, "choose another folder for `web`") from error
    return WebFolder(place, {name: len(content) for name, content in files.items()}, fingerprint)


def refuse(folder: str | Path, margin: float, overwrite: bool) -> None:
    """Raise UsageError where a folder must not be written: it holds other things, or is not to be overwritten.

    Also for a margin that is none: both are known before a run is exported, which takes long.
    """
    if not 0 <= margin < float("inf"):
        raise UsageError(f"`margin` {margin}: give the share of a face's side that is shown around it, 0 or more.")
    folder = Path(os.path.expanduser(folder))
    drafts.clear(folder.parent)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    others = _others(folder)
    if others is None:
        raise UsageError(f"{folder} holds other things than a web folder. Choose another folder for `web`.")
    if others:
        raise UsageError(
            f"{folder / others[0]} is no part of a web folder, and would be lost. Move it away, or choose another "
            "folder for `web`."
        )
    if not overwrite:
        raise UsageError(f"{folder} exists. Choose another folder for `web`, or `overwrite` it.")


def _others(folder: Path) -> list[str] | None:
    """What lies in a web folder beside its own files; None where it is no web folder."""
    offline = folder / OFFLINE
    written = offline.read_text(encoding="utf-8", errors="replace") if offline.is_file() else ""
    found = re.search(r"^const FILES = ({[^}]*});", written, re.M)
    try:
        own = json.loads(found[1]) if found else None
    except (ValueError, RecursionError):  # another's file of this name
        own = None
    if own is None:
        return None
    entries = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    there = {path.relative_to(folder).as_posix() for path in entries}
    return sorted(there - own.keys() - {OFFLINE})


def web_files(model: Path, margin: float = 0.0) -> dict[str, bytes]:
    """All files of a web folder by their paths in it. Errors as of `write_web_folder`."""
    network = Network.open(model, threads=1)
    require("A web folder", "onnx")
    _refuse_unknown_operators(model)
    detects = has_expressions(network.labels)
    files = page_files(OWN) | {
        NETWORK: model.read_bytes(),
        SETTINGS: json.dumps({"detect": detects, "margin": margin, "limits": LIMITS}).encode(),
        **{f"onnxruntime/{name}": content for name, content in _runtime().items()},
    }
    if detects:
        files |= {
            "yunet/yunet.onnx": any_size(YUNET.read_bytes()),
            "yunet/LICENSE": YUNET.with_name("LICENSE").read_bytes(),
        }
    files["index.html"] = _with_policy(files["index.html"])
    hashes = {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files) if name != OFFLINE}
    files[OFFLINE] = _replaced(files[OFFLINE], b"const FILES = {};", f"const FILES = {json.dumps(hashes)};".encode())
    return dict(sorted(files.items()))


def _runtime() -> dict[str, bytes]:
    """onnxruntime-web; its modules end in .js here, as many hosts do not know .mjs for JavaScript."""
    folder = asset(RUNTIME, "")
    return {
        file.name.replace(".mjs", ".js"): file.read_bytes()
        for file in folder.iterdir()
        if file.suffix in (".mjs", ".gz") or file.name == "LICENSE"
    }


def _refuse_unknown_operators(path: Path) -> None:
    import onnx

    for used in onnx.load(path, load_external_data=False).opset_import:
        if used.domain in ("", "ai.onnx") and used.version > OPSET:
            raise UsageError(
                f"{path} needs version {used.version} of ONNX's operators, and the browser's onnxruntime knows {OPSET} "
                f"at most. Write it with opset {OPSET} or lower."
            )


def _with_policy(page: bytes) -> bytes:
    """The page with its policy in itself, as a static host may send no headers: nothing is loaded from elsewhere."""
    charset = b'<meta charset="utf-8">'
    return _replaced(
        page, charset, charset + f'\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">'.encode()
    )


def _replaced(content: bytes, old: bytes, new: bytes) -> bytes:
    assert content.count(old) == 1, old
    return content.replace(old, new)
