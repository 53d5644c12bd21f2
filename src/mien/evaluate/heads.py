"""A linear head on stored features: what can be told from them, in seconds.

Multinomial logistic regression with an L2 penalty, as scikit-learn's LogisticRegression has it, on standardised
features, by L-BFGS.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

STEPS = 100  # of L-BFGS
PENALTY = 0.1  # on half the squared weights; the loss is the mean over the images


@dataclass(frozen=True, eq=False)
class Head:
    """Features (n, D) -> probabilities (n, K). mean, std: (D,), of the features it was fitted on."""

    weight: np.ndarray  # (K, D)
    bias: np.ndarray  # (K,)
    mean: np.ndarray
    std: np.ndarray

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Probabilities of the classes, float64 (n, K), rows sum to 1."""
        logits = (features - self.mean) / self.std @ self.weight.T + self.bias
        shares = np.exp(logits - logits.max(axis=1, keepdims=True), dtype=np.float64)
        return shares / shares.sum(axis=1, keepdims=True)


def fit(features: np.ndarray, labels: np.ndarray, classes: int, penalty: float = PENALTY) -> Head:
    """Fit a head to features float32 (n, D) and labels int (n,), each in 0..classes-1."""
    mean, std = features.mean(axis=0), features.std(axis=0) + 1e-6
    inputs = torch.from_numpy((features - mean) / std)
    targets = torch.from_numpy(labels.astype(np.int64))
    weight = torch.zeros(classes, features.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    steps = torch.optim.LBFGS([weight, bias], max_iter=STEPS, history_size=20, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        steps.zero_grad()
        value = nn.functional.cross_entropy(inputs @ weight.T + bias, targets) + penalty * weight.square().sum() / 2
        value.backward()
        return value

    steps.step(loss)
    return Head(weight.detach().numpy(), bias.detach().numpy(), mean, std)


def out_of_fold(features: np.ndarray, labels: np.ndarray, classes: int, folds: np.ndarray) -> np.ndarray:
    """Probabilities of each image by a head that was fitted without its fold, float64 (n, K).

    folds: (n,), the number of each image's fold.
    """
    found = np.zeros((len(labels), classes))
    for fold in np.unique(folds):
        held = folds == fold
        found[held] = fit(features[~held], labels[~held], classes).probabilities(features[held])
    return found
