"""The two pages as text: what they say of a run, whole or in pieces."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import numpy as np
import pytest
from fake_runs import picture_names, write_run
from PIL import Image

from mien.errors import MienError, MissingError
from mien.evaluate.compare import Changed, Comparison, compare
from mien.evaluate.metrics import score
from mien.report import comparison_page, run_page, write_comparison, write_report
from mien.report.html import THUMBNAIL, breakable, data_uri
from mien.runs import Predictions
from mien.runs.records import to_dict


class Page(HTMLParser):
    """A page's text, addresses and tags; a tag that is not closed is an error."""

    VOID = frozenset({"meta", "link", "img", "br", "wbr"})

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.source = path.read_text(encoding="utf-8")
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.feed(self.source)
        assert self.open == []
        self.text = re.sub(r"[ \n]+", " ", " ".join(self.words))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        self.addresses += [found[key] or "" for key in ("src", "href") if key in found]
        self.ids += [found["id"] or ""] if "id" in found else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open[-1:]):
            self.words.append(data)


def check_alone(page: Page) -> None:
    """Nothing is loaded from elsewhere, links lead to the page itself or a file, and every id is there once."""
    beside = [unquote(address) for address in page.addresses if not address.startswith(("#", "data:"))]
    assert all((page.path.parent / address).is_file() for address in beside)
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert not re.search(r"https?:|@import|<script[^>]", page.source)


# --- the report of a run


def test_a_run_at_chance_is_said_to_have_learned_nothing(tmp_path: Path) -> None:
    names, labels = picture_names()
    run = write_run(tmp_path / "run", names=names, labels=labels, skill=0)
    text = Page(write_report(run)).text
    scores = json.loads((run / "evaluation.json").read_text())["validation"]
    assert scores["accuracy"] <= 13 / 25
    assert f"has learned nothing: {scores['accuracy']:.1%} right" in text
    assert "of unseen images right" not in text


def test_a_whole_report(run: Path) -> None:
    path = write_report(run)
    page = Page(path)
    scores = json.loads((run / "evaluation.json").read_text())["validation"]
    assert path == run / "report.html"
    check_alone(page)
    assert f"tiny gets {scores['accuracy']:.1%} of unseen images right." in page.text
    assert f"That is {scores['correct']} of 25 validation images" in page.text
    assert "Always giving the same answer, at best happy , would be right 52.0% of the time." in page.text
    assert "learned nothing" not in page.text
    happy = scores["per_class"]["happy"]
    assert f"happy {100 * happy['correct'] // 13}% ({happy['correct']}/13)" in page.text
    for expected in ("2.71 million", "310 million", "Example CPU, 2 cores", "0123abc", "train.lr", "every class alike"):
        assert expected in page.text
    assert "5 of the images have an exact copy in the training split; on the 20 others" in page.text
    assert "Left out of training: 2 blank." in page.text
    assert "test split: Read" not in page.text


def test_calibration_by_epoch_where_the_run_has_it(run: Path) -> None:
    assert len(run_page.context(run)["curves"]) == 3
    assert "Loss may rise while accuracy rises too" in Page(write_report(run)).text
    lines = (run / "metrics.csv").read_text().splitlines()
    (run / "metrics.csv").write_text("".join(line.rpartition(",")[0] + "\n" for line in lines))
    assert len(run_page.context(run)["curves"]) == 2
    assert "Loss may rise while accuracy rises too" not in Page(write_report(run)).text


def test_the_same_run_gives_the_same_report(run: Path) -> None:
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first
    assert len(first) < 300_000


def test_mistakes_are_shown_as_the_pictures_they_are(run: Path, pictures: Path) -> None:
    mistakes = run_page.context(run)["mistakes"]
    assert mistakes
    for mistake, uri, heat in mistakes:
        assert heat is None
        shown = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
        assert (np.asarray(shown) == np.asarray(Image.open(pictures / mistake.name))).all()


def test_the_report_survives_its_data(run: Path, pictures: Path) -> None:
    shutil.rmtree(pictures)
    page = Page(write_report(run))
    assert "The pictures cannot be shown:" in page.text
    assert "The audit is left out, because the images cannot be opened:" in page.text
    assert "<img" not in page.source
    assert re.search(r"validation/(angry|happy|sad)/\d{3}\.png", page.text)


def test_the_audit_counts_the_copies_that_training_left_out(run: Path, pictures: Path) -> None:
    shutil.copy(pictures / "validation/happy/003.png", pictures / "train/happy/copy.png")
    Image.new("L", (16, 16)).save(pictures / "train/sad/blank.png")
    recipe = (run / "recipe.yaml").read_text().replace("drop_leaks: false", "drop_leaks: true")
    (run / "recipe.yaml").write_text(recipe)
    text = Page(write_report(run)).text
    assert "Copies of train images in validation 1" in text
    assert "Blank images 1" in text
    assert "Pictures under several labels 0" in text
    assert "Copies of train images in test" not in text  # there is no test split


def test_clean_data_is_said_in_a_sentence(run: Path) -> None:
    text = Page(write_report(run)).text
    assert "Nothing was found: no copies across splits" in text
    assert "Unreadable files" not in text


def test_data_that_changed_is_said(run: Path) -> None:
    env = json.loads((run / "env.json").read_text())
    env["store"]["fingerprint"] = "0" * 64
    (run / "env.json").write_text(json.dumps(env))
    assert "The images have changed since the run was trained." in Page(write_report(run)).text


@pytest.mark.parametrize(
    ("lost", "gone", "kept"),
    [
        ("env.json", "2.71 million", "Where it is wrong"),
        ("metrics.csv", "How it learned", "Where it is wrong"),
        ("predictions.csv", "Where it is wrong", "Class by class"),
        ("evaluation.json", "an exact copy in the training split", "Where it is wrong"),
    ],
)
def test_a_report_without_one_of_its_files(run: Path, lost: str, gone: str, kept: str) -> None:
    whole = Page(write_report(run)).text
    (run / lost).unlink()
    page = Page(write_report(run))
    check_alone(page)
    assert gone in whole
    assert gone not in page.text
    assert kept in page.text


def test_a_run_stopped_before_its_scores_says_how_to_go_on(run: Path) -> None:
    for name in ("predictions.csv", "evaluation.json"):
        (run / name).unlink()
    page = Page(write_report(run))
    check_alone(page)
    assert "tiny has not been evaluated yet." in page.text
    assert f"mien run {run} --resume" in page.text
    assert "How it learned" in page.text


def test_warnings_are_shown_and_escaped(run: Path) -> None:
    env = json.loads((run / "env.json").read_text()) | {"warnings": ["The loss is <b>2.96</b> & far off."]}
    (run / "env.json").write_text(json.dumps(env))
    page = Page(write_report(run))
    assert "1 warning during the run" in page.text
    assert "The loss is &lt;b&gt;2.96&lt;/b&gt; &amp; far off." in page.source


def test_readings_of_the_test_split_are_counted(run: Path) -> None:
    scores = json.loads((run / "evaluation.json").read_text())
    (run / "evaluation.json").write_text(json.dumps(scores | {"test": scores["validation"]}))
    (run / "test_reads.json").write_text(json.dumps(["2026-03-05T01:02:03+00:00", "2026-03-06T01:02:03+00:00"]))
    assert "Read twice (2026-03-05 and 2026-03-06)." in Page(write_report(run)).text


def test_a_model_without_mistakes(run: Path) -> None:
    found = Predictions.load(run / "predictions.csv")
    perfect = Predictions(found.names, found.labels, np.eye(3)[found.labels], found.classes)
    perfect.save(run / "predictions.csv")
    (run / "evaluation.json").write_text(json.dumps({"validation": to_dict(score(perfect))}))
    page = Page(write_report(run))
    assert "Nowhere: every answer is right." in page.text
    assert "The commonest confusions" not in page.text


@pytest.mark.parametrize(("confidence", "verdict"), [(0.99, "overconfident"), (0.4, "too modest")])
def test_confidence_is_judged(run: Path, confidence: float, verdict: str) -> None:
    found = Predictions.load(run / "predictions.csv")
    answers = np.where(np.arange(25) < 15, found.labels, (found.labels + 1) % 3)
    shares = np.full((25, 3), (1 - confidence) / 2)
    shares[np.arange(25), answers] = confidence
    Predictions(found.names, found.labels, shares, found.classes).save(run / "predictions.csv")
    assert f"right 60.0% of the time: it is {verdict}" in Page(write_report(run)).text


def test_names_of_classes_are_escaped(tmp_path: Path) -> None:
    classes = ("<i>a</i>", "b & c", '"d"')
    names, labels = picture_names(classes)
    page = Page(write_report(write_run(tmp_path / "odd", names=names, labels=labels, classes=classes)))
    check_alone(page)
    assert "<i>a</i> taken for" in page.text


def test_of_many_classes_the_most_confused_are_shown(tmp_path: Path) -> None:
    classes = tuple(f"class{i}" for i in range(41))
    names, labels = picture_names(classes, [5] * 41)
    run = write_run(tmp_path / "wide", names=names, labels=labels, classes=classes)
    matrix = run_page.context(run)["matrix"]
    assert (len(matrix["names"]), len(matrix["rows"]), matrix["left_out"]) == (20, 20, 21)
    assert "Shown are the 20 classes with the most errors; 21 others are left out." in Page(write_report(run)).text


def test_the_matrix_keeps_the_classes_with_most_errors_in_their_order() -> None:
    size = 23
    matrix = np.diag(np.full(size, 7))
    matrix[22, 3] = 5  # the only confusion
    names = [f"c{i}" for i in range(size)]
    scores = SimpleNamespace(confusion_matrix=matrix.tolist(), per_class=dict.fromkeys(names))
    found = run_page.confusion(scores)
    assert found["names"] == [*names[:19], "c22"]
    assert found["rows"][-1][1][3] == {"images": 5, "total": 12, "share": 5 / 12, "strong": False, "diagonal": False}
    assert found["rows"][0][1][0] == {"images": 7, "total": 7, "share": 1.0, "strong": True, "diagonal": True}


def test_settings_are_those_that_differ_from_their_default(run: Path) -> None:
    found = {each.key: each.value for each in run_page.context(run)["settings"]}
    assert found["train.lr"] == "0.003"
    assert found["train.epochs"] == "7"
    assert found["data.size"] == "16"
    assert "train.momentum" not in found
    assert found["train.optimizer"] == "adamw"  # a default that always matters


def test_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match="is not a run folder"):
        write_report(tmp_path)


def test_a_full_disk_leaves_no_half_report(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mien.atomic.os.replace", full)
    with pytest.raises(MienError, match=r"report\.html failed: No space left on device"):
        write_report(run)
    assert not list(run.glob("*report*"))


def test_settings_that_differ_from_the_recipe_come_first(tmp_path: Path) -> None:
    names, labels = picture_names()
    run = write_run(tmp_path / "folder_cnn-1-0", names=names, labels=labels)
    values = run_page.context(run)
    changed = {each.key: each.value for each in values["changes"]}
    assert changed["train.lr"] == "0.003"
    assert changed["model.name"] == "lenet"
    assert values["before"]["model.name"] == "resnet"
    assert "train.monitor" not in changed  # as in the recipe
    page = Page(write_report(run))
    assert "What differs from the recipe folder_cnn" in page.text
    assert "the recipe: resnet" in page.text
    assert page.source.index("What differs") < page.source.index("<details>")


def test_a_recipe_of_ones_own_shows_what_differs_from_the_defaults(run: Path) -> None:
    assert run_page.context(run)["changes"] is None
    assert "What differs from the recipe" not in Page(write_report(run)).text


@pytest.mark.parametrize(("skill", "verdict"), [(6, "good"), (0, "bad")])
def test_a_verdict_has_colour_and_sign(tmp_path: Path, skill: float, verdict: str) -> None:
    names, labels = picture_names(counts=(71, 131, 53))
    page = Page(write_report(write_run(tmp_path / "tiny-0", names=names, labels=labels, skill=skill)))
    sign = {"good": "✓ Better than", "bad": "✗ No better than"}[verdict]
    assert f'<p class="verdict {verdict}">{sign} one answer for all images</p>' in page.source


def test_mistakes_lead_to_their_files(run: Path, pictures: Path) -> None:
    page = Page(write_report(run))
    check_alone(page)
    mistakes = run_page.context(run)["mistakes"]
    linked = [unquote(address) for address in page.addresses if address.endswith(".png")]
    assert [(run / address).resolve() for address in linked] == [
        (pictures / one.name).resolve() for one, _, _ in mistakes
    ]
    assert all(one.name in page.text for one, _, _ in mistakes)
    assert "move the file to the folder of its class" in page.text


def test_pictures_are_small() -> None:
    large = np.random.default_rng(0).integers(0, 256, (3, 211, 211), dtype=np.uint8)
    shown = Image.open(io.BytesIO(base64.b64decode(data_uri(large).partition(",")[2])))
    assert (shown.mode, shown.size) == ("RGB", (THUMBNAIL, THUMBNAIL))


def test_long_names_may_go_on_in_the_next_line() -> None:
    assert breakable("fer2013_vit_<b>") == "fer2013_<wbr>vit_<wbr>&lt;b&gt;"


# --- the page of a comparison


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
