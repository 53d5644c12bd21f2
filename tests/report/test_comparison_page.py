"""The page of a comparison as text."""

from __future__ import annotations

import base64
import io
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fake_runs import picture_names, write_run
from page_text import Page, check_alone
from PIL import Image

from mien.evaluate.compare import Changed, Comparison, compare
from mien.report import comparison_page, write_comparison


def test_a_comparison(comparison: Comparison, tmp_path: Path) -> None:
    path = write_comparison(comparison, tmp_path / "out" / "page.html")
    page = Page(path)
    check_alone(page)
    accuracy = {row.label: row.scores.accuracy for row in comparison.rows}
    assert f"good beats fair by {100 * (accuracy['good'] - accuracy['fair']):.1f} points." in page.text
    assert "3 runs on the same 255 validation images" in page.text
    assert f"weak is right {accuracy['weak']:.1%} of the time" in page.text
    assert "After 2 epochs, which all runs have had" in page.text
    assert "After 18 s of training it was weak still in its first epoch, good still in its first epoch" in page.text
    assert page.source.count("<svg") == 7
    assert "adjusted for 3 pairs (Holm)" in page.text


def test_a_comparison_leads_to_each_report(comparison: Comparison, tmp_path: Path) -> None:
    first = Path(comparison.rows[0].folder)
    (first / "report.html").write_text("a report")
    page = Page(write_comparison(comparison, tmp_path / "pages of mine" / "page.html"))
    check_alone(page)
    assert [address for address in page.addresses if "report" in address] == [f"../{first.name}/report.html"] * 2
    assert page.source.count('<ul class="legend">') == 1  # for all curves


def test_the_test_in_plain_words(comparison: Comparison, tmp_path: Path) -> None:
    pair = comparison_page.better_first(comparison.pairs[0])
    assert (pair.first, pair.second) == ("good", "weak")
    text = Page(write_comparison(comparison, tmp_path / "page.html")).text
    assert f"good is {100 * pair.difference:.1f} points ahead of weak" in text
    assert "which is more than chance : McNemar p\xa0<\xa00.001" in text
    assert f"good is right where weak is wrong on {pair.only_first} images, the reverse on {pair.only_second}." in text


def only(comparison: Comparison, **changes: object) -> Comparison:
    """The first two runs of a comparison, their pair changed."""
    pair = replace(comparison.pairs[0], **changes)  # type: ignore[arg-type]
    return replace(comparison, rows=comparison.rows[:2], pairs=[pair], disagreements=[])


def test_a_lead_within_chance(comparison: Comparison, tmp_path: Path) -> None:
    unsure = only(comparison, p_value=0.4, adjusted_p_value=0.4, more_than_chance=False)
    text = Page(write_comparison(unsure, tmp_path / "page.html")).text
    assert "good and weak cannot be told apart." in text
    assert "not more than chance would give: McNemar p\xa0=\xa00.40." in text
    assert "Holm" not in text


def test_a_draw(comparison: Comparison, tmp_path: Path) -> None:
    draw = only(comparison, only_first=7, only_second=7, difference=0.0, p_value=1.0, more_than_chance=False)
    text = Page(write_comparison(draw, tmp_path / "page.html")).text
    assert "weak and good are level at" in text
    assert "are right equally often" in text


def test_a_run_of_an_older_version_has_no_calibration_errors(comparison: Comparison, tmp_path: Path) -> None:
    assert "Validation calibration error by epoch" in Page(write_comparison(comparison, tmp_path / "page.html")).text
    old = replace(comparison.rows[0], curve={**comparison.rows[0].curve})
    del old.curve["val_calibration_error"]
    mixed = replace(comparison, rows=[old, *comparison.rows[1:]])
    page = Page(write_comparison(mixed, tmp_path / "page.html"))
    assert page.source.count("<svg") == 5
    assert "calibration error by epoch" not in page.text


def test_runs_without_curves(comparison: Comparison, tmp_path: Path) -> None:
    rows = [replace(row, curve={}) for row in comparison.rows]
    bare = replace(comparison, rows=rows, equal_epochs=None, equal_seconds=None)
    page = Page(write_comparison(bare, tmp_path / "page.html"))
    check_alone(page)
    assert "How fast they learn" not in page.text


def test_different_machines_are_said(comparison: Comparison, tmp_path: Path) -> None:
    rows = [replace(row, hardware=f"machine {i}") for i, row in enumerate(comparison.rows)]
    assert "different hardware" in Page(write_comparison(replace(comparison, rows=rows), tmp_path / "a.html")).text
    assert "different hardware" not in Page(write_comparison(comparison, tmp_path / "b.html")).text


def test_the_best_recall_of_a_class_is_marked_unless_all_are_alike(comparison: Comparison) -> None:
    table = comparison_page.recalls(comparison)
    for i, (name, found) in enumerate(table):
        correct = [row.scores.per_class[name].correct for row in comparison.rows]
        assert name == comparison.classes[i]
        assert [best for _, best in found] == [value == max(correct) for value in correct]
    alike = replace(comparison, rows=[comparison.rows[0]] * 2)
    assert not any(best for _, found in comparison_page.recalls(alike) for _, best in found)


def test_accuracy_on_changed_images_or_how_to_get_it(comparison: Comparison, tmp_path: Path) -> None:
    folder = comparison.rows[0].folder
    text = Page(write_comparison(comparison, tmp_path / "page.html")).text
    assert f"Not measured yet: mien evaluate {folder} --robustness scores a run" in text
    wide = (0.0, 1.0)
    rows = [
        Changed("blur", 0.5, "pixels", [0.25, 0.75, None], [wide, wide, None]),
        Changed("eyes covered", 1.0, "", [0.5, 0.5, None], [wide, wide, None]),
    ]
    page = Page(write_comparison(replace(comparison, robustness=rows), tmp_path / "page.html"))
    check_alone(page)
    before = [row.scores.accuracy for row in comparison.rows]
    lost = [f"{100 * (now - then):+.1f}".replace("-", "−") for now, then in zip((0.25, 0.75), before, strict=False)]
    assert f"blur 0.5 pixels 25.0% {lost[0]} 75.0% {lost[1]} –" in page.text
    assert '<span class="best">75.0%' in page.source
    assert page.source.count('<span class="best">50.0%') == 0
    assert f"Not measured yet for fair: mien evaluate {comparison.rows[2].folder} --robustness" in page.text
    assert page.source.count("<svg") == 8


def shown_runs(tmp_path: Path, pictures: Path, count: int = 2) -> Comparison:
    """Runs whose pictures are there, the first the best."""
    names, labels = picture_names()
    data = {"source": "folder", "path": str(pictures), "size": 16}
    runs = [
        write_run(
            tmp_path / f"run{seed}-1-0", names=names, labels=labels, data=data, skill=2 - 1.5 * seed / count, seed=seed
        )
        for seed in range(count)
    ]
    return compare(runs)


def test_confusions_and_pictures_of_what_each_run_gets_wrong(tmp_path: Path, pictures: Path) -> None:
    found = shown_runs(tmp_path, pictures)
    values = comparison_page.wrong_pictures(found)
    for (row, tiles, no_store), expected in zip(values["mistakes"], found.rows, strict=True):
        assert (row, no_store) == (expected, "")
        assert [mistake for mistake, _, _ in tiles] == expected.mistakes[: comparison_page.A_RUN]
        for mistake, uri, _ in tiles:
            shown = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
            assert (np.asarray(shown) == np.asarray(Image.open(pictures / mistake.name))).all()
    page = Page(write_comparison(found, tmp_path / "page.html"))
    check_alone(page)
    pair, (ahead, behind) = comparison_page.better_first(found.pairs[0]), found.disagreements
    assert f"{pair.first} is right, {pair.second} wrong: {pair.only_first} image" in page.text
    assert (ahead.images, behind.images) == (pair.only_first, pair.only_second)
    assert f"{ahead.surest[0].confidence:.0%} sure the other {ahead.surest[0].right_confidence:.0%}" in page.text
    assert page.source.count("<img") == sum(len(tiles) for _, tiles, *_ in (*values["mistakes"], *values["disputed"]))
    label, predicted, cells = comparison_page.confused(found)[0]
    i, j = found.classes.index(label), found.classes.index(predicted)
    counts = [row.scores.confusion_matrix[i][j] for row in found.rows]
    assert [images for images, _, _ in cells] == counts
    assert sum(counts) == max(
        sum(row.scores.confusion_matrix[a][b] for row in found.rows) for a in range(3) for b in range(3) if a != b
    )
    assert f"{label} → {predicted} {counts[0]} " in page.text


def test_maps_that_a_run_has_stand_beside_its_mistakes(tmp_path: Path, pictures: Path) -> None:
    found = shown_runs(tmp_path, pictures)
    mistake = found.rows[0].mistakes[0]
    of = np.array([(mistake.name, mistake.predicted)])
    np.savez(Path(found.rows[0].folder) / "mistakes.npz", of=of, maps=np.ones((1, 16, 16), np.float16), seconds=1.0)
    page = Page(write_comparison(found, tmp_path / "page.html"))
    assert f'alt="What speaks for {mistake.predicted} and against it"' in page.source
    assert "by integrated gradients" in page.text


def test_a_comparison_survives_its_data(tmp_path: Path, pictures: Path) -> None:
    found = shown_runs(tmp_path, pictures)
    shutil.rmtree(pictures)
    page = Page(write_comparison(found, tmp_path / "page.html"))
    assert page.text.count("The pictures cannot be shown:") == len(found.rows)
    assert "<img" not in page.source
    assert found.rows[0].mistakes[0].name in page.text


def test_many_runs_show_fewer_pictures_each(tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison_page, "PICTURES", 5)
    found = shown_runs(tmp_path, pictures, count=3)
    assert [len(tiles) for _, tiles, _ in comparison_page.wrong_pictures(found)["mistakes"]] == [1, 1, 1]


def test_turning_a_pair_round(comparison: Comparison) -> None:
    pair = replace(comparison.pairs[0], difference=-0.2, interval=(-0.3, -0.1), only_first=3, only_second=11)
    found = comparison_page.better_first(pair)
    assert (found.first, found.second) == (pair.second, pair.first)
    assert (found.difference, found.interval) == (0.2, (0.1, 0.3))
    assert (found.only_first, found.only_second) == (11, 3)
    assert comparison_page.better_first(found) is found
