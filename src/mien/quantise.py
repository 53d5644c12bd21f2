"""An exported network in eight bits: weights, and activations whose ranges are fixed before the file is used.

Static quantisation (Jacob et al., arXiv 1712.05877, section 3) in ONNX's own form, pairs of QuantizeLinear and
DequantizeLinear around convolutions and matrix products with fixed weights; norms, softmax and attention stay in fp32.
A range that is measured while the file runs (dynamic quantisation) spans all images of a batch, so that the answer to
an image would depend on who else is in it (log/2026-11-30-int8-answers-are-the-same-in-every-batch.md).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

IMAGES = 256  # on which the ranges are measured
AT_ONCE = 32


def to_int8(path: Path, inputs: np.ndarray) -> None:
    """Rewrite a file of fp32 weights in int8, a scale for each output channel.

    inputs: what the network sees of some training images, float32 (N, C, size, size), on which the smallest and largest
    values of each activation are measured.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    model = onnx.load(path)
    del model.graph.value_info[:]  # the exporter's shapes, which contradict those that are inferred on the way
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))  # the advice to optimise first is given through the root logger
    try:
        quantize_static(
            model,
            path,
            _Images(inputs),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "MatMul", "Gemm"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options={
                "MatMulConstBOnly": True,
                "WeightSymmetric": True,
                "OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"],  # norms and softmax take them up in fp32
            },
        )
    finally:
        logging.disable(before)


class _Images:
    """What onnxruntime's calibration asks for: a batch at a time, then None."""

    def __init__(self, inputs: np.ndarray) -> None:
        self.batches: Iterator[np.ndarray] = iter(np.array_split(inputs, max(1, len(inputs) // AT_ONCE)))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"images": batch}
