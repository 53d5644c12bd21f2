"""A full disk during each verb: exit code 1, a true message, and once space is free the same command succeeds."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import mien
from mien.cli import main

TINY = {
    "data": {"source": "drawn_faces", "images": 70, "size": 16},
    "model": {"name": "lenet"},
    "train": {"epochs": 1, "batch_size": 32, "precision": "fp32"},
    "device": "cpu",
}


@pytest.fixture(scope="module")
def disk(tmp_path_factory):
    """A file system of 16 MB."""
    place = tmp_path_factory.mktemp("disk")
    if sys.platform != "linux" or os.geteuid():
        pytest.skip("mounting a small disk needs root on Linux")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", place], capture_output=True).returncode:
        pytest.skip("no disk may be mounted here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """On another disk: settings, two runs, pictures and a film."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "tiny.yaml").write_text(json.dumps(TINY))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_CACHE", str(folder / "cache"))
        for name, seed in (("a", 0), ("b", 1)):
            mien.train(mien.recipe("quickstart", **TINY, seed=seed), folder / name)
    (folder / "pictures").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (6, 64, 64, 3), dtype=np.uint8)
    for number, one in enumerate(pixels):
        Image.fromarray(one).save(folder / "pictures" / f"{number}.png")
        (folder / "classes" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(one).save(folder / "classes" / "ab"[number % 2] / f"{number}.png")
    film = cv2.VideoWriter(str(folder / "film.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 5, (64, 64))
    for one in pixels:
        film.write(one)
    film.release()
    return folder


# On `disk` is a copy of the run a, named run.
VERBS = {
    "run": "run --config {sources}/tiny.yaml --out {disk}/new",
    "data prepare": "data prepare {sources}/classes --data.size 16 --out {disk}/store",
    "export": "export {sources}/a --out {disk}/a.onnx",
    "average": "average {sources}/a {sources}/b --out {disk}/mean",
    "sweep": "sweep --config {sources}/tiny.yaml --train.lr 0.1,0.01 --out {disk}/sweep",
    "evaluate": "evaluate {disk}/run --csv",
    "report": "report {disk}/run",
    "explain": "explain {sources}/a {sources}/pictures/0.png --methods occlusion --out {disk}/page.html",
    "predict to csv": "predict {sources}/pictures --model mien:tiny --no-detect --out {disk}/t.csv",
    "predict to parquet": "predict {sources}/pictures --model mien:tiny --no-detect --out {disk}/t.parquet",
    "predict, drawing": "predict {sources}/pictures --model mien:tiny --no-detect --draw {disk}/drawn",
    "film": "predict {sources}/film.avi --model mien:tiny --no-detect --draw {disk}/film",
}


def fill(path):
    """Take all the space that there is."""
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@pytest.mark.parametrize("verb", VERBS)
def test_a_full_disk_is_told_and_the_verb_repeated(disk, sources, monkeypatch, capsys, verb):
    monkeypatch.setenv("MIEN_CACHE", str(sources / "cache"))
    for entry in disk.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    shutil.copytree(sources / "a", disk / "run")
    (disk / "run" / "predictions.npz").unlink()  # evaluate writes it again
    words = VERBS[verb].format(disk=disk, sources=sources).split()
    filler = disk / "filler"
    fill(filler)
    code = main(words)
    said = capsys.readouterr().err
    assert (code, "Traceback" in said) == (1, False), said
    assert any(reason in said for reason in ("No space left on device", "disk may be full", "MB free")), said
    assert not [path for path in disk.rglob("*") if path.name.endswith(".mien-draft")]
    filler.unlink()
    if verb == "run" and (disk / "new" / "recipe.yaml").is_file():
        words = ["run", str(disk / "new"), "--resume"]
    elif verb == "sweep" and (disk / "sweep" / "sweep.json").is_file():
        words = ["sweep", "--resume", str(disk / "sweep")]
    assert main(words) == 0, capsys.readouterr().err
    assert not [path for path in disk.rglob("*") if path.name.endswith(".mien-draft")]
    assert all(path.stat().st_size for path in Path(disk).rglob("*") if path.is_file())
