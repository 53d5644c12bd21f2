"""`kill -9` at random instants over mien's verbs: what was killed goes on, and its results are those of no kill.

For each trial a process is forked from one that has imported everything, runs a verb and is killed: half of them at a
random instant of its usual time, half before a random one of its changes of the file system (open for writing, fsync,
rename, mkdir, remove), which are the instants that matter. Then the verb is repeated, or the run resumed, and all its
files are compared with those of a process that was not killed, but for times and dates; nothing else may be left.
What is written lies on a file system of its own (a tmpfs, as root on Linux), TMPDIR on another.

Prints a table and writes results/kills.json.

    python benchmarks/kills.py [--trials 200] [--only train export] [--seed 0]
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import importlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from forks import child, command, counted, ended

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = "1"  # threads do not survive a fork
os.environ.setdefault("NO_COLOR", "1")

ROOT = Path(__file__).parents[1]
TINY = {
    "data": {"source": "drawn_faces", "images": 70, "size": 16},
    "model": {"name": "lenet"},
    "train": {"epochs": 3, "batch_size": 16, "precision": "fp32"},
    "device": "cpu",
}
TIMES = ("seconds", "images_per_second")  # columns of metrics.csv that no two runs share
PASSING = ("started", "seconds", "feature_seconds", "trainings")  # of env.json
UNCOMPARED = (".html", ".ckpt", "manifest.json")  # dates, times, and the hashes of these
OFTEN = {  # how often a kind comes, the quick ones more often
    **{"prepare": 3, "prepare, replacing": 3, "train": 2, "train, overwriting": 2, "resume": 2, "average": 3},
    **{"predict to csv": 4, "predict to parquet": 4},
}
QUICK = {"prepare", "prepare, replacing", "predict to csv", "predict to parquet"}  # without torch


@dataclass(frozen=True)
class Kind:
    """What is killed. prepare: fills the folder of a trial. words: the command. again: what is done after the kill."""

    prepare: Callable[[Path, Path], None]
    words: Callable[[Path], list[str]]
    again: Callable[[Path], list[str]] | None = None


@dataclass
class Reference:
    """What a process leaves that is not killed. changes: how often it changes the file system."""

    files: dict[str, str]
    seconds: float
    changes: int


@dataclass
class Result:
    trials: int = 0
    killed: int = 0
    problems: list[str] = field(default_factory=list)


def contents(folder: Path) -> dict[str, str]:
    """Each file below a folder with a hash of what any two runs must have in common."""
    return {
        str(path.relative_to(folder)): "" if path.name.endswith(UNCOMPARED) else hashed(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def hashed(path: Path) -> str:
    content = path.read_bytes()
    if path.name in ("metrics.csv", "sweep.csv"):
        rows = csv.DictReader(io.StringIO(content.decode()))
        content = repr([{key: row[key] for key in row if key not in TIMES} for row in rows]).encode()
    elif path.name == "env.json":
        content = repr({key: each for key, each in json.loads(content).items() if key not in PASSING}).encode()
    elif path.suffix == ".parquet":
        from pyarrow import parquet

        content = repr(parquet.read_table(io.BytesIO(content)).to_pylist()).encode()
    return hashlib.sha256(content).hexdigest()


class Bench:
    """The places, and what has been made for the trials. source: pictures, runs to start from."""

    def __init__(self, place: Path, temporary: Path, seed: int) -> None:
        self.place, self.temporary = place, temporary
        self.random = random.Random(seed)
        self.source = place / "source"
        self.log = place.parent / "log.txt"
        self.environment = {"TMPDIR": str(temporary), "MIEN_CACHE": str(place.parent / "cache")}

    def must(self, words: Sequence[str]) -> None:
        if code := ended(child(partial(command, words), self.log, self.environment)):
            raise RuntimeError(f"mien {' '.join(words)} ended with {code}:\n{self.log.read_text()[-2000:]}")

    def make_sources(self, learning: bool) -> None:
        """Pictures, a store, settings; learning: runs too, finished ones and one that was stopped."""
        self.source.mkdir()
        draw = child(partial(drawn_pictures, self.source / "pictures"), self.log)
        if ended(draw):
            raise RuntimeError(self.log.read_text()[-2000:])
        settings = self.source / "tiny.yaml"
        settings.write_text(json.dumps(TINY))  # JSON is YAML
        train = ["run", "--config", str(settings)]
        for name, seed in (("a", "0"), ("b", "1")) if learning else ():
            self.must([*train, "--seed", seed, "--out", str(self.source / name)])
        if learning:
            self._stop_after_an_epoch([*train, "--out", str(self.source / "begun")])
        self.must(
            ["data", "prepare", str(self.source / "pictures"), "--out", str(self.source / "store"), "--data.size", "8"]
        )

    def _stop_after_an_epoch(self, words: list[str]) -> None:
        """A run as a kill after its first epoch leaves it."""

        def work() -> int:
            import mien.train.callbacks as callbacks

            def on_train_epoch_end(self: Any, trainer: Any, task: Any) -> None:
                if trainer.current_epoch == 1:
                    os.kill(os.getpid(), signal.SIGKILL)

            callbacks.Diverged.on_train_epoch_end = on_train_epoch_end  # type: ignore[method-assign]
            return command(words)

        ended(child(work, self.log, self.environment))

    def kinds(self) -> dict[str, Kind]:
        source = self.source
        train = ["run", "--config", str(source / "tiny.yaml"), "--out"]
        sweep = ["sweep", "--config", str(source / "tiny.yaml"), "--train.lr", "0.01,0.001", "--train.epochs", "1"]

        def resumed(at: Path) -> list[str]:
            run = at / "run"
            return ["run", str(run), "--resume"] if (run / "recipe.yaml").is_file() else [*train, str(run)]

        def swept(at: Path) -> list[str]:
            begun = (at / "s" / "sweep.json").is_file()
            return ["sweep", "--resume", str(at / "s")] if begun else [*sweep, "--out", str(at / "s")]

        def nothing(at: Path, source: Path) -> None:
            """A verb that needs nothing in its folder."""

        predict = ["predict", str(source / "pictures" / "happy"), "--model", "mien:tiny", "--no-detect", "--out"]
        pictures = ["data", "prepare", str(source / "pictures"), "--data.size", "16", "--out"]
        return {
            "prepare": Kind(nothing, lambda at: [*pictures, str(at / "store")]),
            "prepare, replacing": Kind(copies("store"), lambda at: [*pictures, str(at / "store")]),
            "train": Kind(nothing, lambda at: [*train, str(at / "run")], resumed),
            "train, overwriting": Kind(
                copies("b", "run"), lambda at: [*train, str(at / "run"), "--overwrite"],
                lambda at: resumed(at) if is_new(at / "run") else [*train, str(at / "run"), "--overwrite"],
            ),
            "resume": Kind(copies("begun", "run"), lambda at: ["run", str(at / "run"), "--resume"]),
            "export": Kind(copies("a", "run"), lambda at: ["export", str(at / "run")]),
            "average": Kind(
                nothing, lambda at: ["average", str(source / "a"), str(source / "b"), "--out", str(at / "mean")],
                lambda at: ["average", str(source / "a"), str(source / "b"), "--out", str(at / "mean"), "--overwrite"],
            ),
            "sweep": Kind(nothing, lambda at: [*sweep, "--out", str(at / "s")], swept),
            "predict to csv": Kind(nothing, lambda at: [*predict, str(at / "t.csv")]),
            "predict to parquet": Kind(nothing, lambda at: [*predict, str(at / "t.parquet")]),
        }  # fmt: skip

    def reference(self, name: str, kind: Kind) -> Reference:
        at = self._fresh(kind)
        notes = self.place.parent / "notes"
        start = time.perf_counter()
        code = ended(child(partial(counted, kind.words(at), None, notes), self.log, self.environment))
        seconds = time.perf_counter() - start
        if code:
            raise RuntimeError(f"{name} ended with {code}:\n{self.log.read_text()[-2000:]}")
        changes, modules = json.loads(notes.read_text())
        for module in modules:  # so that the next process need not
            with suppress(Exception):
                importlib.import_module(module)
        return Reference(contents(at), seconds, changes)

    def _fresh(self, kind: Kind) -> Path:
        at = self.place / "trial"
        shutil.rmtree(at, ignore_errors=True)
        at.mkdir()
        kind.prepare(at, self.source)
        return at

    def trial(self, kind: Kind, known: Reference, by_step: bool) -> tuple[bool, str]:
        """Whether it was killed before it had ended, and what is wrong then, '' where nothing is."""
        at = self._fresh(kind)
        before = set(os.listdir(self.temporary))
        step = self.random.randrange(known.changes) if by_step else None
        instant = self.random.uniform(0, known.seconds)
        pid = child(partial(counted, kind.words(at), step, None), self.log, self.environment)
        if not by_step:
            time.sleep(instant)
            os.kill(pid, signal.SIGKILL)
        killed = ended(pid) == -signal.SIGKILL
        self.log.write_text("")
        code = ended(child(partial(command, (kind.again or kind.words)(at)), self.log, self.environment))
        when = f"killed before change {step} of {known.changes}" if by_step else f"killed after {instant:.2f} s"
        if code:
            return killed, f"{when}, again ended with {code}: {self.log.read_text()[-400:]}"
        found = contents(at)
        if left := sorted(found.keys() - known.files.keys()):
            return killed, f"{when}, left behind: {', '.join(left[:5])}"
        if missing := sorted(known.files.keys() - found.keys()):
            return killed, f"{when}, missing: {', '.join(missing[:5])}"
        if other := [name for name in found if found[name] != known.files[name]]:
            return killed, f"{when}, not the same: {', '.join(other[:5])}"
        if folders := [path.name for path in at.rglob(".*")]:
            return killed, f"{when}, left behind: {', '.join(folders[:5])}"
        if rest := set(os.listdir(self.temporary)) - before:
            return killed, f"{when}, left in TMPDIR: {', '.join(sorted(rest)[:5])}"
        return killed, ""


def copies(name: str, to: str | None = None) -> Callable[[Path, Path], None]:
    def prepare(at: Path, source: Path) -> None:
        shutil.copytree(source / name, at / (to or name))

    return prepare


def is_new(run: Path) -> bool:
    """Whether the run that overwrites stands already: it has another seed than the one that it replaces."""
    return (run / "recipe.yaml").is_file() and "seed: 1" not in (run / "recipe.yaml").read_text()


def drawn_pictures(folder: Path) -> int:
    from mien.data.sources.drawn_faces import read

    faces = read(56, 24, seed=0)
    for i in range(len(faces)):
        path = folder / faces.classes[faces.labels[i]] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        faces.read(i).save(path)
    return 0


def import_everything(learning: bool) -> None:
    import mien.cli

    if not learning:
        return
    import torch

    import mien.report
    import mien.train.run  # noqa: F401

    torch.set_num_threads(1)


@contextmanager
def places() -> Iterator[tuple[Path, Path]]:
    """A folder on a file system of its own where this is root on Linux, and one for TMPDIR on another."""
    with tempfile.TemporaryDirectory() as folder:
        place, temporary = Path(folder) / "place", Path(folder) / "tmp"
        place.mkdir()
        temporary.mkdir()
        mounted = sys.platform == "linux" and os.geteuid() == 0
        mounted = mounted and not subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512m", "tmpfs", place]).returncode
        try:
            yield place, temporary
        finally:
            if mounted:
                subprocess.run(["umount", "-l", place], check=True)


def measured(trials: int, only: Sequence[str], seed: int, out: Path) -> dict[str, Any]:
    """Kills of all kinds in turn; what is known by then is written every 20 trials."""
    with places() as (place, temporary):
        bench = Bench(place, temporary, seed)
        kinds = {name: kind for name, kind in bench.kinds().items() if not only or name in only}
        learning = bool(kinds.keys() - QUICK)
        import_everything(learning)
        bench.make_sources(learning)
        known = {name: bench.reference(name, kind) for name, kind in kinds.items()}
        results = {name: Result() for name in kinds}
        turns = [name for name in kinds for _ in range(OFTEN.get(name, 1))]
        for trial in range(trials):
            if trial % len(turns) == 0:
                bench.random.shuffle(turns)
            name = turns[trial % len(turns)]
            result = results[name]
            killed, problem = bench.trial(kinds[name], known[name], by_step=result.trials % 2 == 0)
            result.trials, result.killed = result.trials + 1, result.killed + killed
            if problem:
                result.problems.append(problem)
                print(f"{name}: {problem}", file=sys.stderr, flush=True)
            if trial % 20 == 19 or trial == trials - 1:
                found = summed_up(results, os.stat(place).st_dev != os.stat(temporary).st_dev)
                out.write_text(json.dumps(found, indent=1) + "\n")
        return found


def summed_up(results: dict[str, Result], two: bool) -> dict[str, Any]:
    kinds = {
        name: {"trials": one.trials, "killed": one.killed, "the_same": one.trials - len(one.problems)}
        | ({"problems": one.problems} if one.problems else {})
        for name, one in results.items()
    }
    return {"trials": sum(one.trials for one in results.values()), "two_file_systems": two, "kinds": kinds}


def table(found: dict[str, Any]) -> str:
    lines = [f"{'':<20}{'trials':>8}{'killed':>8}{'the same':>10}"]
    for name, one in found["kinds"].items():
        lines.append(f"{name:<20}{one['trials']:>8}{one['killed']:>8}{one['the_same']:>10}")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--only", nargs="+", default=[])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "kills.json")
    given = parser.parse_args()
    result = measured(given.trials, given.only, given.seed, given.out)
    print(table(result))
    sys.exit(any("problems" in one for one in result["kinds"].values()))
