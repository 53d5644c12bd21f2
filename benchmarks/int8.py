"""Exports in int8 beside the same network in fp32 and fp16: size, accuracy, time of a face, and what company changes.

int8 is mien's own (`mien.quantise`: ranges measured on 256 training images); 'int8 dynamic' is what mien had until
0.2, with ranges measured on each batch while it runs. Each file answers the same 64 validation faces, one in a call, on
one thread; the files take turns, and times are the processor's. Ratios are over fp32's time, paired by round: smallest,
median, largest. Accuracy and logits are of every fourth validation image in batches of about 128; "in company" is the
largest difference of a logit between an image alone and in such a batch, of the first 128.

Command   python benchmarks/int8.py mien:tiny mien:base --data FER2013 [--rounds 11] [--json results/int8.json]
Time      about two minutes of the processor's time a network.
Expected  less than a third of fp32's size, no answer that depends on the batch; the time depends on the processor:
          log/2026-11-30-int8-answers-are-the-same-in-every-batch.md.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic

import mien
from mien import hardware
from mien.config import Data
from mien.data import Store, open_store
from mien.runtime.network import Network
from mien.tracing import seen_of, store_weights, trace

KINDS = ("fp32", "fp16", "int8 dynamic", "int8")
FACES = 64


def to_dynamic(path: Path) -> None:
    """int8 as it was: activations are rounded to eight bits while the file runs."""
    model = onnx.load(path)
    del model.graph.value_info[:]
    logging.disable(logging.WARNING)
    quantize_dynamic(model, path, per_channel=True, weight_type=QuantType.QUInt8)
    logging.disable(logging.NOTSET)


def written(name: str, store: Store, folder: Path) -> dict[str, Path]:
    """The network once for each kind of weights, without metadata."""
    network = mien.from_pretrained(name)
    paths = {kind: folder / f"{kind}.onnx" for kind in KINDS}
    trace(network.model, network.preprocessing, paths["fp32"])
    for kind in KINDS[1:]:
        paths[kind].write_bytes(paths["fp32"].read_bytes())
    store_weights(paths["fp16"], "fp16")
    store_weights(paths["int8"], "int8", seen_of(store))
    to_dynamic(paths["int8 dynamic"])
    return paths


def milliseconds(network: Network, faces: np.ndarray) -> float:
    start = time.process_time()
    for face in faces:
        network.run(face[None])
    return 1000 * (time.process_time() - start) / len(faces)


def measure(name: str, store: Store, rounds: int) -> dict[str, Any]:
    chosen = store.indices("validation")[::4]
    inputs = store.preprocessing.scale(store.images[chosen].astype(np.float32) / 255)
    truth = store.targets[chosen]
    truth = truth.argmax(1) if truth.ndim > 1 else truth
    with tempfile.TemporaryDirectory() as folder:
        paths = written(name, store, Path(folder))
        sizes = {kind: path.stat().st_size for kind, path in paths.items()}
        networks = {kind: Network.bare(path, threads=1) for kind, path in paths.items()}
    batches = np.array_split(inputs, max(1, len(inputs) // 128))
    logits = {kind: np.concatenate([one.run(part) for part in batches]) for kind, one in networks.items()}
    alone = {kind: np.concatenate([one.run(face[None]) for face in inputs[:128]]) for kind, one in networks.items()}
    off = {kind: np.abs(values - logits["fp32"]) for kind, values in logits.items()}
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for turn in range(rounds):
        for kind in KINDS[turn % len(KINDS) :] + KINDS[: turn % len(KINDS)]:
            times[kind].append(milliseconds(networks[kind], inputs[:FACES]))
    return {
        "images": len(inputs),
        "bytes": sizes,
        "correct": {kind: int((values.argmax(1) == truth).sum()) for kind, values in logits.items()},
        "mean logit difference": {kind: round(float(values.mean()), 4) for kind, values in off.items()},
        "largest logit difference": {kind: round(float(values.max()), 4) for kind, values in off.items()},
        "answers that change": {kind: int((values.argmax(1) != logits["fp32"].argmax(1)).sum())
                                for kind, values in logits.items()},
        "in company": {kind: round(float(np.abs(alone[kind] - logits[kind][:128]).max()), 6) for kind in KINDS},
        "labels that company changes": {kind: int((alone[kind].argmax(1) != logits[kind][:128].argmax(1)).sum())
                                        for kind in KINDS},
        "ms a face": {kind: [round(value, 3) for value in found] for kind, found in times.items()},
        "time over fp32's": {kind: spread(times[kind], times["fp32"]) for kind in KINDS[1:]},
    }  # fmt: skip


def spread(ours: list[float], theirs: list[float]) -> list[float]:
    """Ratios round by round: smallest, median, largest."""
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return [round(value, 2) for value in (min(ratios), statistics.median(ratios), max(ratios))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+", help="names such as mien:tiny, exports or runs, of FER2013's classes")
    parser.add_argument("--data", type=Path, required=True, help="where FER2013 lies")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    store = open_store(Data(source="fer2013", path=options.data))
    about = {key: hardware.environment()[key] for key in ("hardware", "mien", "torch", "commit")}
    result = {**about, **{name: measure(name, store, options.rounds) for name in options.networks}}
    print(json.dumps(result, indent=1))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
