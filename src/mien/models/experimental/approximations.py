"""Approximations of attention whose cost grows with N, not N * N: each maps (q, k, v), (B, h, N, d), to (B, h, N, d).

nystrom    Xiong et al., Nyströmformer (arXiv 2102.03902): landmarks, the means of segments of the sequence
performer  Choromanski et al. (arXiv 2009.14794): positive random features of the softmax kernel (FAVOR+)
linformer  Wang et al. (arXiv 2006.04768): keys and values projected, along the sequence, to a fixed length

None has the N x N weights of exact attention, so there are none to look at, to mix or to add a bias to.

Shapes: B images, h heads, N tokens, d channels a head, m landmarks, features or projected tokens.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mien.models.parts.attention import attention_logits

KINDS = ("exact", "nystrom", "performer", "linformer")
LANDMARKS = 32


class Nystrom(nn.Module):
    """softmax(q k~^T) softmax(q~ k~^T)^+ softmax(q~ k^T) v, each over sqrt(d): section 3 of the paper.

    q~ and k~ are m landmarks (see `segment_means`), + is the pseudo-inverse (see `pseudo_inverse`). Exact when m = N.
    The convolution that the published code may add beside it is left out: it is no attention.
    Raises ValueError unless 1 <= landmarks <= tokens.
    """

    def __init__(self, landmarks: int, tokens: int, iterations: int = 6) -> None:
        super().__init__()
        _refuse_lengths("nystrom", landmarks, tokens)
        self.landmarks = landmarks
        self.iterations = iterations

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Three times (B, h, N, d) -> (B, h, N, d)."""
        few_q, few_k = segment_means(q, self.landmarks), segment_means(k, self.landmarks)  # 2 x (B, h, m, d)
        inverse = pseudo_inverse(attention_logits(few_q, few_k).softmax(dim=-1), self.iterations)  # (B, h, m, m)
        gathered = F.scaled_dot_product_attention(few_q, k, v)  # softmax(q~ k^T) v: (B, h, m, d)
        return F.scaled_dot_product_attention(q, few_k, inverse.to(v.dtype) @ gathered)  # (B, h, N, d)


class Performer(nn.Module):
    """phi(q) (phi(k)^T v) / (phi(q) sum phi(k)): FAVOR+, lemma 1 of the paper.

    phi(x) = exp(w x - |x|^2 / 2) for m random w, x scaled by d^(-1/4), so that phi(q) phi(k)^T / m has the mean
    exp(q k^T / sqrt(d)). The w are drawn once (see `orthogonal_features`) and saved with the model: they do not learn
    and are not redrawn. It takes more features the longer queries and keys are: the variance grows with exp(|q + k|^2).
    Raises ValueError for less than one feature.
    """

    features: Tensor

    def __init__(self, features: int, head_dim: int) -> None:
        super().__init__()
        if min(features, head_dim) < 1:
            raise ValueError(
                f"performer needs landmarks (={features}) and channels a head (={head_dim}) of at least 1."
            )
        self.register_buffer("features", orthogonal_features(features, head_dim))

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Three times (B, h, N, d) -> (B, h, N, d)."""
        with _full_precision(q):  # what is rounded in an exponent is multiplied in what comes out
            exponent_q, exponent_k = self.exponent(q), self.exponent(k)  # 2 x (B, h, N, m)
            # Any shift of a feature in k is taken back in q, and any of a query cancels. These keep all powers at or
            # below 1 and every denominator at or above it, so that none needs the papers' small constant.
            shift = exponent_k.detach().amax(dim=2, keepdim=True)  # (B, h, 1, m)
            phi_k, exponent_q = (exponent_k - shift).exp(), exponent_q + shift
            phi_q = (exponent_q - exponent_q.detach().amax(dim=3, keepdim=True)).exp()  # less (B, h, N, 1)
            total = phi_q @ phi_k.sum(dim=2).unsqueeze(3)  # (B, h, N, m) x (B, h, m, 1) -> (B, h, N, 1)
            out = phi_q @ (phi_k.transpose(2, 3) @ _full(v)) / total  # (B, h, N, m) x (B, h, m, d) -> (B, h, N, d)
        return out.to(v.dtype)

    def exponent(self, x: Tensor) -> Tensor:
        """The logarithm of phi: queries or keys (B, h, N, d) -> (B, h, N, m)."""
        x = _full(x) * x.shape[-1] ** -0.25
        norms = x.square().sum(dim=-1, keepdim=True)  # (B, h, N, 1)
        return x @ self.features.to(x.dtype).T - norms / 2  # (B, h, N, d) x (d, m) -> (B, h, N, m)


class Linformer(nn.Module):
    """softmax(q (E k)^T / sqrt(d)) (F v), equation 7 of the paper; E and F, (m, N), are learned.

    One pair for all heads of a layer ("headwise sharing"). They start as the means of m segments, the paper's pooling,
    where the published code starts at random: so the first step already sees the image, and m = N starts as exact.
    The number of tokens is fixed. Raises ValueError unless 1 <= landmarks <= tokens.
    """

    def __init__(self, landmarks: int, tokens: int) -> None:
        super().__init__()
        _refuse_lengths("linformer", landmarks, tokens)
        means = segment_means(torch.eye(tokens), landmarks)  # (m, N)
        self.project_k = nn.Parameter(means)
        self.project_v = nn.Parameter(means.clone())

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Three times (B, h, N, d) -> (B, h, N, d). Raises ValueError for another number of tokens."""
        if k.shape[2] != self.project_k.shape[1]:
            raise ValueError(f"This linformer was made for {self.project_k.shape[1]} tokens and got {k.shape[2]}.")
        # (m, N) x (B, h, N, d) -> (B, h, m, d)
        return F.scaled_dot_product_attention(q, self.project_k @ k, self.project_v @ v)


def segment_means(x: Tensor, segments: int) -> Tensor:
    """The means of equal stretches of a sequence, (..., N, d) -> (..., m, d): its landmarks.

    Where m does not divide N, the first N mod m stretches are one longer; nothing is padded.
    """
    tokens = x.shape[-2]
    size, longer = divmod(tokens, segments)
    first, rest = x.split([longer * (size + 1), (segments - longer) * size], dim=-2)
    means = rest.unflatten(-2, (segments - longer, size)).mean(dim=-2)  # (..., rest, d) -> (..., m - longer, d)
    if not longer:
        return means
    return torch.cat([first.unflatten(-2, (longer, size + 1)).mean(dim=-2), means], dim=-2)  # (..., m, d)


def pseudo_inverse(matrix: Tensor, iterations: int = 6) -> Tensor:
    """The Moore-Penrose inverse of matrices (..., m, m) whose rows sum to 1, approximately: section 3 of the paper.

    Z <- Z (13 - AZ (15 - AZ (7 - AZ))) / 4 from A^T / (greatest column sum * greatest row sum), and the rows of a
    softmax sum to 1. Small singular values come last: six iterations invert 0.1, and 0.03 by two thirds.
    The published code takes the greatest sum of the whole batch; one for each matrix keeps images apart.
    """
    with _full_precision(matrix):
        a = _full(matrix)
        identity = torch.eye(a.shape[-1], dtype=a.dtype, device=a.device)
        z = a.transpose(-2, -1) / a.sum(dim=-2, keepdim=True).amax(dim=-1, keepdim=True)  # over (..., 1, 1)
        for _ in range(iterations):
            az = a @ z
            z = 0.25 * z @ (13 * identity - az @ (15 * identity - az @ (7 * identity - az)))
    return z


def orthogonal_features(count: int, head_dim: int) -> Tensor:
    """Draws from N(0, I), (count, head_dim), at right angles within each block of head_dim (FAVOR+, section 2)."""
    blocks = [nn.init.orthogonal_(torch.empty(len(rows), head_dim)) for rows in torch.arange(count).split(head_dim)]
    lengths = torch.randn(count, head_dim).norm(dim=1, keepdim=True)  # of Gaussian vectors, (count, 1)
    return torch.cat(blocks) * lengths


def make_approximation(kind: str, landmarks: int | None, tokens: int, head_dim: int) -> nn.Module | None:
    """What stands in for exact attention in one layer, None where nothing does.

    landmarks: m; 32 where it is None. Raises ValueError for a kind that is not known, and for landmarks that the
    sequence does not have or exact attention would not use.
    """
    if kind == "exact":
        if landmarks is not None:
            raise ValueError(f"landmarks (={landmarks}) do nothing in exact attention; take {_listed(KINDS[1:])}.")
        return None
    m = LANDMARKS if landmarks is None else landmarks
    if kind == "performer":
        return Performer(m, head_dim)
    if kind in ("nystrom", "linformer"):
        return (Nystrom if kind == "nystrom" else Linformer)(m, tokens)
    raise ValueError(f"attention '{kind}' is not known; there are {_listed(KINDS)}.")


def _refuse_lengths(kind: str, landmarks: int, tokens: int) -> None:
    if not 1 <= landmarks <= tokens:
        raise ValueError(f"{kind} needs landmarks (={landmarks}) from 1 to the number of tokens, here {tokens}.")


def _full_precision(x: Tensor) -> torch.autocast:
    return torch.autocast(x.device.type, enabled=False)


def _full(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"'{name}'" for name in names)
