"""The page and the table of a sweep: what they say of runs that finished, failed, were stopped or wait."""

from __future__ import annotations

import csv
import math
import re
import statistics
from pathlib import Path

import pytest
from fake_runs import picture_names, write_run
from page_text import Page

from mien.config.sweep_plan import make_plan
from mien.evaluate.sweep_table import SweepTable, read_table
from mien.recipes import load
from mien.report import figures, sweep_page, write_sweep

FLAGS = {"train.lr": "1e-2,1e-3", "train.weight_decay": "0,0.1", "train.epochs": "7"}


def write_table(folder: Path, flags: dict[str, str], *, left_out: tuple[str, ...] = (), **how: bool) -> SweepTable:
    """A sweep whose runs are better the later they come; each has a report."""
    plan = make_plan("folder_cnn", None, [load("folder_cnn")[0].model_dump()], flags, **how)
    names, labels = picture_names(counts=(71, 131, 53))
    trials = plan.trials()
    for i, trial in enumerate(trials):
        if trial.name not in left_out:
            seed, fold = trial.settings.get("seed", 0), trial.settings.get("data.fold")
            own = names if fold is None else [f"{fold}/{name}" for name in names]
            write_run(folder / trial.name, names=own, labels=labels, skill=3 - 3 * 0.7**i, seed=seed, epochs=3 + i % 2)
            (folder / trial.name / "report.html").write_text("a report")
    return read_table(plan, folder, trials, {}, len(trials))


def page_of(table: SweepTable) -> Page:
    page = Page(write_sweep(table))
    assert not re.search(r"https?:|@import|<script[^>]", page.source)
    own = {address[1:] for address in page.addresses if address.startswith("#")}
    assert own <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    return page


def test_a_grid_of_two_fields(tmp_path: Path) -> None:
    table = write_table(tmp_path / "s", FLAGS)
    page = page_of(table)
    best = table.ranked[0]
    assert best.name == "lr=0.001,weight_decay=0.1"
    assert best.accuracy is not None
    assert f"Best: {best.accuracy:.1%} with lr 0.001, weight_decay 0.1." in page.text
    assert "Sweep of folder_cnn: 4 of 4 runs finished" in page.text
    assert "train.lr over 0.01, 0.001, train.weight_decay over 0, 0.1." in page.text
    assert [row.accuracy for row in table.ranked] == sorted((row.accuracy or 0 for row in table.rows), reverse=True)
    assert "lr by weight_decay" in page.text
    assert "Over seeds" not in page.text
    assert "train.epochs the same in all runs 7" in page.text
    assert f"mien run --config {tmp_path}/s/{best.name}/recipe.yaml" in page.text


def test_runs_at_chance_and_ties_have_no_best(tmp_path: Path) -> None:
    names, labels = picture_names(counts=(71, 131, 53))
    for skill, opening in ((0.0, "No better than one answer for all images: "), (3.0, "Best: ")):
        plan = make_plan("folder_cnn", None, [load("folder_cnn")[0].model_dump()], {"train.lr": "1e-2,1e-3"})
        folder = tmp_path / str(skill)
        for trial in plan.trials():
            write_run(folder / trial.name, names=names, labels=labels, skill=skill)
        table = read_table(plan, folder, plan.trials(), {}, 2)
        heading = re.search("<h1>(.*?)</h1>", page_of(table).source)
        assert heading is not None
        assert heading[1].startswith(opening)
        assert [group.label for group in table.tied] == ["lr 0.001"]
        assert bool(table.warning) == (skill == 0)
    assert "shared by 2 settings" in heading[1]


def test_each_run_leads_to_its_report(tmp_path: Path) -> None:
    page = page_of(write_table(tmp_path / "s", FLAGS))
    reports = [address for address in page.addresses if not address.startswith(("#", "data:"))]
    assert len(reports) == 4
    assert "lr%3D0.01%2Cweight_decay%3D0.1/report.html" in reports


def test_the_heat_map_shades_from_the_lowest_to_the_highest(tmp_path: Path) -> None:
    table = write_table(tmp_path / "s", FLAGS)
    found = sweep_page.heat_map(table)
    assert found is not None
    assert (found["first"], found["second"], found["columns"]) == ("train.lr", "train.weight_decay", ["0", "0.1"])
    cells = {(name, i): cell for name, row in found["rows"] for i, cell in enumerate(row)}
    for row in table.rows:
        cell = cells[f"{row.settings['train.lr']:g}", [0.0, 0.1].index(row.settings["train.weight_decay"])]
        assert cell["mean"] == row.accuracy
    shares = [cell["share"] for cell in cells.values()]
    assert (min(shares), max(shares)) == pytest.approx(sweep_page.SHADES)
    assert [key for key, cell in cells.items() if cell["best"]] == [("0.001", 1)]


@pytest.mark.parametrize(
    ("flags", "how"),
    [({"train.lr": "1e-2,1e-3"}, {}), ({**FLAGS, "data.size": "16,32"}, {}), (FLAGS, {"pairs": True})],
)
def test_no_heat_map_without_two_crossed_fields(tmp_path: Path, flags: dict[str, str], how: dict[str, bool]) -> None:
    table = write_table(tmp_path / "s", flags, **how)
    assert sweep_page.heat_map(table) is None
    assert 'class="matrix"' not in page_of(table).source


def test_runs_that_differ_by_their_seed_are_one_group(tmp_path: Path) -> None:
    table = write_table(tmp_path / "s", {**FLAGS, "seed": "0,1,2"})
    page = page_of(table)
    assert [len(group.rows) for group in table.groups] == [3] * 4
    for i, group in enumerate(table.groups):
        scores = [row.accuracy or 0 for row in table.rows[3 * i : 3 * i + 3]]
        assert group.mean == pytest.approx(statistics.mean(scores))
        assert group.std == pytest.approx(statistics.stdev(scores))
    best = table.best_group
    assert best is not None
    assert best.mean is not None
    assert best.std is not None
    assert best.label == "lr 0.001, weight_decay 0.1"
    assert f"Best: {best.mean:.1%} ± {100 * best.std:.1f} with lr 0.001, weight_decay 0.1." in page.text
    assert "is the mean of 3 seeds." in page.text
    assert "Runs that differ by their seed share a colour." in page.text
    colours = sweep_page.context(table)["colours"]
    assert len(colours) == 12
    assert set(colours.values()) == {0, 1, 2, 3}
    assert page.source.count("</i>lr 0.01, weight_decay 0</li>") == 1  # one legend for both figures


def test_folds_have_a_mean_and_no_best_one(tmp_path: Path) -> None:
    table = write_table(tmp_path / "s", {"data.folds": "3", "data.fold": "0,1,2"})
    (group,) = table.groups
    assert group.mean == pytest.approx(statistics.mean(row.accuracy or 0 for row in table.rows))
    assert table.repeats == "fold"
    page = page_of(table)
    assert f"{group.label}: {group.mean:.1%} ± {100 * (group.std or 0):.1f} over 3 folds." in page.text
    assert "none is a better model" in page.text
    assert table.pooled
    assert (
        f"765 images is judged once, by the network that was not trained on it: {table.pooled.scores.accuracy:.1%}"
        in page.text
    )
    assert "Best" not in page.text
    assert 'class="best"' not in page.source


def test_settings_are_compared_by_their_mean_over_folds(tmp_path: Path) -> None:
    table = write_table(tmp_path / "s", {"train.lr": "1e-2,1e-3", "data.folds": "3", "data.fold": "0,1,2"})
    assert [len(group.rows) for group in table.groups] == [3, 3]
    page = page_of(table)
    assert "with lr 0.001." in page.text
    assert page.source.count('class="best"') == 1  # the settings; none of their runs


def test_one_seed_has_no_spread(tmp_path: Path) -> None:
    left_out = ("lr=0.001,seed=1",)
    table = write_table(tmp_path / "s", {"train.lr": "1e-2,1e-3", "seed": "0,1"}, left_out=left_out)
    group = table.groups[1]
    assert (group.finished, group.std) == (1, None)
    assert "1 of 2" in page_of(table).text


def test_failed_stopped_and_waiting_runs_are_said(tmp_path: Path) -> None:
    flags = {"train.lr": "1,2,3,4"}
    whole = write_table(tmp_path / "s", flags, left_out=("lr=4",))
    for name in ("lr=2", "lr=3"):
        for lost in ("evaluation.json", "predictions.csv"):
            (tmp_path / "s" / name / lost).unlink()
    (tmp_path / "s" / "lr=2" / "metrics.csv").write_text("epoch,seconds,val_loss,val_accuracy\n1,2.5,nan,0.1\n")
    trials = whole.plan.trials()
    table = read_table(whole.plan, tmp_path / "s", trials, {"lr=2": "Its loss is <b>nan</b>."}, 4)
    page = page_of(table)
    assert [row.state for row in table.ranked] == ["finished", "failed", "stopped", "waiting"]
    assert "1 of 4 runs finished, 1 failed" in page.text
    assert "Its loss is &lt;b&gt;nan&lt;/b&gt;." in page.source
    assert "not yet run" in page.text
    assert f"Go on with mien sweep --resume {tmp_path}/s" in page.text
    assert "lr=2" not in sweep_page.context(table)["colours"]  # nothing of it can be drawn
    assert "lr=3" in sweep_page.context(table)["colours"]
    with open(tmp_path / "s" / "sweep.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["state"] for row in rows] == ["finished", "failed", "stopped", "waiting"]
    assert (rows[0]["run"], rows[0]["train.lr"]) == ("lr=1", "1.0")
    assert float(rows[0]["accuracy"]) == whole.rows[0].accuracy
    assert float(rows[0]["low"]) < float(rows[0]["accuracy"]) < float(rows[0]["high"])
    assert rows[1]["problem"] == "Its loss is <b>nan</b>."


def test_a_sweep_without_a_finished_run(tmp_path: Path) -> None:
    table = write_table(tmp_path / "s", {"train.lr": "1,2"}, left_out=("lr=1", "lr=2"))
    assert (table.best, table.best_group) == (None, None)
    assert "No run has finished yet." in page_of(table).text


def test_runs_that_cannot_be_told_from_the_best_are_counted(tmp_path: Path) -> None:
    table = write_table(tmp_path / "s", {"train.lr": ",".join(map(str, range(1, 9)))})
    level = sweep_page.level(table)
    best = table.best
    assert best is not None
    assert best.accuracy is not None
    assert 0 < len(level) < 7
    assert all(row.scores.interval[1] >= best.accuracy for row in level if row.scores)
    assert re.search(rf"{len(level)} other runs? ha(s|ve) an interval that reaches as high", page_of(table).text)


def test_of_many_runs_the_best_have_colours(tmp_path: Path) -> None:
    table = write_table(tmp_path / "s", {"train.lr": ",".join(map(str, range(1, 16)))})
    context = sweep_page.context(table)
    assert set(context["colours"]) == {row.name for row in table.ranked[:12]}
    page = page_of(table)
    assert page.source.count("</i>others</li>") == 1
    assert "A dashed line is a ring in the tables." in page.text


def test_a_search_shows_its_ranges(tmp_path: Path) -> None:
    plan = make_plan("folder_cnn", None, [load("folder_cnn")[0].model_dump()],
                     {"train.lr": "1e-5:1e-2:log", "train.ema": "0,0.9"}, search=3)  # fmt: skip
    names, labels = picture_names()
    trials = plan.named([{"train.lr": lr, "train.ema": ema} for lr, ema in ((1e-4, 0), (2e-3, 0.9), (5e-3, 0))])
    for trial in trials:
        write_run(tmp_path / trial.name, names=names, labels=labels)
    page = page_of(read_table(plan, tmp_path, trials, {}, 3))
    assert "Search of folder_cnn: 3 of 3 runs finished" in page.text
    assert "train.lr over 1e-05 to 0.01 (log)" in page.text
    assert "Accuracy of every run by train.lr" in page.source
    assert "mathdefault" not in page.source
    assert 'class="matrix"' not in page.source


def test_a_diverging_loss_does_not_press_the_others_flat() -> None:
    def drawn(losses: list[float]) -> list[float]:
        curve = {"epoch": [1.0, 2.0, 3.0], "val_loss": [2.0, 1.9, 1.8]}
        other = {"epoch": [1.0, 2.0, 3.0], "val_loss": losses}
        source = figures.sweep_curves([("a", 0, curve), ("b", 1, other)], "loss")
        return [float(text) for text in re.findall(r">([\d.]+)</text>", source)]

    assert max(drawn([2.0, 1.9, 1e6])) < 10
    assert max(drawn([2.0, math.nan, math.inf])) < 10
