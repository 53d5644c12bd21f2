"""A network -> an ONNX graph from scaled pixels to logits, for batches of any size, and how its weights are stored."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from mien.data import Store
from mien.errors import MienError
from mien.hub import first_line
from mien.models.onnx_file import OnnxFile
from mien.preprocessing import Preprocessing
from mien.quantise import IMAGES, to_int8

WeightType = Literal["fp32", "fp16", "int8"]


def trace(model: nn.Module, preprocessing: Preprocessing, path: Path) -> None:
    """Write the graph of a network that takes images (B, C, S, S) of this preprocessing, B of any size.

    Raises MienError for a network that torch cannot write.
    """
    if isinstance(model, OnnxFile):
        path.write_bytes(model.content())
        return
    image = torch.zeros(2, preprocessing.channels, preprocessing.size, preprocessing.size)  # 1 would be taken as fixed
    batch = torch.export.Dim("batch", min=1, max=65536)
    try:
        with _quietly(), sdpa_kernel(SDPBackend.MATH):  # attention in its steps: torch loses the layout of a fused one
            torch.onnx.export(
                model.eval().cpu(),
                (image,),
                str(path),
                dynamo=True,
                external_data=False,
                verbose=False,
                input_names=["images"],
                output_names=["logits"],
                dynamic_shapes=({0: batch},),
            )
    except torch.onnx.OnnxExporterError as error:
        raise MienError(
            f"torch cannot write the network {type(model).__name__} as .onnx: {_reason(error)} Evaluating, comparing "
            "and explaining its run take no export."
        ) from error
    _forget_source(path)


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep back the exporter's advice on libraries that are not there, and the graphs it prints before it fails."""
    for name in ("torch.onnx", "torch.fx"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        warnings.simplefilter("ignore")
        yield


def _reason(error: BaseException) -> str:
    """The first line of what began it, as a sentence."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)


def _forget_source(path: Path) -> None:
    """Take out what torch notes at every node: the lines of source it came from, with the paths of this machine."""
    import onnx

    model = onnx.load(path)
    graph = model.graph
    nodes = [*graph.node, *(node for function in model.functions for node in function.node)]
    for part in (model, graph, *nodes, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
    onnx.save(model, path)


def store_weights(path: Path, weights: WeightType, seen: np.ndarray | None = None) -> None:
    """Rewrite a file of fp32 weights. seen: training images as the network sees them, (N, C, S, S), for int8."""
    if weights == "fp16":
        _to_half(path)
    elif weights == "int8":
        assert seen is not None
        to_int8(path, seen)


def seen_of(store: Store) -> np.ndarray:
    """Training images, evenly from all of them, as the network sees them, float32 (N, C, S, S)."""
    train = store.indices("train")
    chosen = train[:: max(1, len(train) // IMAGES)][:IMAGES]
    return np.asarray(store.preprocessing.scale(store.images[chosen].astype(np.float32) / 255), dtype=np.float32)


def _to_half(path: Path, least: int = 64) -> None:
    """Weights of at least 64 numbers are kept in fp16 and cast to fp32 once, when the file is loaded."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(path)
    graph, casts = model.graph, []
    for tensor in list(graph.initializer):
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < least:
            continue
        half = numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), f"{tensor.name}.fp16")
        graph.initializer.remove(tensor)
        graph.initializer.append(half)
        casts.append(helper.make_node("Cast", [half.name], [tensor.name], to=TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, path)
