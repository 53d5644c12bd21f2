"""A tiny exported network, made once, and a server of it."""

import subprocess
import sys

import numpy as np
import pytest
from exported_run import train_and_export
from PIL import Image
from served import LIMITED

from mien.runtime import Network


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    return train_and_export(tmp_path_factory.mktemp("serve")) / "model.onnx"


@pytest.fixture(scope="session")
def network(exported):
    return Network.open(exported, threads=1)


@pytest.fixture
def pictures():
    """Five pictures of 60 x 40 random pixels."""
    return [Image.fromarray(array) for array in np.random.default_rng(0).integers(0, 256, (5, 40, 60, 3), np.uint8)]


@pytest.fixture(scope="module")
def terminal(tmp_path_factory):
    """What the server says on stderr."""
    return tmp_path_factory.mktemp("server") / "stderr"


@pytest.fixture(scope="module")
def server(exported, terminal):
    """A server with a body limit of 1 MB and one second of patience; its address."""
    command = [sys.executable, "-c", LIMITED, str(exported)]
    with terminal.open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    host, _, port = process.stdout.readline().strip().removeprefix("http://").rstrip("/").partition(":")
    yield host, int(port)
    process.terminate()
    process.wait(20)
