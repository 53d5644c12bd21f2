"""What handing one part to a worker costs Ray Data, without any reading: parts that do nothing, on two actors.

RAY_worker_niceness=0 PYTHONPATH=RAY python benchmarks/scale_dispatch.py [--parts 1000] > results/scale_dispatch.json
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import time

import ray
import ray.data

from mien.scale.on_ray import QUEUED


class Nothing:
    """An actor that has nothing to do."""

    def __call__(self, row: dict[str, str]) -> dict[str, int]:
        return {"number": len(row["part"])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=1000)
    number = parser.parse_args().parts
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    ray.init("local", num_cpus=2, object_store_memory=200_000_000, **quiet)
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = [{"part": "x" * 200}] * number
    pool = ray.data.ActorPoolStrategy(size=2, max_tasks_in_flight_per_actor=QUEUED)
    done = iter(
        ray.data.from_items(rows, override_num_blocks=number).map(Nothing, compute=pool, num_cpus=1).iter_rows()
    )
    next(done)
    start, processor = time.perf_counter(), time.process_time()
    rest = sum(1 for _ in done)
    result = {
        "parts": number,
        "seconds_a_part": round((time.perf_counter() - start) / rest, 5),
        "processor_seconds_of_the_driver_a_part": round((time.process_time() - processor) / rest, 5),
        "versions": {"ray": ray.__version__},
    }
    ray.shutdown()
    from mien.hardware import hardware  # not before: it imports torch

    print(json.dumps({**result, "hardware": hardware()}, indent=1))


if __name__ == "__main__":
    main()
