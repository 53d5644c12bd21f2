"""Scores by subgroups: the tests against SciPy, the bookkeeping by hand, the verbs on drawn runs."""

import json
from pathlib import Path

import numpy as np
import pytest
from fake_runs import draw_pictures, guesses, picture_names, write_run
from scipy.stats import fisher_exact as scipys

import mien
from mien.cli import main
from mien.errors import DataError, UsageError
from mien.evaluate.metrics import score
from mien.evaluate.significance import fisher_exact, holm, mcnemar
from mien.evaluate.subgroups import (
    compare_subgroups,
    describe_compared,
    describe_subgroups,
    score_subgroups,
)
from mien.runs import Predictions, RunFolder
from mien.runs.records import Scores, from_dict, to_dict


def predictions(images: int = 300, skill: float = 1.5, seed: int = 0) -> Predictions:
    labels = np.random.default_rng(5).integers(0, 3, images)
    return Predictions([f"{i}.png" for i in range(images)], labels, guesses(labels, 3, skill, seed), ("a", "b", "c"))


def test_fishers_test_agrees_with_scipy() -> None:
    random = np.random.default_rng(0)
    for scale in (1, 5, 40, 900):
        for a, b, c, d in random.integers(0, scale + 1, (30, 4)):
            assert fisher_exact(a, b, c, d) == pytest.approx(scipys([[a, b], [c, d]]).pvalue, abs=1e-9)
    assert fisher_exact(3, 0, 0, 3) == pytest.approx(0.1)


def test_each_subgroup_is_scored_alone_and_tested_against_the_rest() -> None:
    found, values = predictions(), ["x"] * 100 + ["y"] * 180 + ["(none)"] * 20
    clean = np.arange(300) % 3 > 0
    made = score_subgroups(found, values, "camera", clean)
    assert made.column == "camera"
    assert not made.quarters
    groups = {group.value: group for group in made.groups}
    assert [group.accuracy for group in made.groups] == sorted(group.accuracy for group in made.groups)
    assert {name: (group.images, group.small) for name, group in groups.items()} == {
        "x": (100, False), "y": (180, False), "(none)": (20, True),
    }  # fmt: skip
    chosen = np.array(values) == "y"
    alone = score(found.only(chosen), clean=clean[chosen])
    y = groups["y"]
    assert (y.accuracy, y.interval, y.macro_f1, y.clean) == (
        alone.accuracy, alone.interval, alone.macro_f1, alone.clean,
    )  # fmt: skip
    right = found.correct
    assert y.difference == pytest.approx(right[chosen].mean() - right[~chosen].mean())
    table = [[right[part].sum(), (~right[part]).sum()] for part in (chosen, ~chosen)]
    assert y.p_value == pytest.approx(scipys(table).pvalue)
    adjusted = holm([group.p_value for group in made.groups])
    assert [group.adjusted_p_value for group in made.groups] == adjusted


def test_a_subgroup_that_is_failed_is_named_and_equal_ones_are_not() -> None:
    good, bad = predictions(skill=3), predictions(skill=0)
    mixed = Predictions(
        good.names, good.labels, np.concatenate([good.probabilities[:200], bad.probabilities[200:]]), good.classes
    )
    halves = ["light"] * 100 + ["dim"] * 100 + ["dark"] * 100
    found = {group.value: group.more_than_chance for group in score_subgroups(mixed, halves, "light").groups}
    assert found == {"dark": True, "dim": True, "light": True}  # the others fare better than a rest with the dark in it
    same = [str(i % 4) for i in range(300)]
    assert not any(group.more_than_chance for group in score_subgroups(mixed, same, "light").groups)
    lines = describe_subgroups(score_subgroups(mixed, halves, "light"))
    assert lines[0] == "by light, the least accurate first:"
    assert lines[1].startswith("  dark: ")
    assert "against the rest, more than chance (Fisher p = " in lines[1]


def test_values_for_other_images_are_refused() -> None:
    with pytest.raises(DataError, match="2 values of camera for 300 predictions"):
        score_subgroups(predictions(), ["x", "y"], "camera")


def test_runs_are_compared_within_each_subgroup_and_adjusted_for_all_of_them() -> None:
    first, second = predictions(skill=2).correct, predictions(skill=1, seed=1).correct
    values = [str(number) for number in np.arange(300)]
    found = compare_subgroups(["a", "b"], [first, second], values, "light")
    assert found.quarters
    assert [group.images for group in found.groups] == [75] * 4
    pairs = [group.pairs[0] for group in found.groups]
    assert pairs[0].p_value == mcnemar(first[:75], second[:75])
    assert [pair.adjusted_p_value for pair in pairs] == holm([pair.p_value for pair in pairs])
    assert found.groups[0].accuracies[1].correct == second[:75].sum()
    assert describe_compared(found)[0] == "by light (numbers, in quarters of the images), adjusted for 4 tests:"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two runs on a table whose validation pictures have a camera, those of "sad" none."""
    folder = tmp_path_factory.mktemp("by")
    draw_pictures(folder / "pictures")
    names, labels = picture_names()
    rows = [f"{name},{Path(name).parts[1]},validation,{camera(name)}" for name in names]
    rows += [f"{name.replace('validation', 'train')},{Path(name).parts[1]},train," for name in names]
    table = folder / "pictures" / "faces.csv"
    table.write_text("path,label,split,camera\n" + "\n".join(rows) + "\n")
    data = {"source": "table", "path": str(table), "size": 16}
    return [
        write_run(folder / f"{name}-1-0", names=names, labels=labels, skill=skill, data=data)
        for name, skill in (("good", 2.0), ("weak", 0.5))
    ]


def camera(name: str) -> str:
    return "" if "/sad/" in name else f"camera {int(Path(name).stem) % 2}"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def test_the_report_of_a_run_by_a_column_of_its_table(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(runs[0]), "--by", "camera"]) == 0
    page = (runs[0] / "report.html").read_text()
    assert "Whom does it fail?" in page
    assert "too few to say much" in page
    assert all(name in page for name in ("camera 0", "camera 1", "(none)"))
    mien.Run.open(runs[0]).report()
    assert "Whom does it fail?" not in (runs[0] / "report.html").read_text()


def test_runs_compared_by_a_column(runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.html"
    assert main(["compare", *map(str, runs), "--by", "camera", "--out", str(page), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["subgroups"]
    assert found["column"] == "camera"
    assert [(group["value"], group["images"]) for group in found["groups"]] == [
        ("(none)", 5), ("camera 0", 11), ("camera 1", 9),
    ]  # fmt: skip
    assert "Subgroup by subgroup" in page.read_text()
    typed = mien.compare(*runs, by="camera").subgroups
    assert typed is not None
    assert typed.groups[1].pairs[0].first == "good"


def test_another_table_and_moved_pictures(runs: list[Path], tmp_path: Path) -> None:
    other = tmp_path / "light.csv"
    other.write_text("path,light\n" + "".join(f"{name},{i % 2}\n" for i, name in enumerate(picture_names()[0])))
    run = RunFolder.open(runs[0])
    moved = (run.recipe.data.path or Path()).rename(run.path.parent / "pictures" / "moved.csv")
    try:
        mien.Run.open(runs[0]).report(by="light", table=other, data=moved)
    finally:
        moved.rename(moved.with_name("faces.csv"))
    assert ">light<" in (runs[0] / "report.html").read_text()


def test_a_wrong_column_and_a_lone_table(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(runs[0]), "--by", "camara"]) == 2
    assert "--by camara" in (said := capsys.readouterr().err)
    assert "Did you mean 'camera'?" in said
    assert main(["compare", *map(str, runs), "--table", "x.csv"]) == 2
    assert "--by COLUMN" in capsys.readouterr().err
    with pytest.raises(UsageError, match="no such column"):
        mien.Run.open(runs[0]).report(by="sex")


def test_scores_with_subgroups_are_read_again_as_they_were_written() -> None:
    found = predictions()
    scores = score(found)
    assert from_dict(Scores, to_dict(scores)).subgroups is None
    made = score_subgroups(found, ["x"] * 150 + ["y"] * 150, "camera")
    again = from_dict(Scores, json.loads(json.dumps(to_dict(scores) | {"subgroups": to_dict(made)})))
    assert again.subgroups == made
