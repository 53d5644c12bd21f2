"""The sizes of a network that is there as an ONNX file alone."""

from __future__ import annotations

from pydantic import Field

from mien.models.sizes import Sizes


class OnnxFileSizes(Sizes):
    """Of `onnx_file.OnnxFile`."""

    bytes: int = Field(default=0, ge=0, description="Length of the file.")
