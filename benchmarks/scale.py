"""`mien predict --on ray` over many crops: speed with one worker and two, memory, a killed worker, a killed driver.

Synthetic crops (48 x 48 JPEGs, random smooth pictures) in one Parquet table. Ray is started on this machine; runs with
one worker and with two alternate, as other work on the machine changes the speed of both. Times are from where each
worker can have written a part to the last part, so that starting the workers is left out. Ray gives its workers a low
priority (RAY_worker_niceness=15), which on a machine with other work measures that work: 0 here. Prints JSON, and on
stderr how much faster two workers are. Two quiet cores need eight minutes. results/scale_million.json is of
`--crops 1000000 --rounds 1` and an export of fer2013_lenet.

    RAY_worker_niceness=0 PYTHONPATH=RAY python benchmarks/scale.py [--crops 40000] [--rounds 3] > results/scale.json
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow
import ray
from PIL import Image
from pyarrow import parquet

import mien
from mien.scale import predict

GROUP = 512  # crops in a part
KINDS = 512  # different crops, repeated
FEWEST = 8 * GROUP  # crops
KILLED = 16 * GROUP  # crops of the jobs in which a process is killed
SMALL, LARGE, COUNTED = 32, 512, 2048  # crops in a part, and in all, where the cost of a part is measured
DRIVER = (
    "import sys\nfrom mien.scale import predict\npredict(*sys.argv[1:3], model=sys.argv[3], detect=False, workers=2)"
)


def write(path: Path, number: int, group: int = GROUP) -> int:
    """Write a table of as many crops, `group` of them in a part; returns its bytes."""
    rng, contents = np.random.default_rng(0), []
    for small in rng.integers(0, 256, (KINDS, 8, 8), np.uint8):
        buffer = io.BytesIO()
        Image.fromarray(small).resize((48, 48), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        contents.append(buffer.getvalue())
    schema = pyarrow.schema([("image", pyarrow.binary())])
    with parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, number, group):
            rows = [contents[row % KINDS] for row in range(start, min(number, start + group))]
            writer.write_table(pyarrow.table({"image": rows}, schema=schema))
    return path.stat().st_size


def timed(table: Path, folder: Path, model: str, workers: int) -> tuple[float, float, int]:
    """Faces a second, faces a second of the workers' processor time, and the most memory that a worker took."""
    done = predict(table, folder, model=model, detect=False, workers=workers)
    rate = parts_a_second([part.stat().st_mtime for part in (folder / "faces").iterdir()], workers)
    return rate * done.pictures / done.parts, done.pictures / done.processor, done.peak


def parts_a_second(written: list[float], workers: int) -> float:
    """Parts a second, from when each worker could have written one: the first parts of several come at once."""
    start, *_, last = times = sorted(written)[workers - 1 :]
    return (len(times) - 1) / (last - start)


def complete(folder: Path, number: int) -> bool:
    """Whether each crop has one row."""
    rows = parquet.read_table(folder / "faces", columns=["source"])["source"].to_pylist()
    return len(rows) == len(set(rows)) == number


def actors() -> list[int]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if b"ray::MapWorker" in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            pass
    return found


def wait_for(parts: int, folder: Path) -> None:
    while len(list(folder.glob("faces/part-*"))) < parts:
        time.sleep(0.02)


def killed_worker(table: Path, folder: Path, model: str) -> int:
    """One of two workers is killed with two parts written; returns the faces that were read (again)."""

    def kill() -> None:
        wait_for(2, folder)
        os.kill(actors()[0], signal.SIGKILL)

    killing = threading.Thread(target=kill)
    killing.start()
    done = predict(table, folder, model=model, detect=False, workers=2)
    killing.join()
    return done.pictures


def killed_driver(table: Path, folder: Path, model: str) -> int:
    """The whole job is killed with two parts written, and begun again; returns the parts that were held."""
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(table), str(folder), model])
    wait_for(2, folder)
    driver.kill()
    driver.wait()
    return predict(table, folder, model=model, detect=False, workers=2).held


def overhead(folder: Path, model: str, rounds: int) -> list[float]:
    """Processor seconds of a worker for a part besides its pictures, of each round: the same crops in small parts and
    in large ones."""
    tables = {size: folder / f"parts-of-{size}.parquet" for size in (LARGE, SMALL)}
    for size, table in tables.items():
        write(table, COUNTED, size)
    found = []
    for number in range(rounds):
        seconds = {
            size: predict(table, folder / f"{table.stem}-{number}", model=model, detect=False, workers=1).processor
            for size, table in tables.items()
        }
        found.append((seconds[SMALL] - seconds[LARGE]) / (COUNTED // SMALL - COUNTED // LARGE))
    return found


def plain(table: Path, model: str) -> float:
    """Faces a second of a plain reader on one thread in this process."""
    crops = parquet.ParquetFile(table).read_row_group(0)["image"].to_pylist()
    reader = mien.load(model, threads=1)
    start = time.process_time()
    reader.read(crops, detect=False)
    return len(crops) / (time.process_time() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--crops", type=int, default=40_000)
    parser.add_argument("--model", default="mien:tiny")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.crops < FEWEST:
        parser.error(f"--crops {options.crops}: with fewer than {FEWEST} the first and the last part count too much.")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        table = folder / "crops.parquet"
        size, load = write(table, options.crops), os.getloadavg()
        shorter = folder / "shorter.parquet"
        write(shorter, min(KILLED, options.crops))
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        start = time.perf_counter()
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR,
                 object_store_memory=200_000_000)  # fmt: skip
        ready = time.perf_counter() - start
        speeds: dict[int, list[float]] = {1: [], 2: []}
        used: dict[int, list[float]] = {1: [], 2: []}
        peaks, whole = [], []
        for number in range(options.rounds):
            for workers in (1, 2):
                out = folder / f"{number}-{workers}"
                speed, of_processor, peak = timed(table, out, options.model, workers)
                print(f"{workers}: {speed:.0f} faces/s, {of_processor:.0f} of processor", file=sys.stderr, flush=True)
                used[workers].append(of_processor)
                speeds[workers].append(speed)
                peaks.append(peak)
                whole.append(complete(out, options.crops))
        ratios = [two / one for one, two in zip(speeds[1], speeds[2], strict=True)]
        kept = [two / one for one, two in zip(used[1], used[2], strict=True)]
        again = killed_worker(shorter, folder / "worker", options.model)
        held = killed_driver(shorter, folder / "driver", options.model)
        parts = overhead(folder, options.model, options.rounds)
        short = min(KILLED, options.crops)
        result = {
            "crops": options.crops,
            "bytes_a_crop": round(size / options.crops),
            "bytes_a_row": round(sum(f.stat().st_size for f in (folder / "0-1" / "faces").iterdir()) / options.crops),
            "model": options.model,
            "faces_per_core_second_plain": round(plain(table, options.model)),
            "faces_per_second": {str(n): [round(each) for each in found] for n, found in speeds.items()},
            "faces_per_processor_second": {str(n): [round(each) for each in found] for n, found in used.items()},
            "two_workers_to_one": [round(each, 2) for each in ratios],
            "speed_kept_beside_another": [round(each, 3) for each in kept],
            "processor_seconds_a_part": round(median(parts), 4),
            "processor_seconds_a_part_by_round": [round(each, 4) for each in parts],
            "seconds_to_start_ray": round(ready, 1),
            "peak_memory_of_a_worker": max(peaks),
            "peak_memory_of_the_driver": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            "complete": all(whole),
            "killed_worker": {"complete": complete(folder / "worker", short), "pictures_counted": again},
            "killed_driver": {"complete": complete(folder / "driver", short), "parts_held": held},
            "versions": {"mien": mien.__version__, "ray": ray.__version__},
        }
        from mien.hardware import hardware  # not before: torch, which it imports, is no memory of the driver's

        result["hardware"] = hardware()
        result["load"] = {"before": round(load[0], 1), "after": round(os.getloadavg()[0], 1)}
        ray.shutdown()
    print(f"two workers to one: {median(ratios):.2f}, in pairs {', '.join(f'{each:.2f}' for each in ratios)}",
          file=sys.stderr)  # fmt: skip
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
