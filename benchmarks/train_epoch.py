"""Images a second in training: mien against the loop that most notebooks have.

Both train the same CNN V2 on FER2013 with the same batch size and Adam. The reference is written in the
manner of source report 4: a folder data set that opens each JPEG and transforms it with PIL, a
DataLoader with 0 or 2 workers, fp32. mien trains through `mien.train.run`'s own trainer, callbacks,
moving parts and all. The two alternate in one run, so that a noisy machine disturbs both alike. On a processor that
could do more, ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2 and --precision fp32 show one with AVX2.

    python benchmarks/train_epoch.py data/raw/fer2013 [--batch-size 32] [--rounds 3] [--images 6400] [--precision fp32]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import DataLoader, Dataset, Subset

from mien.hardware import commit, hardware
from mien.models import create_model
from mien.recipes import load
from mien.train.run import run


class FolderDataset(Dataset[tuple[torch.Tensor, int]]):
    """One file opened and transformed per item, as torchvision's ImageFolder and transforms do."""

    def __init__(self, root: Path) -> None:
        classes = sorted(folder.name for folder in root.iterdir() if folder.is_dir())
        self.items = [(path, classes.index(path.parent.name)) for path in sorted(root.glob("*/*.jpg"))]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        path, label = self.items[index]
        with Image.open(path) as file:
            image = file.convert("L").resize((48, 48))
        if torch.rand(()) < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        tensor = torch.from_numpy(np.array(image, dtype=np.uint8)).float().div(255)
        return (tensor[None] - 0.5) / 0.5, label


def reference(root: Path, batch_size: int, images: int, workers: int) -> float:
    """Images a second of the notebook's loop."""
    dataset = FolderDataset(root / "train")
    chosen = torch.randperm(len(dataset))[:images].tolist()
    loader = DataLoader(Subset(dataset, chosen), batch_size, shuffle=True, num_workers=workers, drop_last=True)
    model = create_model("cnn_v2").train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    start = time.perf_counter()
    seen = 0
    for inputs, labels in loader:
        loss = F.cross_entropy(model(inputs), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen += len(labels)
    return seen / (time.perf_counter() - start)


def ours(root: Path, batch_size: int, images: int, precision: str) -> float:
    """Images a second of `mien run fer2013_cnn_v2`, from its own metrics.csv (second epoch: warm)."""
    recipe = load("fer2013_cnn_v2")[0].with_(
        data={"path": root, "train_fraction": images / 28709},
        train={"epochs": 2, "batch_size": batch_size, "schedule": "constant", "precision": precision},
    )
    with tempfile.TemporaryDirectory() as folder:
        metrics = (run(recipe, Path(folder) / "run") / "metrics.csv").read_text().splitlines()
    names, values = metrics[0].split(","), metrics[2].split(",")
    return float(values[names.index("images_per_second")])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("fer2013", type=Path)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=6400)
    parser.add_argument("--precision", default="auto", help="of mien's loop; the reference computes in fp32")
    options = parser.parse_args()
    speeds: dict[str, list[float]] = {"mien": [], "reference, 0 workers": [], "reference, 2 workers": []}
    for _ in range(options.rounds):
        speeds["mien"].append(ours(options.fer2013, options.batch_size, options.images, options.precision))
        for workers in (0, 2):
            speed = reference(options.fer2013, options.batch_size, options.images, workers)
            speeds[f"reference, {workers} workers"].append(speed)
    result: dict[str, object] = {name: round(statistics.median(values), 1) for name, values in speeds.items()}
    for name in list(speeds)[1:]:
        ratios = [one / other for one, other in zip(speeds["mien"], speeds[name], strict=True)]
        result[f"ratio to {name}"] = [
            round(value, 2) for value in (min(ratios), statistics.median(ratios), max(ratios))
        ]
    given = {
        "batch_size": options.batch_size,
        "precision": options.precision,
        "capability": torch.backends.cpu.get_cpu_capability(),
    }
    print(json.dumps({**given, "hardware": hardware(), "commit": commit(), **result}, indent=1))


if __name__ == "__main__":
    main()
