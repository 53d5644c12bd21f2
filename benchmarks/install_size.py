"""What `pip install mien` puts on the disk, MiB, by package and by kind of file.

Without --environment a fresh one is made in a temporary folder (its pip counts, too), and SOURCE is installed into it.

Command   python benchmarks/install_size.py [SOURCE] [--environment FOLDER] | tee results/install_size.json
Time      a minute or two, mostly downloading and byte-compiling
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import subprocess
import tempfile
import venv
from collections import Counter
from pathlib import Path

from mien.hardware import commit

LEAST = 2.0  # MiB from which a package is named
HERE = Path(__file__).parents[1]


def packages(folder: Path) -> dict[str, Counter[str]]:
    """Bytes by kind of file of each installed package: what its wheel wrote and what was compiled of it."""
    found = {}
    for package in importlib.metadata.distributions(path=[str(folder)]):
        sizes: Counter[str] = Counter()
        for file in package.files or ():
            path = Path(str(package.locate_file(file)))
            if path.is_file():
                sizes[_kind(path)] += path.stat().st_blocks * 512
        found[f"{package.name} {package.version}"] = sizes
    return found


def _kind(path: Path) -> str:
    if path.suffix == ".pyc":
        return "byte code"
    return "libraries" if ".so" in path.suffixes else "Python" if path.suffix == ".py" else "other"


def _mib(count: int) -> float:
    return round(count / 2**20, 1)


def measured(environment: Path) -> dict[str, object]:
    (folder,) = environment.glob("lib/python*/site-packages")
    found = packages(folder)
    kinds = sum(found.values(), Counter())
    named = {name: _mib(sizes.total()) for name, sizes in sorted(found.items(), key=lambda one: -one[1].total())}
    return {
        "python": platform.python_version(),
        "commit": commit(),
        "MiB": _mib(kinds.total()),
        "by kind": {kind: _mib(count) for kind, count in kinds.most_common()},
        "by package": {name: size for name, size in named.items() if size >= LEAST},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="?", default=str(HERE))
    parser.add_argument("--environment", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        environment = options.environment or Path(scratch) / "fresh"
        if not options.environment:
            venv.create(environment, with_pip=True)
            command = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", options.source]
            subprocess.run(command, check=True)
        print(json.dumps(measured(environment), indent=1))


if __name__ == "__main__":
    main()
