"""The small CNN of source reports 1 and 2, after LeCun et al. 1998: 61,451 parameters at 1x32x32."""

from __future__ import annotations

from torch import Tensor, nn


class LeNet(nn.Module):
    """conv 6 5x5, pool, conv 16 5x5, pool, 120, 84, K; ReLU throughout, no padding."""

    def __init__(self, img_size: int = 32, in_chans: int = 1, num_classes: int = 7) -> None:
        super().__init__()
        side = ((img_size - 4) // 2 - 4) // 2  # each 5x5 convolution takes 4 off, each pool halves
        if side < 1:
            raise ValueError(f"img_size (={img_size}) is too small for two 5x5 convolutions; 16 is the least.")
        self.features = nn.Sequential(
            nn.Conv2d(in_chans, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.classifier = nn.Sequential(
            nn.Linear(16 * side**2, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> logits (B, K)."""
        return self.classifier(self.features(x).flatten(1))  # (B, 16, s, s) -> (B, 16*s*s) -> (B, K)
