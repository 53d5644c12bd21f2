"""CNN V1 of source report 4, as far as it can be known.

Its drawing cannot be read; the report says that V2 "adds convolution layers and batch norm". So V1 is
taken to be two convolutions without batch norm and a hidden layer.
"""

from __future__ import annotations

from torch import Tensor, nn

from mien.models.parts.dropout import Dropout


class CnnV1(nn.Module):
    """[conv 3x3, ReLU, pool 2] x 2, a hidden layer with dropout, and a linear head."""

    def __init__(
        self,
        img_size: int = 48,
        in_chans: int = 1,
        num_classes: int = 7,
        widths: tuple[int, ...] = (32, 64),
        drop_rate: float = 0.5,
    ) -> None:
        super().__init__()
        side = img_size // 2 ** len(widths)
        if side < 1:
            raise ValueError(f"img_size (={img_size}) is too small for {len(widths)} poolings; give fewer widths.")
        layers: list[nn.Module] = []
        for width in widths:
            layers += [nn.Conv2d(in_chans, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
            in_chans = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(in_chans * side**2, 128), nn.ReLU(), Dropout(drop_rate), nn.Linear(128, num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> logits (B, K)."""
        return self.classifier(self.features(x).flatten(1))  # (B, 64, 12, 12) -> (B, 9216) -> (B, K)
