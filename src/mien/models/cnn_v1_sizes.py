"""The sizes of CNN V1, and what it shares with V2."""

from __future__ import annotations

from pydantic import Field, PositiveInt, model_validator

from mien.models.sizes import Sizes


class PoolingSizes(Sizes):
    """Of a CNN that halves the image after each convolution."""

    widths: tuple[PositiveInt, ...] = Field(description="Channels of each convolution, such as 32,64.")
    drop_rate: float = Field(default=0.5, ge=0, lt=1, description="Dropout probability.")

    @property
    def side(self) -> int:
        """Side of the last maps."""
        return int(self.img_size // 2 ** len(self.widths))

    @model_validator(mode="after")
    def _fit(self) -> PoolingSizes:
        if self.side < 1:
            raise ValueError(
                f"img_size (={self.img_size}) is too small for {len(self.widths)} poolings; give fewer widths."
            )
        return self


class CnnV1Sizes(PoolingSizes):
    """Of `cnn_v1.CnnV1`."""

    widths: tuple[PositiveInt, ...] = Field(
        default=(32, 64), description="Channels of each convolution, such as 32,64."
    )
