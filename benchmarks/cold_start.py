"""What a cold start costs: `mien --version`, `mien --help`, and `mien predict --json` beside a minimal script.

The script does what `mien predict --json photo.jpg` does with OpenCV, NumPy and onnxruntime alone: it finds faces with
YuNet, cuts them out, runs the network and prints JSON; it checks nothing, and knows one size of input. Processes take
turns, so that a noisy machine disturbs all alike; figures are the processor's time of a whole process and the most
memory that it held. A ratio is mien's over the script's, paired by round: smallest, median, largest, between the outer
ones of which lies the true median with 98 % for seven rounds. Both must find the same label.

Command   python benchmarks/cold_start.py [--photo PHOTO] [--rounds 15] | tee results/cold_start.json
Time      about half a minute of the processor's time
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from mien.assets import asset

PHOTO = Path(__file__).parents[1] / "docs" / "pictures" / "astronaut.jpg"
SCRIPT = """
import json, sys
import cv2, numpy as np, onnxruntime
photo, detector, model = sys.argv[1:]
image = cv2.imread(photo)
finder = cv2.FaceDetectorYN.create(detector, "", (image.shape[1], image.shape[0]), 0.7)
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
labels = json.loads(session.get_modelmeta().custom_metadata_map["mien"])["labels"]
for row in finder.detect(image)[1]:
    x, y, width, height = (max(0, round(float(value))) for value in row[:4])
    face = cv2.cvtColor(image[y : y + height, x : x + width], cv2.COLOR_BGR2GRAY)
    pixels = cv2.resize(face, (48, 48), interpolation=cv2.INTER_AREA).astype(np.float32) / 127.5 - 1
    logits = session.run(["logits"], {"images": pixels[None, None]})[0][0]
    shares = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    answer = dict(zip(labels, map(float, shares)))
    print(json.dumps({"box": [x, y, width, height], "label": max(answer, key=answer.get), "probabilities": answer}))
"""


def contestants(photo: Path) -> dict[str, list[str]]:
    """Command lines by their names."""
    mien = [sys.executable, "-m", "mien"]
    found = {"python": [sys.executable, "-c", "pass"], "--version": [*mien, "--version"], "--help": [*mien, "--help"]}
    yunet = str(asset("yunet", "face_detection_yunet_2023mar.onnx"))
    for name in ("base", "tiny"):
        found[f"predict {name}"] = [*mien, "predict", "--json", str(photo), "--model", f"mien:{name}"]
        found[f"script {name}"] = [sys.executable, "-c", SCRIPT, str(photo), yunet, str(asset(name, "model.onnx"))]
    return found


def cost(command: list[str]) -> tuple[float, float, str]:
    """CPU seconds and peak memory in MB (10^6) of a process, and what it printed."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
    assert process.stdout is not None
    printed = process.stdout.read().decode()
    _, status, used = os.wait4(process.pid, 0)
    assert status == 0, command
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6, printed


def label(printed: str) -> str:
    answer = json.loads(printed.splitlines()[0])
    return str(answer["faces"][0]["label"] if "faces" in answer else answer["label"])


def spread(ratios: list[float]) -> list[float]:
    return [round(value, 2) for value in (min(ratios), statistics.median(ratios), max(ratios))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", type=Path, default=PHOTO)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    commands = contestants(options.photo)
    for command in commands.values():  # not counted: compiled files and the disk's cache
        cost(command)
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    memory: dict[str, list[float]] = {name: [] for name in commands}
    printed = {}
    for turn in range(options.rounds):
        for name in list(commands)[:: 1 if turn % 2 else -1]:
            used, held, printed[name] = cost(commands[name])
            seconds[name].append(used)
            memory[name].append(held)
    from mien.hardware import commit, hardware  # not before: a process inherits the memory of the one that starts it

    result: dict[str, Any] = {"hardware": hardware(), "commit": commit(), "rounds": options.rounds}
    for name in commands:
        result[name] = {
            "seconds": [round(value, 3) for value in (min(seconds[name]), statistics.median(seconds[name]))],
            "MB": round(statistics.median(memory[name])),
        }
    for name in ("base", "tiny"):
        ours, theirs = f"predict {name}", f"script {name}"
        assert label(printed[ours]) == label(printed[theirs])
        pairs = zip(seconds[ours], seconds[theirs], strict=True)
        result[ours]["times the script"] = spread([one / other for one, other in pairs])
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
