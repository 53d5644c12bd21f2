"""Ray on this machine, started once: it takes seconds."""

import logging
import os

import pytest


@pytest.fixture(scope="session")
def cluster():
    """Two processes that read at once. Ray is no part of the tests' environment: .ci/run puts it beside them."""
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'mien[scale]', see .ci/run")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR,
             object_store_memory=200_000_000)  # fmt: skip
    yield ray
    ray.shutdown()
