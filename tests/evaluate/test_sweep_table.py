from pathlib import Path
from types import SimpleNamespace

from mien.evaluate.sweep_table import SweepRun, SweepTable


def row(name: str, rate: float, accuracy: float | None, loss: float = 1.0) -> SweepRun:
    scores = None if accuracy is None else SimpleNamespace(accuracy=accuracy, negative_log_likelihood=loss)
    return SweepRun(name, name, {"train.lr": rate}, "waiting" if scores is None else "finished", scores=scores)


def test_equal_accuracies_are_ranked_by_loss():
    rows = [row("a", 1.0, 0.5, 0.9), row("b", 2.0, 0.5, 0.7), row("c", 3.0, None), row("d", 4.0, 0.25, 0.1)]
    table = SweepTable(SimpleNamespace(fields=["train.lr"], label=str), Path("."), rows, 4)
    assert [found.name for found in table.ranked] == ["b", "a", "d", "c"]
    assert table.best.name == "b"


def test_without_a_finished_run_there_is_no_best():
    table = SweepTable(SimpleNamespace(fields=["train.lr"], label=str), Path("."), [row("a", 1.0, None)], 1)
    assert table.best is None
