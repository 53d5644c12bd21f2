"""An export in int8 beside the same network in fp16 and fp32: size, time of a face, and how far its logits move.

Each file answers the same 64 validation faces, one in a call, on one thread; the files take turns, and times are the
processor's. Ratios are int8's time over that of the other file, paired by round: median, and smallest to largest,
between which lies the true median with 99.9 % for eleven rounds. Logits are compared on every fourth validation image.

Command   python benchmarks/int8.py RUN [RUN ...] [--rounds 11] [--json result.json]
Time      about half a minute of the processor's time a run.
Expected  less than a third of fp32's size; the time depends on the processor:
          log/2026-11-20-int8-saves-bytes-not-time.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from mien.data import open_store
from mien.evaluate.run_model import load_model
from mien.export import WeightType, _store_weights, _trace
from mien.runs import read_recipe
from mien.runtime.network import Network

KINDS: tuple[WeightType, ...] = ("fp32", "fp16", "int8")
FACES = 64


def written(run: Path, folder: Path) -> dict[str, Path]:
    """The run's network once for each kind of weights, without metadata."""
    model, _, preprocessing = load_model(run)
    paths = {kind: folder / f"{kind}.onnx" for kind in KINDS}
    _trace(model, preprocessing, paths["fp32"])
    for kind in KINDS[1:]:
        paths[kind].write_bytes(paths["fp32"].read_bytes())
        _store_weights(paths[kind], kind)
    return paths


def milliseconds(network: Network, faces: np.ndarray) -> float:
    start = time.process_time()
    for face in faces:
        network.run(face[None])
    return 1000 * (time.process_time() - start) / len(faces)


def measure(run: Path, rounds: int) -> dict[str, Any]:
    store = open_store(read_recipe(run).data)
    inputs = store.preprocessing.scale(store.images[store.indices("validation")[::4]].astype(np.float32) / 255)
    with tempfile.TemporaryDirectory() as folder:
        paths = written(run, Path(folder))
        sizes = {kind: path.stat().st_size for kind, path in paths.items()}
        networks = {kind: Network.bare(path, threads=1) for kind, path in paths.items()}
    logits = {kind: np.concatenate([one.run(part) for part in np.array_split(inputs, 16)])
              for kind, one in networks.items()}  # fmt: skip
    off = {kind: np.abs(logits[kind] - logits["fp32"]) for kind in KINDS}
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for turn in range(rounds):
        for kind in KINDS[turn % 3 :] + KINDS[: turn % 3]:
            times[kind].append(milliseconds(networks[kind], inputs[:FACES]))
    return {
        "images": len(inputs),
        "bytes": sizes,
        "largest logit difference": {kind: round(float(values.max()), 4) for kind, values in off.items()},
        "mean logit difference": {kind: round(float(values.mean()), 4) for kind, values in off.items()},
        "answers that change": {kind: int((values.argmax(1) != logits["fp32"].argmax(1)).sum())
                                for kind, values in logits.items()},
        "ms a face": {kind: [round(value, 3) for value in found] for kind, found in times.items()},
        "int8's time": {other: spread(times["int8"], times[other]) for other in KINDS[:2]},
    }  # fmt: skip


def spread(ours: list[float], theirs: list[float]) -> list[float]:
    """Ratios round by round: smallest, median, largest."""
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return [round(value, 2) for value in (min(ratios), statistics.median(ratios), max(ratios))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    result = {read_recipe(run).name: measure(run, options.rounds) for run in options.runs}
    print(json.dumps(result, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
