"""A tiny exported network, made once, and a server of it."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from served import LIMITED

from mien.config import Data, Model, Recipe, Train
from mien.export import export
from mien.runtime import Network
from mien.train import run

RECIPE = Recipe(
    name="tiny",
    data=Data(source="drawn_faces", images=140, size=24),
    model=Model(name="vit", patch_size=8, embed_dim=24, depth=2, num_heads=2, global_pool="flatten", init="torch"),
    train=Train(epochs=1, batch_size=35, lr=3e-3, precision="fp32"),
)


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    place = tmp_path_factory.mktemp("serve")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_CACHE", str(place / "cache"))
        folder = run.run(RECIPE, place / "run")
        export(folder, weights="fp32")
    return folder / "model.onnx"


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
