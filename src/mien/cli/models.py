"""`mien models`: the networks that come with mien."""

from __future__ import annotations

import json
from typing import Any

from mien.cli.app import Json
from mien.cli.output import print_json, print_lines
from mien.progress import note


def models(*, json_: Json = False) -> None:
    """List the networks that come with mien: those for --model, and backbones for --model.init."""
    rows = [*_ready(), *_backbones()]
    if json_:
        print_json(rows)
        return
    for row in rows:
        error, clean = row.get("calibration_error"), row.get("clean_accuracy")
        last = row["for"] if error is None else f"calibration error {error:.3f}"
        without = f" ({clean:.1%} without copies)" if clean else ""
        print_lines(
            f"{row['model']:<22} {row['parameters']:>9,} parameters  {row['bytes'] / 1e6:5.2f} MB  "
            f"validation {row['validation_accuracy']:.1%}{without}  {last}"
        )
    known = rows[0]["model"] if rows else None
    note(
        f"What one is fit for: mien card {known}" if known else "None comes with this mien: mien export RUN makes one."
    )


def _ready() -> list[dict[str, Any]]:
    """Exports that come with mien."""
    from mien.assets import OWN, asset, shipped
    from mien.runtime.network import Network

    rows: list[dict[str, Any]] = []
    for name in shipped():
        path = asset(name, "model.onnx")
        card = Network.open(path).card or {}
        keys = ("parameters", "validation_accuracy", "calibration_error")
        own = {"model": OWN + name, "for": "--model", "bytes": path.stat().st_size}
        clean = card["clean"]["accuracy"] if card.get("without_identical") else None
        judged = {"clean_accuracy": clean, "sets": card.get("sets")}
        rows.append(own | {key: card.get(key) for key in keys} | judged | {"outliers": card.get("outliers")})
    return rows


def _backbones() -> list[dict[str, Any]]:
    """Networks that come with mien to train from."""
    from mien.assets import OWN, asset, backbones

    rows: list[dict[str, Any]] = []
    for name in backbones():
        card = json.loads(asset(name, "config.json").read_text(encoding="utf-8"))
        size = asset(name, "model.safetensors").stat().st_size
        own = {"model": OWN + name, "for": "--model.init", "bytes": size}
        rows.append(own | {key: card.get(key) for key in ("parameters", "validation_accuracy")})
    return rows
