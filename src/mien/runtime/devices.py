"""What computes an .onnx file: onnxruntime's providers by the names of their devices. No torch.

Sessions for reading pictures are opened here alone, so that threads and options are the same for all of them.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mien.errors import DataError, UsageError, nearest
from mien.progress import warn

if TYPE_CHECKING:
    import onnxruntime

AUTO, CPU = "auto", "cpu"
CPU_PROVIDER = "CPUExecutionProvider"


class Device(NamedTuple):
    """providers: those of onnxruntime that compute on it, the better one first. package: what brings them.

    options: so that they compute in fp32, as the CPU does.
    """

    providers: tuple[str, ...]
    package: str
    options: dict[str, str]


# 'auto' takes the first one that is there.
DEVICES = {
    "cuda": Device(("CUDAExecutionProvider",), "onnxruntime-gpu", {"use_tf32": "0"}),
    "rocm": Device(("MIGraphXExecutionProvider", "ROCMExecutionProvider"), "onnxruntime-migraphx", {}),
    "directml": Device(("DmlExecutionProvider",), "onnxruntime-directml", {}),
    "openvino": Device(("OpenVINOExecutionProvider",), "onnxruntime-openvino", {}),
    "coreml": Device(("CoreMLExecutionProvider",), "onnxruntime", {"ModelFormat": "MLProgram"}),
    CPU: Device((CPU_PROVIDER,), "onnxruntime", {}),
}


def available() -> list[str]:
    """The devices for which the installed onnxruntime has a provider, the fastest first."""
    import onnxruntime

    there = onnxruntime.get_available_providers()
    return [name for name, device in DEVICES.items() if {*device.providers} & {*there}]


def open_session(path: Path, threads: int = 0, device: str = CPU) -> onnxruntime.InferenceSession:
    """A session of onnxruntime for an .onnx file.

    threads: of the CPU; 0 is one for each core. device: one of DEVICES, or 'auto' for the fastest that is there. One
    that is not there is said once, and the CPU computes.
    Raises UsageError for an unknown device, DataError for a file that is no ONNX model.
    """
    wanted = _chosen(device)
    if wanted != CPU:
        try:
            session = _session(path, threads, wanted)
            if session.get_providers()[0] in DEVICES[wanted].providers:
                return session
            why = "it could not be started, which its drivers or libraries may lack"
        except Exception as error:  # onnxruntime's own, of which every provider has some
            why = (str(error).strip() or type(error).__name__).splitlines()[0][:200].rstrip(".")
        _say_instead(wanted, f"{why}. The CPU computes instead")
    return _on_cpu(path, threads)


def device_of(session: onnxruntime.InferenceSession) -> str:
    """The device that computes a session."""
    first = session.get_providers()[0]
    return next((name for name, device in DEVICES.items() if first in device.providers), first)


def check_device(device: str) -> None:
    """Raise UsageError for a name that is none of a device."""
    if device not in (AUTO, *DEVICES):
        hint = nearest(device, DEVICES) if device != "gpu" else ""  # which is no misspelt cpu
        raise UsageError(
            f"`device` {device}: there is no such device.{hint} Here there is {', '.join(available())}; 'auto' takes "
            "the first."
        )


def _chosen(device: str) -> str:
    """The device to try: of 'auto' the fastest that is there, of one that is not there the CPU, which is said."""
    check_device(device)
    there = available()
    if device == AUTO:
        return there[0]
    if device not in there:
        _say_instead(
            device,
            f"the installed onnxruntime has no provider for it, only for {', '.join(there)}. The CPU computes instead; "
            f"for {device}: pip uninstall onnxruntime, then pip install {DEVICES[device].package}",
        )
        return CPU
    return device


@cache
def _say_instead(device: str, why: str) -> None:
    """Warn once in a process."""
    warn(f"`device` {device}: {why}.")


def session_of(content: bytes, threads: int = 0) -> onnxruntime.InferenceSession:
    """A session on the CPU for the bytes of an .onnx file. Raises ValueError for what is no ONNX model."""
    try:
        return _session(content, threads, CPU)
    except _refusals() as error:
        raise ValueError("it is no ONNX model that onnxruntime reads") from error


def _on_cpu(path: Path, threads: int) -> onnxruntime.InferenceSession:
    try:
        path.open("rb").close()  # whose errors name their reason, a missing permission say
        return _session(path, threads, CPU)
    except _refusals() as error:
        raise DataError(
            f"{path} cannot be read as an ONNX model: it is damaged, or was changed after it was exported. Export it "
            "again: `mien.export(RUN)`"
        ) from error


def _refusals() -> tuple[type[Exception], ...]:
    """What onnxruntime raises for a file that is no ONNX model."""
    from onnxruntime.capi import onnxruntime_pybind11_state as states

    known = (states.Fail, states.InvalidArgument, states.InvalidProtobuf, states.InvalidGraph, states.NotImplemented)
    return (*known, RuntimeError)


def _session(source: Path | bytes, threads: int, device: str) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # else waiting threads keep cores busy
    if not _adds_int8_exactly():
        options.add_session_config_entry("session.x64quantprecision", "1")
    if device == "directml":  # which asks for both
        options.enable_mem_pattern = False
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    there = onnxruntime.get_available_providers()
    providers: list[Any] = [(name, DEVICES[device].options) for name in DEVICES[device].providers if name in there][:1]
    if device != CPU:
        providers.append(CPU_PROVIDER)  # for what the device does not compute
    model = source if isinstance(source, bytes) else str(source)
    # Without enable_fallback, as it prints to stdout what it does.
    return onnxruntime.InferenceSession(model, options, providers=providers, enable_fallback=0)


@cache
def _adds_int8_exactly() -> bool:
    """Whether this processor has VNNI; without it sums of int8 products may saturate, and onnxruntime has a slower way.

    False where that cannot be told.
    """
    try:
        return "vnni" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
