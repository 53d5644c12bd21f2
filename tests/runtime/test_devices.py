"""What computes an .onnx file. No device but the CPU is here: providers of onnxruntime that are stand in for theirs."""

import json

import numpy as np
import onnxruntime
import pytest

import mien
from mien.cli import main
from mien.errors import UsageError
from mien.runtime import devices

PIXELS = np.random.default_rng(2).integers(0, 256, (3, 48, 48), dtype=np.uint8)
OTHER = "AzureExecutionProvider"  # comes with the CPU's wheel, and leaves everything to the CPU


@pytest.fixture(autouse=True)
def said_anew():
    devices._say_instead.cache_clear()


@pytest.fixture
def with_cuda(monkeypatch):
    """onnxruntime as onnxruntime-gpu has it on a machine with a GPU, but that another provider computes."""
    if OTHER not in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has the CPU alone")
    monkeypatch.setitem(devices.DEVICES, "cuda", devices.Device((OTHER,), "onnxruntime-gpu", {}))


def test_auto_takes_the_best_that_is_there_and_the_answers_are_the_same(with_cuda):
    assert devices.available() == ["cuda", "cpu"]
    expected = mien.load("mien:tiny", device="cpu")
    assert expected.network.device == "cpu"
    for device in ("auto", "cuda"):
        found = mien.load("mien:tiny", device=device)
        assert found.network.device == "cuda"
        one, other = (reader.network.probabilities(PIXELS[:, None]) for reader in (found, expected))
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_auto_is_the_cpu_where_nothing_else_is(caplog):
    assert mien.load("mien:tiny", device="auto").network.device == "cpu"
    assert not caplog.text


def test_a_device_that_is_not_there_is_said_once_and_the_cpu_computes(caplog):
    for _ in range(2):
        reader = mien.load("mien:tiny", device="cuda")
    assert reader.network.device == "cpu"
    assert caplog.text.count("`device` cuda: the installed onnxruntime has no provider for it, only for cpu.") == 1
    told = "The CPU computes instead; for cuda: pip uninstall onnxruntime, then pip install onnxruntime-gpu."
    assert told in caplog.text


@pytest.mark.parametrize("raises", [True, False])
def test_a_device_that_does_not_start_is_said_and_the_cpu_computes(with_cuda, monkeypatch, caplog, capsys, raises):
    """Of a wheel for CUDA on a machine whose driver is too old: onnxruntime refuses, or goes on without a word."""
    real = onnxruntime.InferenceSession

    def session(path, options, providers, **more):
        if len(providers) > 1 and raises:
            raise RuntimeError("CUDA failure 35: CUDA driver version is insufficient.\nmore")
        return real(path, options, providers=providers[-1:], **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    assert mien.load("mien:tiny", device="cuda").network.device == "cpu"
    told = "CUDA failure 35: CUDA driver version is insufficient" if raises else "it could not be started"
    assert told in caplog.text
    assert "The CPU computes instead." in caplog.text
    assert not capsys.readouterr().out


def test_an_unknown_device_is_one_sentence(tmp_path, capsys):
    told = r"`device` cud: there is no such device\. Did you mean 'cuda'\? Here there is cpu"
    with pytest.raises(UsageError, match=told):
        mien.load("mien:tiny", device="cud")
    assert main(["predict", str(tmp_path), "--device", "gpu"]) == 2
    told = "--device gpu: there is no such device. Here there is cpu; 'auto' takes the first."
    assert told in capsys.readouterr().err


def test_providers_compute_in_full_precision_and_the_cpu_does_the_rest(monkeypatch):
    asked = []

    def session(path, options, providers, **more):
        asked.append((providers, options.intra_op_num_threads, more))
        raise RuntimeError("no such thing here")

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", devices.CPU_PROVIDER])
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    with pytest.raises(mien.MienError):
        mien.load("mien:tiny", threads=3, device="auto")
    assert asked[0] == ([("CUDAExecutionProvider", {"use_tf32": "0"}), devices.CPU_PROVIDER], 3, {"enable_fallback": 0})
    assert asked[1][0] == [(devices.CPU_PROVIDER, {})]


def test_scores_say_what_computed_them(with_cuda, capsys):
    words = ["evaluate", "mien:tiny", "--data.source", "drawn_faces", "--data.images", "70", "--json"]
    assert main([*words, "--device", "cuda"]) == 0
    on_gpu = json.loads(capsys.readouterr().out)
    assert on_gpu.pop("device") == "cuda"
    assert main(words) == 0
    on_cpu = json.loads(capsys.readouterr().out)
    assert on_cpu.pop("device") == "cpu"
    assert on_gpu == on_cpu


def test_the_same_word_reaches_torch(caplog):
    torch = pytest.importorskip("torch")
    from mien.evaluate.run_model import torch_device

    assert torch_device("cpu") == torch.device("cpu")
    assert torch_device("auto").type in ("cpu", "cuda", "mps")
    assert torch_device("directml") == torch.device("cpu")
    assert "`device` directml: torch computes on cpu" in caplog.text
    with pytest.raises(UsageError, match="no such device"):
        torch_device("tpu")
