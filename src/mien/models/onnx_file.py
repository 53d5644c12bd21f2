"""A network that is there as an ONNX file alone: it answers, and cannot be trained. `mien.adopt` makes one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from mien.errors import DataError
from mien.models.onnx_file_sizes import OnnxFileSizes

if TYPE_CHECKING:
    import onnxruntime


class OnnxFile(nn.Module):
    """Runs the file that its buffer `file`, uint8 (bytes,), holds: `images` (B, C, S, S) -> `logits` (B, K).

    So a saved run keeps the file as it keeps other weights. Computed by onnxruntime on the CPU, without gradients.
    """

    def __init__(self, sizes: OnnxFileSizes) -> None:
        super().__init__()
        self.register_buffer("file", torch.zeros(sizes.bytes, dtype=torch.uint8))
        self._session: onnxruntime.InferenceSession | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the session, which cannot be copied and is opened again."""
        return self.__dict__ | {"_session": None}

    def content(self) -> bytes:
        """The file."""
        return bytes(self.get_buffer("file").cpu().numpy().tobytes())

    def forward(self, images: Tensor) -> Tensor:
        """Scaled images (B, C, H, W) -> logits (B, K). Raises DataError for a file that onnxruntime does not run."""
        if self._session is None:
            self._session = _opened(self.content())
        logits = self._session.run(["logits"], {"images": images.detach().float().cpu().numpy()})[0]
        return torch.from_numpy(logits).to(images.device)


def _opened(content: bytes) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own, of which there are many
        raise DataError(f"onnxruntime cannot run the network: {str(error).splitlines()[0]}") from error
