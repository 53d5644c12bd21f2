"""Exports on the Hugging Face hub, which is stood in for."""

import errno
import importlib
import json
import shutil
import sys
from importlib.util import find_spec

import pytest
from PIL import Image

import mien
from mien.assets import asset
from mien.cli import main
from mien.errors import MienError, MissingError
from mien.hub import _refusals
from mien.runtime.network import locate

hub = pytest.importorskip("huggingface_hub")


@pytest.fixture
def repository(monkeypatch, tmp_path):
    """Puts files into the stand-in repository jane/faces, which holds one of mien's exports under these names."""
    folder = tmp_path / "cache"
    folder.mkdir()
    asked = []

    def snapshot_download(name, revision, repo_type, allow_patterns):
        assert name == "jane/faces"
        asked.append(allow_patterns)
        return str(folder)

    def put(*names):
        monkeypatch.setattr(hub, "list_repo_files", lambda name, revision, repo_type: ["README.md", *names])
        for name in names:
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(asset("tiny", "model.onnx"), folder / name)
        return folder, asked

    monkeypatch.setattr(hub, "snapshot_download", snapshot_download)
    return put


def test_an_export_of_the_hub_reads_faces(repository, tmp_path, capsys):
    repository("faces.onnx")
    Image.new("L", (48, 48), 99).save(tmp_path / "face.png")
    words = ["predict", str(tmp_path / "face.png"), "--no-detect", "--json", "--model"]
    assert main([*words, "hf-hub:jane/faces"]) == 0
    found = capsys.readouterr()
    assert "Looking for jane/faces on the Hugging Face hub" in found.err
    face = mien.load("mien:tiny").read(tmp_path / "face.png", detect=False)[0]
    assert json.loads(found.out)["faces"] == [face.to_dict()]


def test_which_file_of_a_repository(repository, monkeypatch):
    folder, asked = repository("onnx/faces.onnx")
    assert locate("hf-hub:jane/faces") == folder / "onnx" / "faces.onnx"
    repository("onnx/faces.onnx", "other.onnx")
    with pytest.raises(
        MissingError, match=r"several .*, and none is model\.onnx: onnx/faces\.onnx, other\.onnx\. Down"
    ):
        locate("hf-hub:jane/faces")
    repository("model.onnx", "other.onnx")
    assert locate("hf-hub:jane/faces") == folder / "model.onnx"
    assert asked == [["onnx/faces.onnx"], ["model.onnx"]]
    repository("model.safetensors")
    with pytest.raises(MissingError, match=r"has no \.onnx file\. .* train from: .*'init': 'hf-hub:jane/faces'"):
        locate("hf-hub:jane/faces")


def test_without_a_network_the_cache_decides(repository, monkeypatch):
    folder, asked = repository("faces.onnx")

    def offline(*arguments, **keywords):
        raise OSError("no route to host")

    monkeypatch.setattr(hub, "list_repo_files", offline)
    assert locate("hf-hub:jane/faces") == folder / "faces.onnx"
    assert asked == [["*.onnx"]]
    monkeypatch.setattr(hub, "snapshot_download", offline)
    with pytest.raises(MissingError, match=r"hub cannot be reached \(no route to host\.\) Download its \.onnx file"):
        locate("hf-hub:jane/faces")


def test_what_the_hub_cannot_give(monkeypatch, capsys, tmp_path):
    from huggingface_hub.errors import HFValidationError

    def unknown(*arguments, **keywords):
        raise HFValidationError("bad id")

    monkeypatch.setattr(hub, "list_repo_files", unknown)
    with pytest.raises(MissingError, match=r"the hub has no such model that you may read\. An id is OWNER/NAME"):
        locate("hf-hub:nobody//nothing")
    with pytest.raises(MissingError, match=r"no such model file\..* A model on the .* hub is hf-hub:jane/faces\."):
        locate("jane/faces")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    Image.new("L", (48, 48)).save(tmp_path / "face.png")
    assert main(["predict", str(tmp_path / "face.png"), "--model", "hf-hub:jane/faces"]) == 3
    assert "hf-hub:jane/faces needs the 'hub' extra: pip install 'mien[hub]'" in capsys.readouterr().err


def test_a_line_that_drops_while_a_file_comes(repository, monkeypatch):
    repository("model.onnx")

    library = next(name for name in ("httpx2", "httpx", "requests") if find_spec(name))

    def dropped(*_, **__):
        raise importlib.import_module(library).ReadTimeout("the read timed out")

    monkeypatch.setattr(hub, "snapshot_download", dropped)
    with pytest.raises(MissingError, match=r"the hub cannot be reached \(the read timed out"):
        locate("hf-hub:jane/faces")

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")  # of a write, which names no file

    monkeypatch.setattr(hub, "snapshot_download", full)
    with pytest.raises(MienError, match=r"No space left on device\. Free some space, or choose .* HF_HOME") as told:
        locate("hf-hub:jane/faces")
    assert told.value.exit_code == 1

    def broken(*_, **__):
        raise KeyError("a fault of the program")

    monkeypatch.setattr(hub, "snapshot_download", broken)
    with pytest.raises(KeyError):
        locate("hf-hub:jane/faces")


def test_a_fault_of_the_program_is_not_taken_for_a_hub_that_is_away():
    library = next(name for name in ("httpx2", "httpx", "requests") if find_spec(name))
    nobody = getattr(importlib.import_module(library), "ConnectionError" if library == "requests" else "ConnectError")
    with pytest.raises(KeyError), _refusals("jane/faces"):
        raise KeyError("sha")
    with pytest.raises(MissingError, match=r"the hub cannot be reached \(nobody there\)"), _refusals("jane/faces"):
        raise nobody("nobody there")
