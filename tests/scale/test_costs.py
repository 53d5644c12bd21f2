"""docs/understanding/scale.md holds what benchmarks/scale_costs.py computes from the records."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def script(name="scale_costs"):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"benchmarks/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_shows_what_is_computed():
    page = (ROOT / "docs/understanding/scale.md").read_text(encoding="utf-8")
    shown = page.partition("<!-- computed by benchmarks/scale_costs.py -->\n")[2].partition("<!-- end -->")[0]
    assert shown.strip() == script().tables()


def test_the_least_rate_bounds():
    costs = script()
    scale = {
        "faces_per_processor_second": {"1": [100, 102, 98]},
        "speed_kept_beside_another": [0.9, 0.8, 1.0],
        "bytes_a_crop": 1250,
    }
    dispatch = {"processor_seconds_of_the_driver_a_part": 0.002048}
    assert costs.rate(1, scale, dispatch) == (100, "cores")
    assert costs.rate(10, scale, dispatch) == (900, "cores")
    assert costs.rate(100_000, scale, dispatch) == (1e6, "Ray's driver")
    assert costs.rate(10**6, {**scale, "bytes_a_crop": 125_000}, dispatch) == (1e5, "network")


def test_two_workers_are_twice_as_fast_whether_they_end_together_or_in_turn():
    pytest.importorskip("ray", reason="ray is not installed: pip install 'mien[scale]', see .ci/run")
    rate = script("scale").parts_a_second
    assert rate([1, 2, 3, 4, 5, 6, 7, 8], 1) == 1
    assert rate([1, 1, 2, 2, 3, 3, 4, 4], 2) == 2
    assert rate([0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4], 2) == 2
