"""The sizes of CNN V2."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from mien.models.cnn_v1_sizes import PoolingSizes


class CnnV2Sizes(PoolingSizes):
    """Of `cnn_v2.CnnV2`."""

    widths: tuple[PositiveInt, ...] = Field(
        default=(32, 64, 128, 256), description="Channels of each convolution, such as 32,64,128,256."
    )
