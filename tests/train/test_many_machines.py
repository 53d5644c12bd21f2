"""Two machines of two processes each, as network namespaces with addresses of their own: by torchrun and by srun.

Takes minutes, so it is run where MIEN_TEST_MACHINES is set; .ci/run sets it.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mien import config
from mien.config import Augment, Data, Model, Recipe, Train
from mien.recipes import load
from mien.runs.folder import RunFolder, read_env
from mien.runs.history import read_epochs
from mien.train import run

pytestmark = [
    pytest.mark.skipif("MIEN_TEST_MACHINES" not in os.environ, reason="minutes: set MIEN_TEST_MACHINES=1"),
    pytest.mark.skipif(not shutil.which("ip") or os.geteuid() != 0, reason="needs root and ip, for network namespaces"),
    pytest.mark.timeout(600),
]
FACES = {"source": "drawn_faces", "images": 70, "size": 16, "path": None}
VIT = Recipe(
    name="vit",
    data=Data(**FACES),
    model=Model(name="vit", patch_size=8, embed_dim=16, depth=2, num_heads=2, stem="conv"),  # which has batch norms
    augment=Augment(hflip=0.5, rotate=10),
    train=Train(epochs=3, batch_size=8, optimizer="sgd", lr=0.3, precision="fp32", checkpoint_minutes=1e-4),
)
LENET = load("fer2013_lenet")[0].with_(
    data=FACES, device="cpu", train={"epochs": 2, "batch_size": 16, "optimizer": "sgd", "lr": 0.3, "precision": "fp32"}
)


class Machine:
    """A network namespace with one address; what is started in it has no other network."""

    def __init__(self, number: int, folder: Path) -> None:
        self.number, self.folder = number, folder
        self.name, self.link = f"mien-{os.getpid()}-{number}", f"mi{os.getpid() % 100000}v{number}"
        self.address = f"10.77.0.{number + 1}"

    def start(self, words: list[str], recipe: Path, out: Path | None, **variables: str) -> subprocess.Popen[str]:
        own = {"MIEN_CACHE": str(self.folder / "cache"), "GLOO_SOCKET_IFNAME": self.link, "OMP_NUM_THREADS": "1"}
        command = ["ip", "netns", "exec", self.name, sys.executable, *words, "-m", "mien", "run"]
        where = ["--out", str(out)] if out else []
        return subprocess.Popen(
            [*command, "--config", str(recipe), "--device", "cpu", *where],
            cwd=self.folder, env={**os.environ, **own, **variables}, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def torchrun(self, recipe: Path, out: Path) -> subprocess.Popen[str]:
        words = [
            *("-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "2", "--max-restarts", "3"),
            *("--rdzv-id", "job", "--rdzv-backend", "c10d", "--rdzv-endpoint", "10.77.0.1:29411"),
            *("--rdzv-conf", f"last_call_timeout=1,is_host={int(self.number == 0)}", "--local-addr", self.address),
        ]
        return self.start(words, recipe, out, TORCH_DISABLE_SHARE_RDZV_TCP_STORE="1")

    def kill(self) -> None:
        """Kill -9 everything on it."""
        for each in subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True).stdout.split():
            os.kill(int(each), signal.SIGKILL)


@pytest.fixture
def machines(tmp_path) -> Iterator[list[Machine]]:
    two = [Machine(number, tmp_path) for number in (0, 1)]
    try:
        for each in two:
            if subprocess.run(["ip", "netns", "add", each.name], stderr=subprocess.DEVNULL).returncode:
                pytest.skip("no network namespaces may be made here")
        one, other = two
        ip("link", "add", one.link, "type", "veth", "peer", "name", other.link)
        for each in two:
            ip("link", "set", each.link, "netns", each.name)
            ip("-n", each.name, "addr", "add", f"{each.address}/24", "dev", each.link)
            for link in ("lo", each.link):
                ip("-n", each.name, "link", "set", link, "up")
        yield two
    finally:
        for each in two:
            each.kill()
            subprocess.run(["ip", "netns", "del", each.name], stderr=subprocess.DEVNULL)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def ended(*started: subprocess.Popen[str]) -> list[str]:
    told = [process.communicate(timeout=400)[1] for process in started]
    assert [process.returncode for process in started] == [0] * len(started), told
    return told


def write(folder: Path, recipe: Recipe) -> Path:
    (folder / "recipe.yaml").write_text(config.dump(recipe))
    return folder / "recipe.yaml"


def alone(recipe: Recipe, tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    return run.run(recipe.with_(train={"checkpoint_minutes": 0}), tmp_path / "alone")


def difference(one: Path, two: Path) -> float:
    first, second = (load_file(folder / "model" / "model.safetensors") for folder in (one, two))
    return max((first[name].float() - second[name].float()).abs().max().item() for name in first)


def refuse_other_epochs(one: Path, two: Path) -> None:
    for a, b in zip(read_epochs(one), read_epochs(two), strict=True):
        for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy"):
            assert a[name] == pytest.approx(b[name], abs=1e-5)


def test_torchrun_on_two_machines_trains_lenet_as_one_process_does(machines, tmp_path, monkeypatch):
    recipe = write(tmp_path, LENET)
    first, second = ended(*(each.torchrun(recipe, tmp_path / "shared") for each in machines))
    assert "epoch   2/2" in first
    assert "epoch" not in second, "the first process alone speaks"
    assert f"{first}{second}".count("Decoding") <= 1, "and one decodes"
    assert read_env(tmp_path / "shared").processes == 4
    assert len(RunFolder.open(tmp_path / "shared").predictions()) == 70
    one = alone(LENET, tmp_path, monkeypatch)
    assert difference(one, tmp_path / "shared") < 1e-5
    refuse_other_epochs(one, tmp_path / "shared")


def test_a_killed_machine_is_started_again_and_srun_and_one_process_end_alike(machines, tmp_path, monkeypatch):
    """The ViT's run goes on within an epoch, and ends with the very weights of a run that nobody killed."""
    recipe = write(tmp_path, VIT)
    started = [each.torchrun(recipe, tmp_path / "killed") for each in machines]
    last = tmp_path / "killed" / "checkpoints" / "last.ckpt"
    until = time.monotonic() + 300
    while not (last.is_file() and torch.load(last, weights_only=True)["epoch"] == 1) and time.monotonic() < until:
        time.sleep(0.1)
    machines[1].kill()
    started[1].communicate()
    steps = torch.load(last, weights_only=True)["global_step"]
    started[1] = machines[1].torchrun(recipe, tmp_path / "killed")
    told, _ = ended(*started)
    assert 8 < steps < 24
    assert "Another process of this run ended" in told

    task = {"SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "2", "SLURM_JOB_ID": "4711"}
    task |= {"SLURM_STEP_ID": "0", "SLURM_JOB_NAME": "train", "MASTER_ADDR": "10.77.0.1"}
    ended(
        *(
            each.start([], recipe, None, **task, SLURM_NODEID=str(each.number), SLURM_LOCALID=str(local),
                       SLURM_PROCID=str(2 * each.number + local))
            for each in machines for local in (0, 1)
        )
    )  # fmt: skip
    whole = tmp_path / "runs" / "vit-4711-0"
    assert difference(whole, tmp_path / "killed") == 0
    one = alone(VIT, tmp_path, monkeypatch)
    assert difference(one, whole) < 1e-5
    for folder in (whole, tmp_path / "killed"):
        refuse_other_epochs(one, folder)
