"""The small CNN of source reports 1 and 2, after LeCun et al. 1998: 61,451 parameters at 1x32x32."""

from __future__ import annotations

from torch import Tensor, nn

from mien.models.lenet_sizes import LeNetSizes


class LeNet(nn.Module):
    """conv 6 5x5, pool, conv 16 5x5, pool, 120, 84, K; ReLU throughout, no padding."""

    evidence = "features.4"  # the last maps before they are pooled

    def __init__(self, sizes: LeNetSizes) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(sizes.in_chans, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)
        )
        self.classifier = nn.Sequential(
            nn.Linear(16 * sizes.side**2, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, sizes.num_classes),
        )

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, 16, h, w)."""
        return self.features(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Maps (B, D, h, w) -> logits (B, K), or with pre_logits what the classifier would read, (B, D * h * w)."""
        flat = x.flatten(1)  # (B, D, h, w) -> (B, D * h * w)
        return flat if pre_logits else self.classifier(flat)

    def get_classifier(self) -> nn.Module:
        """All maps side by side (B, D * h * w) -> logits (B, K)."""
        return self.classifier

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> logits (B, K)."""
        return self.forward_head(self.forward_features(x))
