"""Every figure: what it says, and that odd runs do not stop it."""

from __future__ import annotations

import html
import json
import math
import re
from typing import Any

import numpy as np
import pytest

from mien.evaluate.metrics import reliability
from mien.report import figures
from mien.runs import Predictions
from mien.runs.records import TrainedShare

HISTORY = {
    "epoch": [1.0, 2.0, 3.0],
    "seconds": [2.0, 4.0, 6.0],
    "train_loss": [1.9, 1.2, 0.7],
    "val_loss": [1.8, 1.4, 1.5],
    "train_accuracy": [0.2, 0.5, 0.8],
    "val_accuracy": [0.25, 0.5, 0.45],
}


def texts(svg: object) -> list[str]:
    """Everything written in a figure."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", str(svg))


def curves_of(svg: object) -> list[dict[str, Any]]:
    """What the page shows where a figure is pointed at."""
    found = re.search(r'data-curves="([^"]*)"', str(svg))
    assert found is not None
    return list(json.loads(html.unescape(found[1])))


def test_loss_curves_name_the_guesses_that_ignore_the_image() -> None:
    found = texts(figures.loss_curves(HISTORY, math.log(7), 1.81, 2))
    assert {"every class alike: 1.95", "class frequencies: 1.81"} <= set(found)


def test_one_guess_is_enough_for_balanced_classes() -> None:
    found = texts(figures.loss_curves(HISTORY, math.log(7), math.log(7) - 0.001, None))
    assert [text for text in found if ":" in text] == ["every class alike: 1.95"]


def test_accuracy_curves_are_in_percent() -> None:
    found = texts(figures.accuracy_curves(HISTORY, 0.249, 2))
    assert "commonest class: 24.9%" in found
    assert any(re.fullmatch(r"\d+%", text) for text in found)


def test_calibration_errors_begin_at_0_and_leave_out_epochs_that_have_none() -> None:
    some = HISTORY | {"val_calibration_error": [math.nan, 0.05, 0.2]}
    svg = figures.calibration_curve(some, 2)
    found = texts(svg)
    assert {"epoch", "calibration error"} <= set(found)
    assert [curve["label"] for curve in curves_of(svg)] == ["validation"]
    assert [point[2:] for point in curves_of(svg)[0]["points"]] == [["epoch 2", "0.050"], ["epoch 3", "0.200"]]
    assert "0.000" in found


def test_a_narrow_range_has_decimals_rather_than_the_same_percentage_twice() -> None:
    narrow = {"epoch": [1.0, 2.0, 3.0], "val_accuracy": [0.142, 0.1431, 0.1436]}
    ticks = [text for text in texts(figures.accuracy_curves(narrow, None, None)) if text.endswith("%")]
    assert len(ticks) == len(set(ticks)) > 1


@pytest.mark.parametrize("value", [math.nan, math.inf, 1e9])
def test_a_run_that_diverged_can_be_drawn(value: float) -> None:
    diverged = HISTORY | {"val_loss": [1.8, value, value], "train_loss": [value] * 3}
    assert "every class alike: 1.95" in texts(figures.loss_curves(diverged, math.log(7), None, 2))


def test_one_epoch_is_a_dot() -> None:
    single = {key: column[:1] for key, column in HISTORY.items()}
    assert "<use" in figures.accuracy_curves(single, None, None)


def test_curves_of_nothing_but_validation() -> None:
    found = curves_of(figures.loss_curves({"epoch": [1.0], "val_loss": [1.0]}, None, None, None))
    assert [curve["label"] for curve in found] == ["validation"]


def test_calibration_draws_every_bin_of_the_histogram() -> None:
    shares = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    predictions = Predictions(list("abc"), np.array([0, 1, 1]), shares, ("x", "y"))
    svg = figures.calibration(reliability(predictions))
    assert {"right", "confidence", "images"} <= set(texts(svg))
    assert str(svg).count("fill: var(--series-6)") == 15


@pytest.mark.parametrize(
    ("seconds", "unit"), [((2.0, 4.0, 6.0), "seconds"), ((200.0, 400.0, 600.0), "minutes"), ((1e4, 2e4, 3e4), "hours")]
)
def test_run_curves_choose_their_unit(seconds: tuple[float, ...], unit: str) -> None:
    curves = {"$one$": HISTORY, "two": HISTORY | {"seconds": seconds}}
    svg = figures.run_curves(curves, "seconds", "accuracy")
    assert {unit, "accuracy"} <= set(texts(svg))
    assert [(curve["label"], curve["series"]) for curve in curves_of(svg)] == [("$one$", 1), ("two", 2)]
    assert all(at.endswith(unit) for curve in curves_of(svg) for _, _, at, _ in curve["points"])


def test_run_curves_mark_where_the_shortest_run_ends() -> None:
    short = {key: column[:2] for key, column in HISTORY.items()}
    line = re.compile(r"M ([\d.]+) [\d.]+ \nL \1 [\d.]+ \n\" clip-path=\"[^\"]+\" style=\"[^\"]*stroke-dasharray")
    together = [
        line.findall(str(figures.run_curves({"a": HISTORY, "b": b}, "epoch", "loss"))) for b in (HISTORY, short)
    ]
    assert len(together[0]) == len(together[1]) == 1
    assert float(together[1][0]) < float(together[0][0])


def test_accuracies_show_each_run_with_its_value() -> None:
    found = texts(figures.accuracies(["a", "b"], [0.6071, 0.5], [(0.59, 0.62), (0.48, 0.52)]))
    assert {"a", "b", "60.7%", "50.0%"} <= set(found)
    assert len(found) == len(set(found))  # no tick is written twice


def test_the_points_that_are_read_lie_on_the_curve_that_is_drawn() -> None:
    """The drawn path and the points in words, both from the upper left corner."""
    svg = str(figures.accuracy_curves(HISTORY, None, None))
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    drawn = re.findall(r'd="(M [^"]+)" clip-path="[^"]+" style="fill: none; stroke: var\(--series-1\)', svg)
    assert size is not None
    on_path = np.array(re.findall(r"[ML] ([\d.]+) ([\d.]+)", drawn[0]), dtype=float) / [float(size[1]), float(size[2])]
    validation, training = curves_of(svg)
    np.testing.assert_allclose([point[:2] for point in validation["points"]], on_path, atol=2e-4)
    assert [point[2:] for point in training["points"]] == [
        ["epoch 1", "20.0%"],
        ["epoch 2", "50.0%"],
        ["epoch 3", "80.0%"],
    ]


def test_trained_when_names_the_parts_and_shows_what_trained() -> None:
    parts = {"stem": 0.0, "blocks.0": 0.0, "blocks.1": 0.33, "head": 1.0}
    rows = [
        TrainedShare(epoch=1, share=0.1, parts=parts),
        TrainedShare(epoch=2, share=0.4, parts=parts | {"blocks.0": 1.0}),
    ]
    svg = figures.trained_when(rows)
    assert [text for text in texts(svg) if not text.isdigit()] == ["epoch", "head", "block 1", "block 0", "stem"]
    assert svg.count("opacity: 0.45") == 1
    assert list(figures._stretches([0.0, 1.0, 1.0, 0.5, 0.0])) == [(1, 2, 1.0), (3, 1, 0.5)]
    assert "head" in texts(figures.trained_when(rows[:1]))
