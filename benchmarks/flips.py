"""Random bit flips in every kind of file that mien writes and reads back: how many are taken for whole.

Makes one of each in a folder, then flips one random bit of one random file, reads it as mien does, and puts it right
again. A flip is refused (one of mien's own errors), harmless (what was read is what was written), accepted (it is
something else), or a traceback. Prints a table and writes results/flips.json.

    python benchmarks/flips.py [--flips 5000] [--seed 0]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import mien
from mien import plugins
from mien.assets import asset
from mien.data import store_folder
from mien.data.decode import build
from mien.data.sources import drawn_faces
from mien.errors import MienError
from mien.preprocessing import Preprocessing
from mien.runs import Predictions, RunFolder, layout, manifest
from mien.runs.data import Images
from mien.runtime.network import Network
from mien.runtime.reader import Face

ROOT = Path(__file__).parents[1]
TINY = {
    "data": {"source": "drawn_faces", "images": 70, "size": 16},
    "model": {"name": "lenet"},
    "train": {"epochs": 1, "batch_size": 32, "precision": "fp32"},
    "device": "cpu",
}
# Kinds whose files keep no checksum, and why. Their form is checked all the same: nothing may be a traceback.
WITHOUT = {
    "table, csv": "a plain table that other programs may edit",
    "predictions.csv outside a run": "a plain table that other programs may edit",
    "optuna.log": "Optuna's own journal, to which several processes append; what it proposes must be in the plan",
    "settings file": "written by people",
}


@dataclass(frozen=True)
class File:
    """kind: what it is called in the table. read: what mien reads from it, as something that can be compared."""

    kind: str
    path: Path
    read: Callable[[], Any]


def files(folder: Path) -> list[File]:
    """One of every kind below a folder."""
    run = mien.train(mien.recipe("quickstart", **TINY), folder / "run")
    export = Path(shutil.copy(asset("tiny", "model.onnx"), folder / "model.onnx"))
    return [
        *of_run(run.path),
        *of_store(folder / "store"),
        File("export .onnx", export, lambda: opened_export(export)),
        *of_folder(folder / "saved", run.path),
        *of_sweep(folder / "sweep"),
        *of_tables(folder),
        own_code(folder),
        settings(folder / "settings.yaml"),
    ]


def of_run(run: Path) -> Iterator[File]:
    reads = {
        layout.RECIPE: lambda: RunFolder.open(run).recipe,
        layout.MANIFEST: lambda: manifest.read(run),
        layout.DATA: lambda: plain(vars(Images.of(run) or object())),
        layout.ENV: lambda: RunFolder.open(run).env,
        layout.HISTORY: lambda: RunFolder.open(run).history,
        layout.SCORES: lambda: RunFolder.open(run).scores,
        "predictions.npz": lambda: plain(vars(Predictions.load(run / "predictions.npz"))),
        **dict.fromkeys(layout.MODEL_FILES, lambda: weights(run)),
    }
    for name, read in reads.items():
        yield File(f"run: {name}", run / name, read)
    for name in (layout.BEST, layout.LAST):
        path = run / layout.CHECKPOINTS / name
        yield File("run: checkpoints", path, partial(checkpoint, path))


def checkpoint(path: Path) -> Any:
    import torch

    from mien.train.checkpoints import whole_checkpoint

    whole = whole_checkpoint(path)
    assert whole is not None
    return plain(torch.load(whole, map_location="cpu", weights_only=True)["state_dict"])


def weights(where: Path) -> Any:
    from mien import pretrained

    found = pretrained.read(where)
    return plain(found.weights), found.model, found.sizes, found.labels, found.preprocessing


def of_store(folder: Path) -> Iterator[File]:
    build(drawn_faces.read(70, 12, seed=0), Preprocessing(size=12, channels=1), folder)

    def read() -> Any:
        store = store_folder.load(folder)
        arrays = (store.images[:], store.labels, store.splits, store.sizes, store.digests)
        return plain(arrays), store.names, store.classes, store.preprocessing, store.left_out, store.fingerprint

    for path in sorted(folder.iterdir()):
        yield File(f"store: {path.name}", path, read)


def opened_export(path: Path) -> Any:
    network = Network.open(path, threads=1)
    return network.labels, network.preprocessing, network.card


def of_folder(folder: Path, run: Path) -> Iterator[File]:
    from mien.pretrained.own import from_run

    from_run(run).save_pretrained(folder)
    for path in sorted(folder.iterdir()):
        yield File(f"save_pretrained: {path.name}", path, lambda: weights(folder))


def of_sweep(folder: Path) -> Iterator[File]:
    from mien.config.sweep_plan import make_plan, read_plan

    plan = make_plan("quickstart", None, [TINY], {"train.lr": "0.01,0.001"})
    folder.mkdir()
    plan.save(folder)
    yield File("sweep.json", folder / "sweep.json", partial(read_plan, folder))
    try:
        from mien.train.search import Search
    except MienError:  # without Optuna
        return
    searched = make_plan("quickstart", None, [TINY], {"train.lr": "0.001:0.1:log"}, search=3)
    folder = folder.with_name("search")
    folder.mkdir()
    searched.save(folder)

    def read() -> Any:
        return [(trial.name, trial.settings) for trial in Search(searched, folder).trials]

    source = Search(searched, folder)
    for accuracy, trial in zip((0.5, 0.6, 0.7), source, strict=False):
        source.tell(trial, accuracy)
    yield File("optuna.log", folder / "optuna.log", read)


def of_tables(folder: Path) -> Iterator[File]:
    from mien.runtime.table import open_table

    labels = ("happy", "sad")
    face = Face((1, 2, 3, 4), "happy", {"happy": 0.75, "sad": 0.25}, 0.75, True)

    def known(path: Path) -> Any:
        with closing(open_table(path, labels)) as table:
            return table.known

    for ending in ("csv", "parquet"):
        path = folder / f"table.{ending}"
        with closing(open_table(path, labels)) as table:
            for number in range(9):
                table.add(f"pictures/{number}.png", [face])
        yield File(f"table, {ending}", path, partial(known, path))
    path = folder / "predictions.csv"
    likely = np.random.default_rng(0).dirichlet((1, 1), 9).astype(np.float32)
    Predictions([f"{n}.png" for n in range(9)], np.arange(9) % 2, likely, labels).save(path)
    yield File("predictions.csv outside a run", path, lambda: plain(vars(Predictions.load(path))))


def own_code(folder: Path) -> File:
    (folder / "own_network.py").write_text("class Net: pass\n")
    sys.path.append(str(folder))
    plugins.remember("own_network:Net")

    def read() -> Any:
        known = plugins._remembered()
        if not known:
            raise MienError("asked again")
        return known

    return File("cache: own_code.json", Path(os.environ["MIEN_CACHE"]) / plugins.KNOWN, read)


def settings(path: Path) -> File:
    from mien import config

    path.write_text(json.dumps(TINY))
    return File("settings file", path, lambda: config.build(config.from_file(path)))


def plain(value: Any) -> Any:
    """Arrays and tensors as bytes, so that == compares them."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return np.asarray(value).tobytes() if hasattr(value, "shape") else value


def flipped(file: File, whole: Any, chance: random.Random) -> tuple[str, str]:
    """What became of one flip, and which: 'refused', 'harmless', 'accepted' or 'traceback'."""
    around = {path: path.read_bytes() for path in file.path.parent.iterdir() if path.is_file()}
    content = bytearray(around[file.path])
    place, bit = chance.randrange(len(content)), chance.randrange(8)
    content[place] ^= 1 << bit
    file.path.write_bytes(content)
    manifest._sha256_of.cache_clear()
    which = f"{file.path.name} byte {place} bit {bit}"
    try:
        found = file.read()
    except MienError:
        return "refused", which
    except Exception as error:
        return "traceback", f"{which}: {type(error).__name__}: {str(error)[:120]}"
    finally:
        for path, before in around.items():  # a damaged store asks to be prepared again
            if path == file.path or not path.is_file():
                path.write_bytes(before)
        manifest._sha256_of.cache_clear()
    return ("harmless" if found == whole else "accepted"), which


def measured(number: int, seed: int, folder: Path) -> dict[str, Any]:
    os.environ["MIEN_CACHE"] = str(folder / "cache")
    every = files(folder)
    whole = [file.read() for file in every]
    chance = random.Random(seed)
    counts: dict[str, Counter[str]] = {file.kind: Counter() for file in every}
    examples: dict[str, list[str]] = {}
    for flip in range(number):
        file = every[flip % len(every)]
        outcome, which = flipped(file, whole[flip % len(every)], chance)
        counts[file.kind][outcome] += 1
        if outcome != "refused":
            examples.setdefault(f"{file.kind}, {outcome}", []).append(which)
    return {
        "flips": number,
        "kinds": {kind: dict(found) for kind, found in counts.items()},
        "without_checksums": WITHOUT,
        "examples": {key: found[:5] for key, found in examples.items()},
    }


def faults(found: dict[str, Any]) -> list[str]:
    """What must not be: tracebacks, and damage taken for whole where there are checksums."""
    return [
        f"{kind}: {count} {outcome}: {found['examples'][f'{kind}, {outcome}']}"
        for kind, outcomes in found["kinds"].items()
        for outcome, count in outcomes.items()
        if outcome == "traceback" or (outcome == "accepted" and kind not in WITHOUT)
    ]


def table(found: dict[str, Any]) -> str:
    outcomes = ("refused", "harmless", "accepted", "traceback")
    lines = [f"{'':<34}" + "".join(f"{name:>10}" for name in outcomes)]
    for kind, counts in found["kinds"].items():
        lines.append(f"{kind:<34}" + "".join(f"{counts.get(name, 0):>10}" for name in outcomes))
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "flips.json")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        result = measured(given.flips, given.seed, Path(scratch))
    print(table(result), *faults(result), sep="\n")
    given.out.write_text(json.dumps(result, indent=1) + "\n")
    sys.exit(bool(faults(result)))
