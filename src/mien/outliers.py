"""An exported network also says how much a picture resembles those that it learned from.

The similarity is a part of the file's graph: the last feature map, averaged over 3 x 3 fields, as a unit vector; its
cosine with the fifth nearest of 1,500 training images, which are kept in the 64 directions that they fill most. What a
picture has beside these directions lowers its similarity. That is
Sun et al., "Out-of-Distribution Detection with Deep Nearest Neighbors" (arXiv 2204.06507), but for the fields: where in
the picture something lies tells a face from what is none
(log/2026-11-30-where-things-lie-tells-faces-from-cats.md).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mien.data import Store
from mien.progress import track
from mien.runtime.network import SIMILARITY

if TYPE_CHECKING:
    import onnx

REFERENCES = 1500  # training images
DIRECTIONS = 64
NEAREST = 5
FIELDS = 3  # a side
KEPT = 0.95  # of validation images
LARGEST = 16_384  # numbers in the features of one image; with more, the file would hold little else
PREFIX = "outliers."  # of the names of all that is added
THROUGH = {"Flatten", "Reshape", "Squeeze", "Identity", "Dropout"}
MEANS = {"ReduceMean", "GlobalAveragePool"}


@dataclass(frozen=True)
class Outliers:
    """From which similarity on a picture is like those of the training.

    threshold: the similarity that `kept` of the validation images are to reach. reached: the share that does.
    references: how many training images a picture is compared with.
    """

    threshold: float
    kept: float
    references: int
    reached: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def add_similarity(path: Path, store: Store, seed: int = 0) -> int | None:
    """Add the output `similarity` to an exported network; return how many training images it is compared with.

    Returns None, and leaves the file as it is, for a network whose features cannot be told: its last step is no
    linear layer, or they are more than LARGEST numbers; or where no training images are known.
    """
    import onnx

    model = onnx.load(path)
    features = _append_features(model)
    if features is None or len(store.indices("train")) < NEAREST:
        return None
    random = np.random.default_rng(seed)
    found = _run(model, features, store, _some(store, "train", REFERENCES, random))
    if found.shape[1] > LARGEST:
        return None
    directions = _directions(_unit(found))
    references = _unit(_unit(found) @ directions)
    _append_similarity(model, features, directions, references)
    onnx.save(model, path)
    return len(references)


def fit_outliers(similar: np.ndarray, references: int) -> Outliers:
    """The threshold that KEPT of the validation images reach. similar: their similarities, float32 (N,)."""
    threshold = float(np.quantile(similar, 1 - KEPT))
    return Outliers(threshold, KEPT, references, share_reached(similar, threshold))


def share_reached(similar: np.ndarray, threshold: float) -> float:
    """Of similarities (N,) the share that is not below the threshold."""
    return float((similar >= threshold).mean())


def _some(store: Store, split: str, most: int, random: np.random.Generator) -> np.ndarray:
    indices = store.indices(split)
    return np.sort(random.permutation(indices)[:most])


def _run(model: onnx.ModelProto, output: str, store: Store, indices: np.ndarray) -> np.ndarray:
    """One output of a network for images of a store, (N, ...)."""
    import onnx
    import onnxruntime

    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    if output not in {each.name for each in whole.graph.output}:
        whole.graph.output.append(onnx.helper.make_tensor_value_info(output, onnx.TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(whole.SerializeToString(), options, providers=["CPUExecutionProvider"])
    parts = []
    batches = np.array_split(indices, max(1, len(indices) // 128))
    for batch in track(batches, "what is none of these", len(batches)):
        pixels = store.images[batch].astype(np.float32) / 255
        inputs = store.preprocessing.scale(pixels).astype(np.float32, copy=False)
        parts.append(np.asarray(session.run([output], {"images": inputs})[0]))
    return np.concatenate(parts)


def _append_features(model: onnx.ModelProto) -> str | None:
    """Append what makes a vector of the network's last features; returns its name, None where there are none."""
    from onnx import helper, shape_inference

    made = {name: node for node in model.graph.node for name in node.output}
    head = made.get("logits")
    if head is None or head.op_type not in ("Gemm", "MatMul", "Add"):
        return None
    if head.op_type == "Add":  # of a matrix product and its bias
        head = next((made[name] for name in head.input if name in made and made[name].op_type == "MatMul"), None)
        if head is None:
            return None
    name = head.input[0]
    while name in made and made[name].op_type in THROUGH:
        name = made[name].input[0]
    side = 0
    if name in made and made[name].op_type in MEANS:
        shapes = {value.name: value for value in shape_inference.infer_shapes(model).graph.value_info}
        place = made[name].input[0]
        shape = [dim.dim_value for dim in shapes[place].type.tensor_type.shape.dim] if place in shapes else []
        if len(shape) == 4 and shape[2] == shape[3] >= FIELDS:
            name, side = place, shape[2]
    if side:
        step = side // FIELDS
        kernel = side - (FIELDS - 1) * step
        fields = PREFIX + "fields"
        model.graph.node.append(
            helper.make_node("AveragePool", [name], [fields], kernel_shape=[kernel] * 2, strides=[step] * 2)
        )
        name = fields
    model.graph.node.append(helper.make_node("Flatten", [name], [PREFIX + "features"], axis=1))
    return PREFIX + "features"


def _append_similarity(model: onnx.ModelProto, features: str, directions: np.ndarray, references: np.ndarray) -> None:
    """Append the steps from the features (B, F) to the similarity (B,)."""
    from onnx import TensorProto, helper, numpy_helper

    def step(kind: str, inputs: list[str], output: str, **how: Any) -> str:
        model.graph.node.append(helper.make_node(kind, inputs, [output], **how))
        return output

    def constant(name: str, values: np.ndarray) -> str:
        model.graph.initializer.append(numpy_helper.from_array(values, PREFIX + name))
        return PREFIX + name

    def half(name: str, values: np.ndarray) -> str:
        stored = constant(name + ".fp16", values.astype(np.float16))
        return step("Cast", [stored], PREFIX + name, to=TensorProto.FLOAT)

    def unit(name: str) -> str:
        return step("LpNormalization", [name], name + ".unit", axis=-1, p=2)

    found = step("MatMul", [unit(features), half("directions", directions)], PREFIX + "projected")
    cosines = step("MatMul", [found, half("references", references.T)], PREFIX + "cosines")  # (B, N)
    count = constant("count", np.array([NEAREST], np.int64))
    model.graph.node.append(
        helper.make_node("TopK", [cosines, count], [PREFIX + "nearest", PREFIX + "places"], axis=-1)
    )
    last = constant("last", np.array(NEAREST - 1, np.int64))
    step("Gather", [PREFIX + "nearest", last], SIMILARITY, axis=1)  # (B,)
    model.graph.output.append(helper.make_tensor_value_info(SIMILARITY, TensorProto.FLOAT, ["batch"]))


def _unit(rows: np.ndarray) -> np.ndarray:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


def _directions(rows: np.ndarray) -> np.ndarray:
    """The directions of the largest singular values of (N, F), as columns (F, D); from the products of the rows."""
    rows = rows.astype(np.float64)
    values, vectors = np.linalg.eigh(rows @ rows.T)
    chosen = np.argsort(-values)[:DIRECTIONS]
    chosen = chosen[values[chosen] > 1e-9 * values.max()]
    return np.asarray(rows.T @ vectors[:, chosen] / np.sqrt(values[chosen]))
