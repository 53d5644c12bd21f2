"""Ray on this machine, started once: it takes seconds."""

import logging
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Two processes that work at once. Ray is no part of the tests' environment: .ci/run puts it beside them."""
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'mien[scale]', see .ci/run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_worker_niceness", "0")  # else they wait for whatever else the machine does
        patch.setenv("MIEN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))  # of the processes, too
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR,
                 object_store_memory=200_000_000)  # fmt: skip
        yield ray
        ray.shutdown()


@pytest.fixture
def processes():
    """Return the processes of Ray that do what is named: processes("MapWorker"). Skips where /proc does not say."""
    if not Path("/proc/self/cmdline").exists():
        pytest.skip("/proc says which processes there are")

    def found(what):
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if f"ray::{what}".encode() in (process / "cmdline").read_bytes():
                    yield int(process.name)
            except OSError:  # it has ended
                pass

    return found
