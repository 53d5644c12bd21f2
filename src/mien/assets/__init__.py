"""The networks that come with the package, a folder each: exports (model.onnx), and backbones to train from."""

from pathlib import Path

ASSETS = Path(__file__).parent
OWN = "mien:"  # what their names begin with
