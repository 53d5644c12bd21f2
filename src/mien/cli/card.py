"""`mien card`: the model card of an exported network."""

from __future__ import annotations

from pathlib import Path

from mien.atomic import written_whole
from mien.cli.output import print_lines


def card(model: str, *, out: Path | None = None) -> None:
    """Print the model card of an exported network: data, scores by class, calibration, what it must not be used for.

    Parameters
    ----------
    model
        An exported .onnx file, a run folder that holds one, a network that comes with mien, or hf-hub:OWNER/NAME.
    out
        A markdown file to write instead.
    """
    from mien.assets import OWN, asset, backbones
    from mien.runtime.card import model_card
    from mien.runtime.network import Network

    name = model.removeprefix(OWN)
    if name != model and name in backbones():
        text = asset(name, "card.md").read_text(encoding="utf-8")
    else:
        text = model_card(Network.open(model), model)
    if out is None:
        print_lines(*text.rstrip("\n").split("\n"))
        return
    with written_whole(out) as file:
        file.write(text)
    print_lines(str(out))
