"""How much longer a training step with depthwise convolutions takes in bf16 than in fp32, on one thread of a CPU.

    pip install 'mien[timm]'; python benchmarks/depthwise.py | tee results/depthwise.json

Each network takes a step in either precision in turn; the CPU time of each and the median of the pairs' ratios.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time

from mien.operators import stand_in

stand_in()  # before timm, which imports torchvision

import timm  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

from mien import hardware  # noqa: E402

NETWORKS = {  # name: side of the images
    "tf_efficientnet_lite0": 96,
    "mobilenetv3_small_100": 96,
    "ghostnet_100": 96,
    "convnext_atto": 96,
    "mobilevit_xs": 128,
    "resnet18": 96,
}


def step(model: nn.Module, images: torch.Tensor, bf16: bool) -> float:
    """CPU seconds of a pass forward and backward."""
    start = time.process_time()
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        output = model(images)
    output.float().sum().backward()
    return time.process_time() - start


def compare(name: str, side: int, pairs: int) -> dict[str, float | bool]:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=2).to(memory_format=torch.channels_last).train()
    images = torch.randn(16, 3, side, side).contiguous(memory_format=torch.channels_last)
    for bf16 in (False, True):
        step(model, images, bf16)  # the first allocates
    times = [(step(model, images, False), step(model, images, True)) for _ in range(pairs)]
    return {
        "depthwise": hardware.trains_depthwise(model),
        "fp32_images_a_second": round(16 / statistics.median(full for full, _ in times), 1),
        "bf16_images_a_second": round(16 / statistics.median(half for _, half in times), 1),
        "bf16_takes": round(statistics.median(half / full for full, half in times), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=7)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = {name: compare(name, side, options.pairs) for name, side in NETWORKS.items()}
    print(json.dumps({"hardware": hardware.hardware(), "commit": hardware.commit(), "networks": rows}, indent=2))


if __name__ == "__main__":
    main()
