"""What a Vision Transformer knows of where its patches lie, read from its position embeddings alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mien.errors import UsageError
from mien.explain.attention import grid_points, tokens_of
from mien.explain.capture import network_of
from mien.models import create_model
from mien.models.parts.positions import are_learned
from mien.pretrained import Classifier


def similarities(model: nn.Module) -> np.ndarray:
    """Cosine similarities of the patches' position embeddings, (g, g, g, g).

    [i, j] is the map of patch (i, j)'s similarity with every patch, as in the ViT paper's figure 7, centre.
    Prefix tokens are left out. Raises UsageError for a model without position embeddings.
    """
    grid = tokens_of(model).grid
    vectors = _directions(model)
    return np.asarray((vectors @ vectors.T).reshape(grid, grid, grid, grid))  # (N, N) -> (g, g, g, g)


@dataclass(frozen=True, eq=False)
class RecoveredGrid:
    """Where a position embedding says the patches lie."""

    places: np.ndarray  # (N, 2): row and column of each patch, in patches
    fit: float  # R^2 with the true grid: 1 where it holds the patches' places exactly, near 0 where it holds none


def recovered_grid(model: nn.Module) -> RecoveredGrid:
    """The picture's 2-D grid, read out of the position embeddings alone.

    Classical multidimensional scaling of the cosine similarities (Torgerson 1952) gives two coordinates a patch; they
    are turned, mirrored and scaled as a whole to lie as near as they can to the true grid (orthogonal Procrustes).
    Two free coordinates fit a small grid by chance, the better the smaller: compare with `untrained(model)`.
    Fixed sine-cosine positions fit badly: their strongest directions are waves across the grid, not its two axes.
    Raises UsageError for a model without position embeddings.
    """
    truth = grid_points(tokens_of(model).grid)
    centre = truth.mean(axis=0)
    found = _scaled_to_two(_directions(model))
    left, stretch, right = np.linalg.svd(found.T @ (truth - centre))  # Schönemann (1966)
    size, true_size = (found**2).sum(), ((truth - centre) ** 2).sum()
    if size == 0 or true_size == 0:  # all patches look alike, or there is but one
        return RecoveredGrid(np.broadcast_to(centre, truth.shape).copy(), 0.0)
    places = found @ (left @ right) * stretch.sum() / size + centre
    return RecoveredGrid(places, float(stretch.sum() ** 2 / (size * true_size)))


def learns_positions(model: nn.Module) -> bool:
    """Whether the model adds position embeddings that training can change: not fixed ones, nor relative ones."""
    return are_learned(getattr(network_of(model), "pos_embed", None))


def untrained(model: Classifier) -> nn.Module:
    """The same network as it was before any training, with the random weights of seed 0."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        return create_model(model.name, **model.sizes)


def _scaled_to_two(vectors: np.ndarray) -> np.ndarray:
    """Unit vectors (N, D) -> the two directions in which they vary most, (N, 2), by classical scaling."""
    centred = vectors - vectors.mean(axis=0)  # the same as centring the matrix of similarities from both sides
    values, directions = np.linalg.eigh(centred @ centred.T)  # in ascending order
    found = directions[:, :-3:-1] * np.sqrt(values[:-3:-1].clip(min=0))
    return np.pad(found, ((0, 0), (0, 2 - found.shape[1])))  # a single patch has but one direction


def _directions(model: nn.Module) -> np.ndarray:
    """The patches' position embeddings, each of length 1, (N, D)."""
    tokens = tokens_of(model)
    embedding = network_of(model).pos_embed
    if isinstance(embedding, nn.Module):
        embedding = embedding()
    if not isinstance(embedding, Tensor):
        raise UsageError("This model has no position embeddings (pos_embed 'none'). Train one with pos_embed 'learn'.")
    vectors = embedding.detach()[0, tokens.prefix :].double().cpu().numpy()  # (1, prefix + N, D) -> (N, D)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths == 0, 1, lengths))
