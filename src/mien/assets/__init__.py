"""The networks that come with the package, a folder each: exports (model.onnx), and backbones to train from."""

from pathlib import Path

ASSETS = Path(__file__).parent
OWN = "mien:"  # what their names begin with
PREFERRED = ("base", "tiny", "nano", "vit")  # of the exports; the first that is there is what an unnamed model means


def shipped() -> list[str]:
    """Names of the exports, the preferred one first."""
    there = sorted(path.parent.name for path in ASSETS.glob("*/model.onnx"))
    return sorted(there, key=lambda name: PREFERRED.index(name) if name in PREFERRED else len(PREFERRED))


def backbones() -> list[str]:
    """Names of the networks to train from (model.init)."""
    return sorted(path.parent.name for path in ASSETS.glob("*/config.json"))


def asset(name: str, file: str) -> Path:
    """A file of one of them."""
    return ASSETS / name / file
