"""CNN V2 of source report 4: four convolutions with batch norm, dropout after the second and fourth."""

from __future__ import annotations

from torch import Tensor, nn

from mien.models.parts.dropout import Dropout


class CnnV2(nn.Module):
    """[conv 3x3, batch norm, ReLU, pool 2] x 4, flattened into one linear layer."""

    def __init__(
        self,
        img_size: int = 48,
        in_chans: int = 1,
        num_classes: int = 7,
        widths: tuple[int, ...] = (32, 64, 128, 256),
        drop_rate: float = 0.5,
    ) -> None:
        super().__init__()
        side = img_size // 2 ** len(widths)
        if side < 1:
            raise ValueError(f"img_size (={img_size}) is too small for {len(widths)} poolings; give fewer widths.")
        layers: list[nn.Module] = []
        for stage, width in enumerate(widths):
            layers += [nn.Conv2d(in_chans, width, 3, padding=1), nn.BatchNorm2d(width)]
            # Pooling first gives the same values and spares ReLU three quarters; Grad-CAM reads the last ReLU's maps.
            is_last = stage == len(widths) - 1
            layers += [nn.ReLU(), nn.MaxPool2d(2)] if is_last else [nn.MaxPool2d(2), nn.ReLU()]
            if stage % 2:
                layers.append(Dropout(drop_rate))
            in_chans = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(in_chans * side**2, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> logits (B, K)."""
        return self.classifier(self.features(x).flatten(1))  # (B, 256, 3, 3) -> (B, 2304) -> (B, K)
