"""A run -> one commit on the Hugging Face hub: card, weights, settings and the sealed .onnx file, and nothing else.

No picture, no prediction and no path of this machine leaves it.
"""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from mien.atomic import put, share
from mien.data.hub_data import is_on_hub
from mien.drafts import draft
from mien.errors import MienError, UsageError, nearest, unwritable
from mien.export import TOLERANCE, difference_on_noise, export
from mien.hub import CARD, HUB, ID, missing_hub, upload
from mien.hub_card import readme
from mien.pretrained import Classifier, exchange
from mien.pretrained.own import from_run
from mien.pretrained.to_hf import PROCESSOR
from mien.progress import note, warn
from mien.runs import RunFolder, layout
from mien.runs.folder import refuse_headless, refuse_without_data
from mien.runtime.network import Network

FILES = (CARD, exchange.CONFIG, PROCESSOR, exchange.WEIGHTS, layout.EXPORT)
LICENCES = (
    "apache-2.0", "mit", "openrail", "bigscience-openrail-m", "creativeml-openrail-m", "bsd", "bsd-2-clause",
    "bsd-3-clause", "cc", "cc0-1.0", "cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0",
    "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-3.0",
    "cc-by-nc-sa-4.0", "agpl-3.0", "gpl", "gpl-2.0", "gpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0", "isc", "mpl-2.0",
    "unlicense", "wtfpl", "zlib", "unknown", "other",
)  # fmt: skip  # the hub's words; it may know more


@dataclass(frozen=True)
class Push:
    """What was pushed, or would be.

    repository: OWNER/NAME. address: of the repository, or the folder of a dry run. commit: its hash, '' of a dry run.
    files: names with their bytes. reader: a library that reads the weights besides mien: 'transformers', 'timm' or ''.
    """

    repository: str
    address: str
    commit: str
    files: dict[str, int]
    reader: str


def push(
    run: Path,
    repository: str,
    *,
    licence: str | None = None,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
    overwrite: bool = False,
    dry_run: Path | None = None,
) -> Push:
    """Put a finished run on the hub as one commit; see `mien.push`."""
    repository = _checked(repository)
    if dry_run is not None:
        _refuse_used(dry_run)
    refuse_headless(run)
    refuse_without_data(run)
    _require_hub()
    licence = _licence_of(RunFolder.open(run), licence)
    network = from_run(run)
    exported = _exported(run, network)
    with TemporaryDirectory() as place:
        folder = Path(place)
        reader = exchange.save(network, folder)
        shutil.copyfile(exported, folder / layout.EXPORT)
        (folder / CARD).write_text(_card(run, network, exported, repository, licence, reader, revision), "utf-8")
        files = {path.name: path for path in sorted(folder.iterdir())}
        sizes = {name: path.stat().st_size for name, path in files.items()}
        if dry_run is not None:
            return Push(repository, str(_laid_out(files, dry_run)), "", sizes, reader)
        done = upload(
            repository, files, own=FILES, message=message or f"Push {network.name} with mien", private=private,
            revision=revision, overwrite=overwrite,
        )  # fmt: skip
    return Push(repository, done.repo_url, done.oid, sizes, reader)


def _checked(repository: str) -> str:
    """OWNER/NAME, also where the scheme stands before it."""
    found = repository.removeprefix(HUB)
    if not ID.fullmatch(found) or ".." in found or "--" in found or found.endswith((".git", ".", "-")):
        name = re.sub(r"[^\w.-]+", "-", Path(found).name).strip("-.") or "NAME"
        raise UsageError(f"'{repository}' is no name of a repository: it is OWNER/NAME, such as jane/{name}.")
    return found


def _require_hub() -> None:
    try:
        import huggingface_hub  # noqa: F401
    except ModuleNotFoundError as error:
        raise missing_hub("Pushing to the Hugging Face hub") from error


def _licence_of(run: RunFolder, licence: str | None) -> str | None:
    """The hub's word for a licence. Raises UsageError for none, where the weights are another's."""
    if licence is None:
        if source := run.env.adopted:
            raise UsageError(
                f"{run.path} was adopted from {source}, so its maker says who may publish it and how. Look that up, "
                "and give the licence: `licence='apache-2.0'`"
            )
        warn("no licence is given, so the card says that nobody knows it. Give one: `licence='apache-2.0'`")
        return None
    wanted = licence.strip().lower().replace(" ", "-")
    if wanted not in LICENCES and (near := nearest(wanted, LICENCES)):
        warn(f"`licence` {licence} is no word of the hub's that mien knows.{near}")
    if wanted not in LICENCES and not re.fullmatch(r"[a-z0-9]+([.-][a-z0-9]+)+", wanted):
        raise UsageError(
            f"`licence` {licence}: the hub has no such word for one.{nearest(wanted, LICENCES)} 'other' is for what it "
            "has no word for."
        )
    return wanted


def _exported(run: Path, network: Classifier) -> Path:
    """The run's sealed file, written where it is not there yet. Raises MienError where it is of another network."""
    path = run / layout.EXPORT
    if not path.is_file():
        note(f"{run} is exported first")
        return export(run).path
    sealed = Network.open(path)
    weights = str((sealed.card or {}).get("weights", "fp16"))
    same = sealed.labels == network.labels and sealed.preprocessing == network.preprocessing
    apart = difference_on_noise(path, network.model, network.preprocessing) if same else 1.0
    if not apart <= TOLERANCE.get(weights, 1.0) or not same:
        raise MienError(
            f"{path} is of another network than the run has now, so nothing was pushed. Export it again: "
            f"`mien.export({str(run)!r})`"
        )
    return path


def _card(
    run: Path, network: Classifier, exported: Path, repository: str, licence: str | None, reader: str,
    revision: str | None,
) -> str:  # fmt: skip
    folder = RunFolder.open(run)
    start = str(folder.env.adopted or folder.recipe.model.init or "")
    place = folder.recipe.data.path
    dataset = place.as_posix().removeprefix(HUB).partition("@")[0] if place and is_on_hub(place) else None
    base = start.removeprefix(HUB).partition("@")[0] if start.startswith(HUB) else None
    return readme(
        Network.open(exported), repository, licence=licence, architecture=network.name, reader=reader,
        base_model=base, dataset=dataset, revision=revision,
    )  # fmt: skip


def _refuse_used(folder: Path) -> None:
    """Raise UsageError where a dry run has no folder of its own to write to."""
    if Path.cwd().is_relative_to(folder.resolve()):
        raise UsageError(f"`dry_run` {folder} is the folder that you are in. Give one that is not there yet.")
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"`dry_run` {folder} is not empty. Give a folder that is not there yet.")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"`dry_run` {folder} is no folder. Give one that is not there yet.")


def _laid_out(files: dict[str, Path], folder: Path) -> Path:
    """The files in a folder of their own, all of them or none."""
    place = folder.resolve()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with draft(place.parent, folder=True) as new:
            for name, path in files.items():
                shutil.copyfile(path, new / name)
            share(new)
            put(new, place)
    except OSError as error:
        raise unwritable(folder, error, "choose another folder") from error
    return folder
