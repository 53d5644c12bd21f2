"""`mien run` in processes: two that train as one does, and one that Ctrl-C stops."""

import os
import signal
import subprocess
import sys

import pytest
from tiny_training import change, weights

from mien import config
from mien.runs.history import read_epochs

pytestmark = pytest.mark.usefixtures("shared_cache")


def command(folder, **train):
    flags = [f"--train.{key}={value}" for key, value in train.items()]
    return [sys.executable, "-m", "mien", "run", "--config", str(folder / "tiny.yaml"), *flags]


def write(folder, recipe):
    (folder / "tiny.yaml").write_text(config.dump(recipe))


def test_two_processes_train_as_one_does(tmp_path):
    """Same global batch, with augmentation; dropout aside, whose masks differ between processes.

    With SGD: Adam divides by the size of a gradient, and so blows up the rounding of those that are near 0.
    """
    still = {"drop_rate": 0.0, "drop_path_rate": 0.0}
    settings = {"epochs": 2, "batch_size": 28, "optimizer": "sgd", "lr": 0.5}
    write(tmp_path, change(model=still, train=settings))
    for processes in (1, 2):
        out = tmp_path / f"by{processes}"
        subprocess.run([*command(tmp_path, processes=processes), "--out", str(out), "--device", "cpu"], check=True)
    one, two = weights(tmp_path / "by1"), weights(tmp_path / "by2")
    assert max((one[name] - two[name]).abs().max().item() for name in one) < 1e-5
    histories = [read_epochs(tmp_path / name) for name in ("by1", "by2")]
    for a, b in zip(*histories, strict=True):
        assert a["val_loss"] == pytest.approx(b["val_loss"], abs=1e-5)
        assert a["train_loss"] == pytest.approx(b["train_loss"], abs=1e-5)
        assert a["val_calibration_error"] == pytest.approx(b["val_calibration_error"], abs=1e-5)


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
def test_ctrl_c_exits_130_and_resume_goes_on(tmp_path):
    write(tmp_path, change(train={"epochs": 500}))
    out = tmp_path / "run"
    process = subprocess.Popen(
        [*command(tmp_path), "--out", str(out)],
        stderr=subprocess.PIPE,
        text=True,
        # A background job of a shell ignores SIGINT, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    for line in process.stderr:
        if line.startswith("epoch   2/"):
            process.send_signal(signal.SIGINT)
            break
    rest = process.stderr.read()
    assert process.wait() == 130, rest
    assert f"mien run {out} --resume" in rest
    assert (out / "checkpoints" / "last.ckpt").exists()
    finished = len(read_epochs(out))
    (out / "manifest.json").unlink()  # so that files may change
    text = (out / "recipe.yaml").read_text().replace("epochs: 500", f"epochs: {finished + 1}")
    (out / "recipe.yaml").write_text(text)
    subprocess.run([sys.executable, "-m", "mien", "run", str(out), "--resume"], check=True)
    assert len(read_epochs(out)) == finished + 1
    assert (out / "report.html").exists()
