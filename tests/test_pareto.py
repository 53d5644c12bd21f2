"""benchmarks/pareto.py: the line that it draws, and that the picture shows what results/ holds."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def pareto() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pareto", ROOT / "benchmarks" / "pareto.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_of_points_that_cost_the_same_the_best_alone_is_on_the_line(pareto: ModuleType) -> None:
    points = [(3, 0.6), (1, 0.47), (1, 0.5), (2, 0.5), (3, 0.65), (4, 0.62)]
    assert pareto.front(points) == [(1, 0.5), (3, 0.65)]


def test_the_picture_shows_the_best_recipe_of_each_network(pareto: ModuleType) -> None:
    ours = pareto.measured()
    assert {"fer2013_cnn_best", "fer2013_cnn_best_noise", "fer2013_tiny", "fer2013_vit_best"} <= set(ours)
    assert pareto.network("fer2013_cnn_best_noise") == pareto.network("fer2013_cnn_best")
    recorded = {pareto.network(name) for name in json.loads((ROOT / "results/pareto.json").read_text())["milliseconds"]}
    picture = (ROOT / "docs/pictures/pareto.svg").read_text()
    shown = pareto.drawn({name: found[:2] for name, found in ours.items()})
    assert {"fer2013_resnet_mixup_average", "fer2013_tiny_taught_average"} <= set(shown)
    for name in ours:
        if pareto.network(name) in recorded:
            count = picture.count(f">{name.removeprefix('fer2013_')}</text>")
            assert count == (2 if name in shown else 0), name
    assert {pareto.network(name) for name in shown} <= recorded
