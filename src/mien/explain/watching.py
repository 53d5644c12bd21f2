"""The attention of any network: what it asks torch for while it runs, whoever wrote its modules.

torch's fused attention gives no weights, and a network of timm's or of your own has no hook where they are. So each
call of `scaled_dot_product_attention`, and each softmax over the last of four dimensions, is seen on its way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

SOFTMAX = (torch.softmax, Tensor.softmax, F.softmax)
NAMES = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")  # of scaled_dot_product_attention, in order
Keep = Callable[[Tensor, Tensor], None]


class Watching(TorchFunctionMode):
    """Within it, `keep` is given logits and weights, (B, h, N, M), of each attention that torch computes.

    explicit: compute fused attention from these weights, so that the answer depends on them by a gradient; without it
    the network's own call goes on as it is, and its answer stays the same, bit for bit.
    """

    def __init__(self, keep: Keep, explicit: bool = False) -> None:
        super().__init__()
        self.keep = keep
        self.explicit = explicit

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Called by torch in place of each of its functions."""
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return self._fused(args, kwargs)
        output = func(*args, **kwargs)
        if func in SOFTMAX and output.ndim == 4 and _dimension(args, kwargs) in (-1, 3):
            self.keep(args[0] if args else kwargs["input"], output)
        return output

    def _fused(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        given = {**dict(zip(NAMES, args, strict=False)), **kwargs}
        logits = _logits(given)
        weights = logits.softmax(dim=-1)
        self.keep(logits, weights)
        if self.explicit:
            return weights @ given["value"]  # (B, h, N, M) x (B, h, M, d) -> (B, h, N, d)
        return F.scaled_dot_product_attention(*args, **kwargs)


def _logits(given: Mapping[str, Any]) -> Tensor:
    """What torch's fused attention puts into its softmax, (B, h, N, M)."""
    q, k, mask = given["query"], given["key"], given.get("attn_mask")
    scale = given.get("scale") or 1 / math.sqrt(q.shape[-1])
    logits: Tensor = q @ k.transpose(-2, -1) * scale  # (B, h, N, d) x (B, h, d, M) -> (B, h, N, M)
    if given.get("is_causal"):
        mask = torch.ones(logits.shape[-2:], dtype=torch.bool, device=q.device).tril()
    if mask is None:
        return logits
    return logits.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else logits + mask


def _dimension(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return kwargs.get("dim", args[1] if len(args) > 1 else None)
