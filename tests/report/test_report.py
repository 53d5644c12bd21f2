"""A run's page as text: what it says of a run, whole or in pieces."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import numpy as np
import pytest
from fake_runs import picture_names, write_run
from page_text import Page, check_alone
from PIL import Image

from mien.config import Augment, Distill, Recipe, Train
from mien.errors import MienError, MissingError
from mien.evaluate.metrics import score
from mien.report import run_page, write_report
from mien.report.html import THUMBNAIL, breakable, data_uri
from mien.runs import Predictions
from mien.runs.records import to_dict


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


def test_two_values_are_a_range_only_where_they_are_one() -> None:
    recipe = Recipe(
        augment=Augment(scale=(0.9, 1.1)),
        train=Train(betas=(0.8, 0.99)),
        distill=Distill(teachers=("a.onnx", "b.onnx")),
    )
    found = {each.key: each.value for each in run_page.described(recipe)}
    assert found["augment.scale"] == "0.9 to 1.1"
    assert (found["train.betas"], found["distill.teachers"]) == ("0.8, 0.99", "a.onnx, b.onnx")


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
