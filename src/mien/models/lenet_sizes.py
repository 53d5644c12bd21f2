"""The sizes of LeNet: all of them come from the data."""

from __future__ import annotations

from pydantic import Field, model_validator

from mien.models.sizes import Sizes


class LeNetSizes(Sizes):
    """Of `lenet.LeNet`."""

    img_size: int = Field(default=32, ge=1, description="Side of the square images, in pixels.")

    @property
    def side(self) -> int:
        """Side of the last maps: each 5x5 convolution takes 4 off, each pooling halves."""
        return ((self.img_size - 4) // 2 - 4) // 2

    @model_validator(mode="after")
    def _fit(self) -> LeNetSizes:
        if self.side < 1:
            raise ValueError(f"img_size (={self.img_size}) is too small for two 5x5 convolutions; 16 is the least.")
        return self
