"""The errors a model is surest of and the classes it confuses."""

from __future__ import annotations

import numpy as np
import pytest

from mien.evaluate.mistakes import (
    Disagreement,
    Disputed,
    Mistake,
    confusions,
    disagreements,
    most_confident_errors,
    most_confused,
)
from mien.runs import Predictions

SHARES = [
    [0.60, 0.30, 0.10],  # right
    [0.20, 0.70, 0.10],  # a taken for b
    [0.05, 0.90, 0.05],  # a taken for b
    [0.40, 0.25, 0.35],  # c taken for a
    [0.10, 0.10, 0.80],  # right
]
PREDICTIONS = Predictions(list("vwxyz"), np.array([0, 0, 0, 2, 2]), np.array(SHARES), ("a", "b", "c"))


def test_surest_errors_come_first() -> None:
    found = most_confident_errors(PREDICTIONS, 2)
    assert found == [Mistake("x", "a", "b", 0.9, 0.05), Mistake("w", "a", "b", 0.7, 0.2)]
    assert [each.name for each in most_confident_errors(PREDICTIONS)] == ["x", "w", "y"]


def test_no_errors() -> None:
    perfect = Predictions(["v"], np.array([0]), np.array([[0.9, 0.1]]), ("a", "b"))
    assert most_confident_errors(perfect) == []
    assert most_confused(perfect) == []


@pytest.mark.parametrize(("minimum", "expected"), [(1, [("a", "b", 2), ("c", "a", 1)]), (2, [("a", "b", 2)]), (3, [])])
def test_most_confused(minimum: int, expected: list[tuple[str, str, int]]) -> None:
    assert most_confused(PREDICTIONS, minimum) == expected


def test_confusions_of_a_matrix() -> None:
    assert confusions(np.array([[7, 0, 2], [3, 5, 0], [2, 1, 11]]), "abc") == [
        ("b", "a", 3),
        ("a", "c", 2),
        ("c", "a", 2),
        ("c", "b", 1),
    ]


def test_disagreements_go_each_way_and_the_surest_wrong_answer_comes_first() -> None:
    shares = np.array([[0.1, 0.8, 0.1], [0.5, 0.3, 0.2], [0.75, 0.2, 0.05], [0.6, 0.3, 0.1], [0.3, 0.1, 0.6]])
    other = Predictions(PREDICTIONS.names, PREDICTIONS.labels, shares, PREDICTIONS.classes)
    # Wrong: w, x, y of the first and v, y of the second; on y both are.
    assert disagreements(("cnn", PREDICTIONS), ("vit", other)) == [
        Disagreement("cnn", "vit", 1, [Disputed("v", "a", "b", 0.8, 0.1, 0.6)]),
        Disagreement(
            "vit", "cnn", 2, [Disputed("x", "a", "b", 0.9, 0.05, 0.75), Disputed("w", "a", "b", 0.7, 0.2, 0.5)]
        ),
    ]
