"""Somebody's ONNX classifier -> the form that mien's own exports have: `images` (B, C, S, S) -> `logits` (B, K).

What is changed around the network: the order of the axes, a softmax at its end, a batch that is fixed at one picture.
The last is proven by running both on drawn noise.
"""

from __future__ import annotations

import ast
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.errors import DataError, UsageError, nearest, require
from mien.pretrained.onnx_graphs import drop_unused, graphs, rename
from mien.runtime.network import softmax

if TYPE_CHECKING:
    import onnx

NAMED = ("labels", "classes", "class_names", "names", "id2label")  # metadata under which exporters write class names
PREFIX = "network."
SMALLEST = 1e-7  # probability whose logarithm still counts
TOLERANCE = 1e-3  # of a probability


@dataclass(frozen=True)
class OnnxClassifier:
    """An ONNX classifier in mien's form.

    content: the file. size, channels: of the images. num_classes: K. labels: what its metadata call them, () where they
    say nothing. changes: what was changed around the network, in sentences.
    """

    content: bytes
    size: int
    channels: int
    num_classes: int
    labels: tuple[str, ...]
    changes: tuple[str, ...]


def read(path: Path, *, size: int | None = None, channels: int | None = None, output: str | None = None,
         ) -> OnnxClassifier:  # fmt: skip
    """Read a classifier. size, channels: of its images, where its input leaves them open. output: which one counts.

    Raises DataError for a file that is damaged or no classifier of square images, UsageError where something must be
    said that the file does not say.
    """
    require("Reading an .onnx file", "onnx")
    model = _loaded(path)
    image = _input(model, path)
    changes: list[str] = []
    last = _output(model, path, output)
    shape, is_last = _layout(image, path, size, channels)
    fixed = _fix_batch(model, image)
    found = _renamed(model, image.name, last)
    if is_last:
        changes.append("It takes its colours last, (B, S, S, C); mien hands them first.")
    _put_input(found, image, shape, is_last)
    _put_output(found, path, changes)
    _put_shapes(found)
    answers = _answers(found, shape, path)
    if fixed:
        _refuse_unequal(_loaded(path).SerializeToString(), image.name, last, is_last, shape, answers, path)
        changes.append("It was exported for one picture at a time; it takes any number now.")
    if np.ndim(answers) != 2 or answers.shape[1] < 2:
        raise DataError(f"{path} gives {answers.shape[1:]} numbers a picture: a classifier gives one for each class.")
    _put_shapes(found, answers.shape[1])
    labels = _labels(model, answers.shape[1])
    return OnnxClassifier(found.SerializeToString(), shape[1], shape[0], answers.shape[1], labels, tuple(changes))


def metadata(path: Path) -> dict[str, str]:
    """What a file says of itself. Raises DataError for one that is no ONNX model."""
    require("Reading an .onnx file", "onnx")
    return {entry.key: entry.value for entry in _loaded(path).metadata_props}


def _loaded(path: Path) -> onnx.ModelProto:
    import onnx

    try:
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=False)
    except Exception as error:  # protobuf's and onnx's own, of which there are several
        raise DataError(f"{path} cannot be read as an ONNX model: {str(error).splitlines()[0][:120]}") from error
    return model


def _input(model: onnx.ModelProto, path: Path) -> onnx.ValueInfoProto:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in weights]
    if len(inputs) != 1:
        named = ", ".join(each.name for each in inputs) or "none"
        raise DataError(f"{path} has {len(inputs)} inputs ({named}): an image classifier has one, the images.")
    return inputs[0]


def _dims(value: onnx.ValueInfoProto) -> list[int | None]:
    """The sides of a tensor; None for one that is left open."""
    return [dim.dim_value or None for dim in value.type.tensor_type.shape.dim]


def _output(model: onnx.ModelProto, path: Path, wanted: str | None) -> str:
    names = [each.name for each in model.graph.output]
    if wanted is not None:
        if wanted not in names:
            raise UsageError(f"`output` {wanted}: {path} has no such output.{nearest(wanted, names)} It has {names}.")
        return wanted
    if len(names) > 1:
        raise UsageError(
            f"{path} has {len(names)} outputs, {', '.join(names)}. Say which one has the classes: `output`."
        )
    return names[0]


def _layout(
    image: onnx.ValueInfoProto, path: Path, size: int | None, channels: int | None
) -> tuple[tuple[int, int], bool]:
    """(channels, side) of the images, and whether the channels come last."""
    dims = _dims(image)
    if len(dims) != 4:
        raise DataError(f"{path} takes tensors of {len(dims)} axes: an image classifier takes (B, C, S, S).")
    is_last = dims[3] in (1, 3) and dims[1] not in (1, 3)
    C, H, W = (dims[3], dims[1], dims[2]) if is_last else dims[1:]
    for what, said, given in (("channels", C, channels), ("size", H, size), ("size", W, size)):
        if said and given and said != given:
            raise UsageError(f"`{what}` {given}: {path} takes images with {what} {said}.")
        if not said and not given:
            raise UsageError(f"{path} does not say the {what} of its images. Give `{what}`.")
    C, H, W = C or channels, H or size, W or size
    if H != W or C not in (1, 3):
        raise DataError(f"{path} takes images of {H} x {W} pixels with {C} channels: mien has squares, grey or RGB.")
    return (int(C), int(H or 0)), is_last


def _fix_batch(model: onnx.ModelProto, image: onnx.ValueInfoProto) -> bool:
    """Let a network that was exported for one picture take any number; returns whether it was.

    A Reshape that spells the one picture gets its batch from what it reshapes.
    """
    import onnx

    if _dims(image)[0] is None:
        return False
    batch = _dims(image)[0]
    all_graphs = list(graphs(model.graph))
    nodes = [node for graph in all_graphs for node in graph.node]
    constants = {
        node.output[0]: each.t
        for node in nodes
        if node.op_type == "Constant"
        for each in node.attribute
        if each.name == "value"
    }
    shapes = {tensor.name: tensor for graph in all_graphs for tensor in graph.initializer} | constants
    for node in nodes:
        if node.op_type != "Reshape" or node.input[1] not in shapes:
            continue
        tensor = shapes[node.input[1]]
        sides = onnx.numpy_helper.to_array(tensor).copy()
        if sides.ndim == 1 and len(sides) and sides[0] == batch:
            sides[0] = 0 if -1 in sides else -1
            tensor.CopyFrom(onnx.numpy_helper.from_array(sides, tensor.name))
    return True


def _renamed(model: onnx.ModelProto, first: str, last: str) -> onnx.ModelProto:
    """The network with its tensors under names of their own, so that none is called as what is put around it."""
    import onnx

    found = onnx.compose.add_prefix(model, PREFIX)
    within = {tensor.name for graph in graphs(model.graph) for tensor in graph.initializer}
    rename(found, {name: PREFIX + name for name in within})  # inner graphs that read outer weights are left out of it
    kept = [each for each in found.graph.output if each.name == PREFIX + last]
    del found.graph.output[:]
    found.graph.output.extend(kept)
    top, *inner = graphs(found.graph)
    for graph in (top, *inner):
        del graph.value_info[:]  # they may spell the batch
    for value in (value for graph in inner for value in (*graph.input, *graph.output)):
        value.type.tensor_type.ClearField("shape")
    del found.metadata_props[:]
    weights = {tensor.name for tensor in found.graph.initializer}
    others = [each for each in found.graph.input if each.name in weights]
    image = next(each for each in found.graph.input if each.name == PREFIX + first)
    del found.graph.input[:]
    found.graph.input.extend([image, *others])
    return found


def _put_input(model: onnx.ModelProto, image: onnx.ValueInfoProto, shape: tuple[int, int], is_last: bool) -> None:
    """Put `images`, float32 and with the colours first, in front of the network."""
    from onnx import TensorProto, helper

    kind, name = image.type.tensor_type.elem_type, "images"
    if kind not in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.UINT8):
        raise DataError(f"The network takes {TensorProto.DataType.Name(kind)}: images are floats, or bytes.")
    before = []
    if is_last:
        before.append(helper.make_node("Transpose", [name], [f"{PREFIX}last"], perm=[0, 2, 3, 1]))
        name = f"{PREFIX}last"
    if kind == TensorProto.UINT8:  # which a cast would round down
        before.append(helper.make_node("Round", [name], [f"{PREFIX}rounded"]))
        name = f"{PREFIX}rounded"
    if kind != TensorProto.FLOAT:
        before.append(helper.make_node("Cast", [name], [f"{PREFIX}cast"], to=kind))
        name = f"{PREFIX}cast"
    rename(model, {PREFIX + image.name: name})
    nodes = [*before, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    others = list(model.graph.input)[1:]
    del model.graph.input[:]
    model.graph.input.extend([helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", *shape, shape[1]])])
    model.graph.input.extend(others)


def _put_output(model: onnx.ModelProto, path: Path, changes: list[str]) -> None:
    """End the network with `logits`: what a softmax at its end reads, or the logarithm of its probabilities."""
    from onnx import TensorProto, helper

    last = model.graph.output[0]
    made = {name: node for node in model.graph.node for name in node.output}
    name, end, is_cast = last.name, made.get(last.name), last.type.tensor_type.elem_type != TensorProto.FLOAT
    while end is not None and end.op_type in ("Identity", "Cast"):
        is_cast |= end.op_type == "Cast"
        name = end.input[0]
        end = made.get(name)
    if end is not None and end.op_type == "Softmax":
        name = end.input[0]
        changes.append("Its softmax is left out: what the softmax reads are the logits.")
    elif end is not None and end.op_type == "Sigmoid":
        dims = _dims(last)
        if len(dims) != 2 or dims[-1] != 1:
            raise DataError(
                f"{path} ends with a sigmoid of shape {dims}: its classes do not exclude each other, or its one number "
                "a picture is not (B, 1)."
            )
        name = _two_classes(model, end.input[0])
        changes.append("Its one number, behind a sigmoid, is that of the second of two classes.")
    if name not in made and name != f"{PREFIX}pair":
        raise DataError(f"{path} hands its input out as it is: it is no network.")
    rename(model, {name: "logits"})
    if is_cast:  # what is behind the casts may be of any kind
        rename(model, {"logits": f"{PREFIX}logits"})
        model.graph.node.append(helper.make_node("Cast", [f"{PREFIX}logits"], ["logits"], to=TensorProto.FLOAT))
    drop_unused(model)


def _two_classes(model: onnx.ModelProto, name: str) -> str:
    """The logits of two classes, (B, 2), of which the second has the number and the first has 0."""
    from onnx import helper

    zero, pair = f"{PREFIX}zero", f"{PREFIX}pair"
    model.graph.node.append(helper.make_node("Sub", [name, name], [zero]))
    model.graph.node.append(helper.make_node("Concat", [zero, name], [pair], axis=-1))
    return pair


def _put_shapes(model: onnx.ModelProto, classes: int | None = None) -> None:
    from onnx import TensorProto, helper

    del model.graph.output[:]
    sides = None if classes is None else ["batch", classes]
    model.graph.output.append(helper.make_tensor_value_info("logits", TensorProto.FLOAT, sides))


def _noise(shape: tuple[int, int]) -> np.ndarray:
    """Three drawn images of whole numbers, so that bytes hold them too, float32 (3, C, S, S)."""
    drawn = np.random.default_rng(0).integers(0, 4, (3, shape[0], shape[1], shape[1]))
    return drawn.astype(np.float32)


def _answers(model: onnx.ModelProto, shape: tuple[int, int], path: Path) -> np.ndarray:
    """The logits of three drawn images, (3, K); probabilities are made logits, which the model then gives."""
    found = _run(model.SerializeToString(), {"images": _noise(shape)}, "logits", path)
    if found.ndim > 2 and max(found.shape[2:]) > 1:
        raise DataError(f"{path} gives {found.shape[1:]} numbers a picture: a classifier gives one for each class.")
    if found.ndim > 2:
        _append(model, "Flatten", axis=1)
        found = found.reshape(len(found), -1)
    if found.ndim == 2 and (found >= 0).all() and np.allclose(found.sum(axis=1), 1, atol=1e-4):
        _append_logarithm(model)
        found = np.log(np.maximum(found, SMALLEST))
    return found


def _append(model: onnx.ModelProto, kind: str, others: tuple[str, ...] = (), **attributes: Any) -> None:
    """Put one more step behind the network."""
    from onnx import helper

    name = f"{PREFIX}before.{kind}"
    rename(model, {"logits": name})
    model.graph.node.append(helper.make_node(kind, [name, *others], ["logits"], **attributes))


def _append_logarithm(model: onnx.ModelProto) -> None:
    import onnx

    least = onnx.numpy_helper.from_array(np.array(SMALLEST, dtype=np.float32), f"{PREFIX}least")
    model.graph.initializer.append(least)
    _append(model, "Max", (least.name,))
    _append(model, "Log")


def _refuse_unequal(
    original: bytes, first: str, last: str, is_last: bool, shape: tuple[int, int], answers: np.ndarray, path: Path
) -> None:
    """Raise DataError where three pictures at once get other answers than one by one in the file as it came."""
    images = _noise(shape)
    ordered = images.transpose(0, 2, 3, 1) if is_last else images
    try:
        single = np.concatenate([_run(original, {first: image[None]}, last, path) for image in ordered])
    except DataError:
        single = None
    if single is None or _most_different(single.reshape(len(images), -1), answers) > TOLERANCE:
        raise DataError(
            f"{path} was exported for a fixed batch, and does not give the same answers for another one. Export it "
            "again with a batch that is left open."
        )


def _most_different(single: np.ndarray, logits: np.ndarray) -> float:
    """The largest difference of a probability. single: the file's own numbers, logits or probabilities, (B, K)."""
    if single.shape[1] == 1:  # a sigmoid's
        single = np.concatenate([1 - single, single], axis=1)
    is_probability = (single >= 0).all() and np.allclose(single.sum(axis=1), 1, atol=1e-4)
    return float(np.abs((single if is_probability else softmax(single)) - softmax(logits)).max())


def _run(content: bytes, inputs: dict[str, np.ndarray], output: str, path: Path) -> np.ndarray:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        kind: dict[str, Any] = {"tensor(float16)": np.float16, "tensor(double)": np.float64, "tensor(uint8)": np.uint8}
        wanted = {each.name: kind.get(each.type, np.float32) for each in session.get_inputs()}
        given = {name: each.astype(wanted[name]) for name, each in inputs.items()}
        return np.asarray(session.run([output], given)[0], dtype=np.float32)
    except Exception as error:  # onnxruntime's own, of which there are many
        raise DataError(f"{path} cannot be run by onnxruntime: {str(error).splitlines()[0][:160]}") from error


def _labels(model: onnx.ModelProto, classes: int) -> tuple[str, ...]:
    """Class names in the file's metadata, where there are as many as classes."""
    for entry in model.metadata_props:
        if entry.key in NAMED and len(found := _names(entry.value)) == classes:
            return found
    return ()


def _names(text: str) -> tuple[str, ...]:
    """Names written as JSON, as a Python literal (Ultralytics), or with commas between them."""
    for parse in (json.loads, ast.literal_eval):
        with suppress(ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            values = parse(text)
            if isinstance(values, dict):
                values = [values[key] for key in sorted(values, key=int)]
            if isinstance(values, list | tuple):
                return tuple(map(str, values))
    return tuple(part.strip() for part in text.split(",") if part.strip())
