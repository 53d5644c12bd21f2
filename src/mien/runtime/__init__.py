"""Trained models put to use, without torch: an exported file and pictures -> faces, labels, probabilities."""

from __future__ import annotations

from pathlib import Path

from mien.runtime.faces import Detector, HaarDetector, YuNetDetector, open_detector
from mien.runtime.network import Network, default_model
from mien.runtime.reader import Face, Reader

__all__ = ["Detector", "Face", "HaarDetector", "Network", "Reader", "YuNetDetector", "load", "open_detector"]


def load(
    where: str | Path | None = None,
    detector: Detector | str | Path | None = None,
    margin: float = 0.0,
    threads: int = 0,
    device: str = "cpu",
) -> Reader:
    """A Reader for an exported model: a path, a run folder with model.onnx, or one that comes with mien ('mien:tiny').

    where: None is the first that comes with mien. detector: finds the faces: 'yunet' (if not given), 'haar' (OpenCV's
    cascade), a file of YuNet's weights, or one of your own. margin: how much around a found face the network sees, as a
    share of its side. threads: 0 is one for each core. device: what computes the network: 'cpu', 'cuda', 'rocm',
    'directml', 'openvino', 'coreml', or 'auto' for the fastest that is there; the CPU, where it is not there.
    """
    network = Network.open(where or default_model(), threads, device)
    return Reader(network, open_detector(detector or "yunet", threads), margin)
