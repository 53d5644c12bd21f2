"""mien (its wheel, without torch, mien:tiny) against the packages fer and deepface, all on one thread of the CPU.

Each contestant has a virtual environment of its own below --work (made with pip; one that is there is used again) and
runs in a process of its own. They take turns, so that a noisy machine disturbs all alike:

- cold: from the start of Python to the first answer, for the first photo
- crops: faces a second, 32 drawn faces of 48 pixels without a detector, one or all in a call
- photos: photos a second from the file to the answer, each with OpenCV's Haar cascade, its own default settings
- memory: the most that the process had while it did all of this; install: the virtual environment with pip

Times are the processor's, summed over threads, but for the one that is called by the clock: on an idle machine they are
the same, on a busy one they are what can still be compared. Ratios are mien's advantage, paired by round: median, and
smallest to largest, between which lies the true median with 98 % for seven rounds.

--only base sets mien:base beside mien:tiny, from the same virtual environment; --only base,deepface all three. Without
a photo only the crops are measured.

A contestant that cannot be installed or gives no answer is named with the reason. deepface's network is a download;
--stand-in puts one of the same shape with random weights in its place (needs onnx): its times are real then, its
answers are not.

Command   python benchmarks/predict.py --work FOLDER photo.jpg [photo.jpg ...] [--json result.json]
          [--only deepface] [--rounds 7] [--seconds 0.5] [--stand-in] [--wheel mien.whl]

Time      13 minutes for three rounds at --seconds 0.2 without fer, at load 20 on two cores; installing comes on top,
          seconds to minutes for mien and deepface, 7.5 GB for fer (TensorFlow, and torch with CUDA).
Expected  mien starts twice as fast as deepface, reads crops as fast one by one and 1.4 times as fast in batches,
          photos 3 times as fast, in a quarter of the memory; see docs/understanding/benchmarks.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import threading
import time
import venv
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mien.data.sources.drawn_faces import read
from mien.progress import note

ROOT = Path(__file__).parents[1]
WORKER = Path(__file__).with_name("predict_worker.py")
CROPS = 32
PATIENCE = 600  # seconds to wait for an answer

# What fer and deepface need besides to start at all on this day, in the words of `pip install`.
PEERS = {
    "fer": ("fer", "setuptools<81"),  # it imports pkg_resources without saying so
    "deepface": (
        "deepface",
        "werkzeug",  # it imports it without saying so
        "opencv-contrib-python-headless<5",  # OpenCV 5 comes without the cascade, which would be one more download
    ),
}

ENVIRONMENT = {  # one thread for every library that has a say in it, and no GPU
    "OMP_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
}


class NoAnswerError(Exception):
    """A contestant that does not install or does not answer, and why."""


@dataclass(frozen=True)
class Contestant:
    """name: of the class in predict_worker.py. size: MiB of its virtual environment, holding so many packages."""

    name: str
    home: Path
    size: float
    packages: int

    @property
    def python(self) -> Path:
        return python_of(self.home)


class Worker:
    """A process of a contestant that answers questions."""

    def __init__(self, contestant: Contestant) -> None:
        self.errors = (contestant.home.parent / f"{contestant.name}.stderr").open("w+")
        self.process = subprocess.Popen(
            [contestant.python, "-I", WORKER, contestant.name],  # -I: without our PYTHONPATH, so the wheel is tested
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={**os.environ, **ENVIRONMENT},
        )

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Its answer. Raises NoAnswerError with its error, or the last line it printed before it died."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        timer = threading.Timer(PATIENCE, self.process.kill)
        timer.start()
        print(json.dumps({"do": do, **request}), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        timer.cancel()
        if not line:
            self.errors.seek(0)
            raise NoAnswerError((self.errors.read().strip().splitlines() or ["it died without a word"])[-1])
        found = json.loads(line)
        if "error" in found:
            raise NoAnswerError(found["error"])
        return found

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.errors.close()


def python_of(home: Path) -> Path:
    return home / ("Scripts" if os.name == "nt" else "bin") / "python"


def wheel(work: Path) -> Path:
    """mien's wheel, built from this checkout."""
    pip(Path(sys.executable), "wheel", "--no-deps", "--wheel-dir", str(work), str(ROOT))
    return max(work.glob("mien-*.whl"), key=lambda path: path.stat().st_mtime)


def pip(python: Path, *words: str) -> None:
    done = subprocess.run([python, "-m", "pip", "-q", *words], capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        raise NoAnswerError((errors or done.stderr.splitlines() or ["pip failed"])[-1])


def installed(name: str, requirements: tuple[str, ...], work: Path) -> Contestant:
    """A contestant in a virtual environment that holds nothing else; one with the same requirements is used again."""
    home, recipe = work / name, [*requirements]
    if requirements[0].endswith(".whl"):
        recipe = [hashlib.sha256(Path(requirements[0]).read_bytes()).hexdigest()]
    marker = home / "installed.json"
    found = json.loads(marker.read_text()) if marker.is_file() else {}
    if found.get("recipe") != recipe:
        note(f"{name}: pip install {' '.join(requirements)}")
        venv.create(home, with_pip=True, clear=True, symlinks=os.name != "nt")
        pip(python_of(home), "install", *requirements)
        packages = len({*home.rglob("*.dist-info")})
        found = {"recipe": recipe, "size": mebibytes(home), "packages": packages}
        marker.write_text(json.dumps(found))
    return Contestant(name, home, found["size"], found["packages"])


def mebibytes(folder: Path) -> float:
    """What a folder takes on the disk."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*")) / 2**20


def stand_in(path: Path) -> None:
    """deepface's network for expressions, 1.49 million parameters, pixels (N, 48, 48, 1) -> (N, 7), weights random."""
    from onnx import NodeProto, TensorProto, helper, numpy_helper, save

    rng = np.random.default_rng(0)
    nodes: list[NodeProto] = []
    stored: list[TensorProto] = []

    def add(kind: str, *shapes: tuple[int, ...], **settings: Any) -> None:
        """One more layer on top of the last one, with weights of these shapes."""
        names = [f"weights {len(stored) + i}" for i in range(len(shapes))]
        for name, shape in zip(names, shapes, strict=True):
            stored.append(numpy_helper.from_array(rng.normal(0, 0.05, shape).astype(np.float32), name))
        nodes.append(helper.make_node(kind, [str(len(nodes)), *names], [str(len(nodes) + 1)], **settings))

    add("Transpose", perm=[0, 3, 1, 2])
    for before, after, side, pool in ((1, 64, 5, 5), (64, 64, 3, 0), (64, 64, 3, 3), (64, 128, 3, 0), (128, 128, 3, 3)):
        add("Conv", (after, before, side, side), (after,))
        add("Relu")
        if pool:
            add("MaxPool" if pool == 5 else "AveragePool", kernel_shape=[pool, pool], strides=[2, 2])
    add("Flatten")
    for before, after in ((128, 1024), (1024, 1024), (1024, 7)):
        add("Gemm", (before, after), (after,))
        add("Softmax" if after == 7 else "Relu")
    pixels = helper.make_tensor_value_info("0", TensorProto.FLOAT, ["N", 48, 48, 1])
    answers = helper.make_tensor_value_info(str(len(nodes)), TensorProto.FLOAT, ["N", 7])
    graph = helper.make_graph(nodes, "stand-in", [pixels], [answers], stored)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 17)]), path)


def cold_start(contestant: Contestant, photo: str) -> tuple[float, float]:
    """Seconds from the start of the process to its first answer: of the processor's time, and by the clock."""
    start = time.perf_counter()
    worker = Worker(contestant)
    try:
        seconds = worker.ask("photo", file=photo)["seconds"]
        return seconds, time.perf_counter() - start
    finally:
        worker.close()


def ready(options: argparse.Namespace, work: Path, photos: list[str]) -> tuple[list[Contestant], dict[str, str]]:
    """Contestants that are installed and answer, mien first, and why the others do not."""
    requirements = {"mien": (str(options.wheel or wheel(work)),), **PEERS}
    there, missing = [], {}
    # Apart: random ones must not pass for own.
    weights = work / ("weights-random" if options.stand_in else "weights-own")
    os.environ["DEEPFACE_HOME"] = str(weights)
    if options.stand_in:
        stand_in(weights / ".deepface" / "weights" / "facial_expression_model_weights.onnx")
    for name in ["mien", *filter(None, options.only.split(","))]:
        try:
            home = "mien" if name == "base" else name  # one package holds both of mien's networks
            contestant = replace(installed(home, requirements[home], work), name=name)
            if photos:
                cold_start(contestant, photos[0])  # not counted: it fills the disk's cache and shows whether it works
            there.append(contestant)
        except NoAnswerError as error:
            if name == "mien":  # without it there is nothing to compare
                raise
            missing[name] = str(error)
            note(f"{name}: {error}")
    return there, missing


def measure(there: list[Contestant], photos: list[str], faces: str, rounds: int, seconds: float) -> dict[str, Any]:
    """Every figure of every contestant: {measure: {contestant: one value a round}}."""
    asks: dict[str, dict[str, Any]] = {
        "crops, 1 in a call": {"do": "crops", "file": faces, "batch": 1, "seconds": seconds},
        f"crops, {CROPS} in a call": {"do": "crops", "file": faces, "batch": CROPS, "seconds": seconds},
        **({"photos": {"do": "photos", "files": photos, "seconds": seconds}} if photos else {}),
    }
    starts = ["cold", "clock", "faces"] if photos else []
    values: dict[str, dict[str, list[float]]] = {
        what: {one.name: [] for one in there} for what in [*starts, *asks, "memory"]
    }
    workers = {one.name: Worker(one) for one in there}
    for turn in range(rounds):
        order = there[turn % len(there) :] + there[: turn % len(there)]  # nobody always follows the same one
        for one in order if photos else []:
            for what, found in zip(("cold", "clock"), cold_start(one, photos[0]), strict=True):
                values[what][one.name].append(found)
        for what, ask in asks.items():
            for one in order:
                answer = workers[one.name].ask(**ask)
                values[what][one.name].append(answer["per_second"])
                if what == "photos":
                    values["faces"][one.name] = [answer["faces"]]
        note(f"round {turn + 1} of {rounds}")
    versions = {}
    for name, worker in workers.items():
        answer = worker.ask("about")
        versions[name] = answer["version"]
        values["memory"][name] = [answer["peak_mib"]]
        worker.close()
    values["install"] = {one.name: [one.size] for one in there}
    values["packages"] = {one.name: [one.packages] for one in there}
    return {"versions": versions, "values": values}


# Measure -> (what the table calls it, decimals, whether more is better; None: no ratio)
ROWS: dict[str, tuple[str, int, bool | None]] = {
    "cold": ("cold start to the first answer, s", 2, False),
    "clock": ("the same by the clock, s", 2, False),
    "crops, 1 in a call": ("faces/s, cut out already, 1 in a call", 0, True),
    f"crops, {CROPS} in a call": (f"faces/s, cut out already, {CROPS} in a call", 0, True),
    "photos": ("photos/s, from the file to the answer", 2, True),
    "faces": ("faces found in the photos", 0, None),
    "memory": ("peak memory, MiB", 0, False),
    "install": ("virtual environment, MiB", 0, False),
    "packages": ("packages in it", 0, None),
}


def advantage(ours: list[float], theirs: list[float], more_is_better: bool) -> list[float]:
    """How many times better ours is, round by round: smallest, median, largest."""
    ratios = [one / other if more_is_better else other / one for one, other in zip(ours, theirs, strict=True)]
    return [min(ratios), statistics.median(ratios), max(ratios)]


def cell(values: dict[str, list[float]], name: str, decimals: int, more_is_better: bool | None) -> str:
    text = f"{statistics.median(values[name]):,.{decimals}f}"
    if name == "mien" or more_is_better is None:
        return text
    low, middle, high = advantage(values["mien"], values[name], more_is_better)
    span = f", {low:.2f} to {high:.2f}" if len(values[name]) > 1 else ""
    return f"{text} (mien {middle:.2f} times{span})"


def table(result: dict[str, Any]) -> str:
    """Markdown: a measure a row, a contestant a column, then those that did not take part."""
    versions = result["versions"]
    heads = " | ".join(f"{name} {version}" for name, version in versions.items())
    lines = [f"| | {heads} |", "|---" * (len(versions) + 1) + "|"]
    for what, (words, decimals, more_is_better) in ROWS.items():
        if what in result["values"]:
            cells = [cell(result["values"][what], name, decimals, more_is_better) for name in versions]
            lines.append(f"| {words} | {' | '.join(cells)} |")
    lines += ["", *(f"{name} did not take part: {why}" for name, why in result["missing"].items())]
    if result["stand_in"] and "deepface" in versions:
        lines.append("deepface's weights are random: its times are real, its answers are not.")
    return "\n".join([*lines, f"{result['hardware']}; one thread each; {result['beside']}"])


def hardware() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "CPU")
    return f"{name}, {os.cpu_count()} cores, Python {sys.version.split()[0]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="*", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--wheel", type=Path, help="mien's; built from this checkout if not given")
    parser.add_argument("--only", default="fer,deepface", help="which peers; base is mien's other network")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--stand-in", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    beside = f"beside other work (load {load:.1f} at the start)" if load > 0.5 else "on an idle machine"
    work, photos = options.work.resolve(), [str(photo.resolve()) for photo in options.photos]
    work.mkdir(parents=True, exist_ok=True)
    faces = read(CROPS, 48, seed=0)
    np.save(work / "faces.npy", np.stack([np.asarray(faces.read(i).convert("L")) for i in range(CROPS)]))
    there, missing = ready(options, work, photos)
    result = measure(there, photos, str(work / "faces.npy"), options.rounds, options.seconds)
    result |= {"missing": missing, "hardware": hardware(), "beside": beside, "stand_in": options.stand_in}
    print(table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
