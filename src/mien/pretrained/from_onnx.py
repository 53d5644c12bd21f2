"""Exported networks -> checkpoints: what `mien export` wrote opens in torch again, to be explained or trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import nn

from mien import plugins
from mien.errors import DataError, UsageError
from mien.models import create_model
from mien.preprocessing import Preprocessing
from mien.pretrained.checkpoint import Checkpoint, refuse_mismatch
from mien.pretrained.unfold import restore
from mien.runtime.network import locate
from mien.runtime.seal import KEY, unseal

ONNX_FILE = "onnx_file"  # an adopted network, which is the file itself
BESIDE = "network.json"  # name and sizes of an export that does not say them itself


def read(where: str | Path, source: str = "") -> Checkpoint:
    """The checkpoint of an export: a file, a folder that holds one, 'mien:base', or 'hf-hub:OWNER/NAME'.

    source: what messages call it; `where` if not given. Raises MissingError when there is none, DataError when it is no
    export of mien's, was changed, does not say which network it holds, or names code that is not allowed.
    """
    path = locate(where)
    arrays, text = read_arrays(path)
    if text is None:
        raise DataError(f"{path} is an ONNX file, but not one that mien exported: it does not say its labels.")
    values = unseal(path.read_bytes(), text, str(path))
    try:
        network = values.get("network") or _beside(path)
        preprocessing, labels = Preprocessing(**values["preprocessing"]), tuple(values["labels"])
        sizes = {key: tuple(value) if isinstance(value, list) else value for key, value in network["sizes"].items()}
        name = network["name"]
        plugins.refuse_foreign(name, "model.name", path)
        if name == ONNX_FILE:
            weights = {"file": torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)}
            sizes["bytes"] = len(weights["file"])
        model = _built(name, sizes, path)
        weights = weights if name == ONNX_FILE else restore(model, arrays, network.get("tensors", {}))
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError, SafetensorError) as error:
        raise DataError(f"{path} does not say which network it holds ({error}). Export it again.") from error
    known = model.state_dict()
    counts = {key: value for key, value in known.items() if key.endswith("num_batches_tracked")}
    refuse_mismatch(counts | weights, known, str(path))
    about = preprocessing.to_dict()
    scale = (preprocessing.mean, preprocessing.std)
    return Checkpoint(
        name,
        sizes,
        weights,
        source or str(where),
        *scale,
        labels,
        preprocessing=about,
        norms_anew="tensors" not in network,
    )


def _built(name: str, sizes: dict[str, Any], path: Path) -> nn.Module:
    """The network that a file names. Raises DataError for wrong sizes, which are the file's, unless the code is own."""
    try:
        return create_model(name, **sizes)
    except UsageError as error:
        if plugins.is_code(name):
            raise
        raise DataError(f"{path} does not say which network it holds ({error}) Export it again.") from error


def _beside(path: Path) -> dict[str, Any]:
    """Name and sizes of a network that says neither, from the file beside it: those that came with mien 0.1.0."""
    file = path.with_name(BESIDE)
    if not file.is_file():
        raise DataError(
            f"{path} does not say which network it holds: it was exported by mien 0.1.0. Export its run again, or use "
            "the run in its place."
        )
    return dict(json.loads(file.read_text(encoding="utf-8")))


def read_arrays(path: Path) -> tuple[dict[str, np.ndarray], str | None]:
    """The arrays of a file in fp32 by their names before they were made smaller, and its metadata."""
    import onnx

    try:
        graph = onnx.load(path)
    except Exception as error:  # protobuf's own, of which there are several
        raise DataError(f"{path} cannot be read as an ONNX model. Export it again.") from error
    found = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.graph.initializer}
    axes = {
        node.input[0]: next((each.i for each in node.attribute if each.name == "axis"), 1)
        for node in graph.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in found
    }
    text = next((entry.value for entry in graph.metadata_props if entry.key == KEY), None)
    return as_fp32(found, axes), text


def as_fp32(arrays: dict[str, np.ndarray], axes: Mapping[str, int]) -> dict[str, np.ndarray]:
    """The arrays of a graph without the traces of fp16 and int8: `w.fp16` and `w_quantized` are `w` again.

    axes: of arrays that the graph itself makes fp32 of, the axis along which each entry has a scale of its own. Exports
    of mien 0.2 have none: there int8 was multiplied as it is.
    """
    found = {}
    for name, array in arrays.items():
        if name in axes:
            scale, zero = (_scale_of(arrays, name, kind) for kind in ("scale", "zero_point"))
            along = [1] * array.ndim
            along[axes[name] if scale.ndim else 0] = -1 if array.ndim else 1
            whole = array.astype(np.float32) - zero.reshape(along).astype(np.float32)
            found[name.removesuffix("_quantized")] = whole * scale.reshape(along)
        elif name.endswith("_quantized"):
            base = name.removesuffix("_quantized")
            found[base] = _dequantised(base, array, arrays[f"{base}_scale"], arrays[f"{base}_zero_point"])
        else:
            found[name.removesuffix(".fp16")] = array.astype(np.float32) if array.dtype == np.float16 else array
    return found


def _scale_of(arrays: Mapping[str, np.ndarray], name: str, kind: str) -> np.ndarray:
    """A bias's scale is named after its own array, a weight's after the weight."""
    return arrays.get(f"{name}_{kind}", arrays.get(f"{name.removesuffix('_quantized')}_{kind}", np.zeros(())))


def _dequantised(name: str, array: np.ndarray, scale: np.ndarray, zero: np.ndarray) -> np.ndarray:
    """A scale for each output: of kernels (out, in, h, w) along the first axis, of matrices (in, out) the last one."""
    if scale.ndim and array.ndim == 4:
        scale, zero = (each.reshape(-1, 1, 1, 1) for each in (scale, zero))
    found = (array.astype(np.float32) - zero.astype(np.float32)) * scale
    # A linear layer's own matrix, (out, in), was turned on the way; others were turned, and renamed, before.
    return found.T if scale.ndim and array.ndim == 2 and name.endswith(".weight") else found
