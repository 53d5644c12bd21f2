"""What sits on a backbone: one linear layer, or a small MLP."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mien.models.parts.dropout import Dropout


def make_head(
    in_features: int, num_classes: int, hidden: Sequence[int] = (), batch_norm: bool = False, drop_rate: float = 0.0
) -> nn.Module:
    """Maps pooled features (B, in_features) to logits (B, num_classes).

    hidden: widths of the layers in between, each Linear, BatchNorm1d if batch_norm, ReLU, Dropout(drop_rate);
    () is a plain nn.Linear, so that other people's weights fit by name. Source report 4 puts (512, 256) and
    (512, 256, 128, 64) on a ViT-B/16, with dropout 0.5.
    num_classes 0 is no head, as in timm: the features come out as they are.
    Raises ValueError for batch_norm or drop_rate without a hidden layer that they could act on.
    """
    if not hidden and (batch_norm or drop_rate):
        given = "head_batch_norm" if batch_norm else f"head_drop_rate (={drop_rate})"
        raise ValueError(f"{given} needs head_hidden, the widths of the head's hidden layers, such as (512, 256).")
    if not num_classes:
        return nn.Identity()
    layers: list[nn.Module] = []
    for width in hidden:
        layers.append(nn.Linear(in_features, width))
        layers += [nn.BatchNorm1d(width)] if batch_norm else []
        layers += [nn.ReLU(), Dropout(drop_rate)]
        in_features = width
    last = nn.Linear(in_features, num_classes)
    return nn.Sequential(*layers, last) if layers else last


class SequencePool(nn.Module):
    """The tokens' mean, weighted by a softmax over what a linear layer thinks of each (CCT, arXiv 2104.05704)."""

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.score = nn.Linear(embed_dim, 1, bias=False)  # the softmax would take a bias away
        nn.init.trunc_normal_(self.score.weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, N, D) -> (B, D)."""
        weights = self.score(x).softmax(dim=1)  # (B, N, 1)
        return torch.matmul(weights.transpose(1, 2), x).squeeze(1)  # (B, 1, N) x (B, N, D) -> (B, 1, D) -> (B, D)


class DistilledHead(nn.Module):
    """DeiT's two heads: the mean of the class token's and the distillation token's logits (arXiv 2012.12877)."""

    def __init__(self, head: nn.Module, head_dist: nn.Module) -> None:
        super().__init__()
        self.head = head
        self.head_dist = head_dist

    def forward(self, x: Tensor) -> Tensor:
        """Class and distillation token (B, 2, D) -> logits (B, K)."""
        return (self.head(x[:, 0]) + self.head_dist(x[:, 1])) / 2
