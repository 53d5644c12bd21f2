"""Grad-CAM where the head has weights of its own for each place: by the mean gradient, and by each place's own.

Deletion and insertion against one smooth random map an image, and maps that are 0 everywhere, of the predicted class;
by the layer that is looked at. `own` at the layer `norm` is what mien explain does.

Command   python benchmarks/grad_cam.py FER2013 [--model mien:vit] [--images 50] [--seed 0] | tee results/grad_cam.json
Time      two minutes of the processor's time
"""

from __future__ import annotations

import argparse
import json
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import numpy as np
import torch

import mien
from mien.config import Data
from mien.data import open_store
from mien.explain import attribution
from mien.explain.attribution import grad_cam
from mien.explain.faithfulness import Against, against_random
from mien.hardware import commit, hardware

LAYERS = ("blocks.3.norm1", "norm", "patch_embed.backbone")  # the last attention's input, the head's, the stages' maps


def rounded(found: Against | None) -> list[float]:
    """How much better than random maps, and the ends of its interval."""
    assert found is not None
    assert found.interval is not None
    return [round(value, 3) for value in (found.better, *found.interval)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fer2013", type=Path)
    parser.add_argument("--model", default="mien:vit")
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    model = mien.from_pretrained(options.model)
    store = open_store(Data(source="fer2013", path=options.fer2013))
    chosen = np.random.default_rng(options.seed).choice(store.indices("validation"), options.images, replace=False)
    pixels = np.asarray(store.images[np.sort(chosen)])
    images = torch.from_numpy(model.preprocessing.scale(pixels.astype(np.float32) / 255))
    with torch.no_grad():
        targets = model(images).argmax(dim=1)
    result: dict[str, object] = {"model": options.model, "images": len(images), "hardware": hardware()}
    for layer in LAYERS:
        for gradient in ("mean", "own"):
            # Without tokens there is no head that reads them one by one.
            hidden = mock.patch.object(attribution, "tokens_of", return_value=None)
            with hidden if gradient == "mean" else nullcontext():
                maps = grad_cam(model, images, targets, layer)
            found = against_random(model, images, maps, options.seed, targets)
            result[f"{layer}, {gradient}"] = {
                "empty": found.empty,
                "deletion": rounded(found.deletion),
                "insertion": rounded(found.insertion),
            }
    print(json.dumps(result | {"commit": commit()}, indent=1))


if __name__ == "__main__":
    main()
