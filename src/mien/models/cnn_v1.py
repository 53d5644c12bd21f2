"""CNN V1 of source report 4, as far as it can be known.

Its drawing cannot be read; the report says that V2 "adds convolution layers and batch norm". So V1 is
taken to be two convolutions without batch norm and a hidden layer.
"""

from __future__ import annotations

from torch import Tensor, nn

from mien.models.cnn_v1_sizes import CnnV1Sizes
from mien.models.parts.dropout import Dropout


class CnnV1(nn.Module):
    """[conv 3x3, ReLU, pool 2] x 2, a hidden layer with dropout, and a linear head."""

    def __init__(self, sizes: CnnV1Sizes) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, width in zip((sizes.in_chans, *sizes.widths), sizes.widths, strict=False):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        self.features = nn.Sequential(*layers)
        self.evidence = f"features.{len(layers) - 2}"  # the last maps before they are pooled
        self.classifier = nn.Sequential(
            nn.Linear(sizes.widths[-1] * sizes.side**2, 128),
            nn.ReLU(),
            Dropout(sizes.drop_rate),
            nn.Linear(128, sizes.num_classes),
        )

    def forward_features(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, D, h, w)."""
        return self.features(x)  # (B, 1, 48, 48) -> (B, 64, 12, 12)

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
