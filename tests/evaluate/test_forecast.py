"""What a forecast says of trainings that are known, and what its file keeps."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mien.errors import DataError, MissingError, UsageError
from mien.evaluate import learning_curve
from mien.evaluate.forecast import FILE, Checked, Measured, Trained, check, forecast

CLASSES = ("cat", "dog", "fox")
SHARES = (0.1, 0.2, 0.4, 0.8)
TRAIN = 2000


@pytest.fixture(autouse=True)
def fewer_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning_curve, "DRAWS", 800)


def error(images: float) -> float:
    return 3 * images**-0.4


def measured(validation: int = 900, seeds: int = 3, halves: bool = True) -> Measured:
    """Trainings of a known error; without half of its foxes a network takes a quarter of them for dogs."""
    random = np.random.default_rng(0)
    labels = np.arange(validation) % 3
    hardness = random.random(validation)

    def training(share: float, seed: int, halved: str = "") -> Trained:
        images = int(share * TRAIN) - (100 if halved else 0)
        wrong = hardness + 0.02 * random.standard_normal(validation) < error(share * TRAIN)
        if halved == "fox":
            wrong |= (labels == 2) & (np.arange(validation) % 4 == 0)
        answers = np.where(wrong, (labels + 1) % 3, labels).tolist()
        return Trained(images=images, share=share, seed=seed, halved=halved, answers=answers, seconds=1.5)

    found = [training(share, place * seeds + seed) for place, share in enumerate(SHARES) for seed in range(seeds)]
    last = (len(SHARES) - 1) * seeds
    if halves:
        found += [training(0.8, last + seed, name) for name in CLASSES for seed in range(seeds)]
    return Measured(
        how={"features": "mien:vit-tiny-imagenet"}, source="folder", classes=CLASSES, counts=(700, 700, 600),
        labels=labels.tolist(), content={"train": "a", "validation": "b"}, trainings=found,
    )  # fmt: skip


def test_the_numbers_of_a_forecast() -> None:
    found = forecast(measured())
    assert (found.train, found.validation) == (2000, 900)
    assert [images for images, _ in found.points] == [200, 400, 800, 1600]
    assert found.now.accuracy == pytest.approx(1 - error(2000), abs=0.02)
    assert found.doubled.band[0] < 1 - error(4000) < found.doubled.band[1]
    assert found.gain.band[0] < error(2000) - error(4000) < found.gain.band[1]
    assert {each.label for each in found.classes} == set(CLASSES)
    assert [each.gain.rise for each in found.classes] == sorted(
        (each.gain.rise for each in found.classes), reverse=True
    )
    assert (found.curve[0].images, found.curve[-1].images) == (100, 8000)
    assert found.verdict.startswith("Twice the pictures (4,000 for training) should bring +")


def test_the_class_whose_half_brought_most_comes_first() -> None:
    found = forecast(measured())
    best = found.halves[0]
    assert (best.label, best.images) == ("fox", 200)
    assert best.accuracy.band[0] > 0.04
    assert found.wanted.startswith("More of 'fox' should help most: half of 200 pictures of 'fox' brought +")
    assert all(each.accuracy.band[0] <= 0 for each in found.halves[1:])
    alike = replace(measured(), trainings=[each for each in measured().trainings if each.halved != "fox"])
    assert forecast(alike).wanted.startswith("No class stands out: half of 200 pictures of '")
    assert forecast(measured(halves=False)).wanted == ""


def test_parts_that_differ_by_an_image_are_one_size() -> None:
    before = measured()
    uneven = [replace(each, images=each.images + each.seed % 2) for each in before.trainings]
    assert len(forecast(replace(before, trainings=uneven)).points) == 4


def test_shares_of_equally_many_images_are_one_size() -> None:
    found = measured()
    alike = [replace(each, images=20) for each in found.trainings]
    with pytest.raises(UsageError, match="at least 3 numbers of images"):
        forecast(replace(found, trainings=alike))


def test_halves_go_with_the_whole_of_their_own_share() -> None:
    """Whatever else an earlier command, with other points and seeds, has left in the folder."""
    found = measured()
    seed = found.trainings[-1].seed
    others = [
        replace(found.trainings[0], share=0.4, seed=seed),
        replace(found.trainings[0], share=0.4, seed=seed, halved="cat"),
    ]
    assert forecast(replace(found, trainings=[*found.trainings, *others])).halves == forecast(found).halves


def test_too_few_sizes_are_refused() -> None:
    before = measured()
    few = [each for each in before.trainings if each.share < 0.4]
    with pytest.raises(UsageError, match="at least 3 numbers of images"):
        forecast(replace(before, trainings=few))


def test_a_file_gives_back_what_was_measured(tmp_path: Path) -> None:
    before = measured()
    before.save(tmp_path / FILE, forecast(before))
    assert Measured.load(tmp_path / FILE) == before
    assert json.loads((tmp_path / FILE).read_text())["forecast"]["gain"]["rise"] > 0
    with pytest.raises(MissingError, match=r"A forecast is kept as forecast\.json"):
        Measured.load(tmp_path / "other.json")
    (tmp_path / FILE).write_text('{"measured": {"how": {}}}')
    with pytest.raises(DataError, match=r"is not a forecast of mien's"):
        Measured.load(tmp_path / FILE)


def more(before: Measured, accuracy: float, **changes: object) -> Measured:
    """More pictures, of which one training on all answers a share correctly."""
    labels = np.array(before.labels)
    answers = np.where(np.arange(len(labels)) < accuracy * len(labels), labels, (labels + 1) % 3).tolist()
    whole = Trained(images=4000, share=1.0, seed=0, answers=answers, seconds=1.0)
    return replace(before, trainings=[whole], **changes)


@pytest.mark.parametrize(
    ("accuracy", "inside", "words"),
    [(1 - error(4000), True, "within the band"), (0.5, False, "below the band"), (1.0, False, "above the band")],
)
def test_a_forecast_is_checked_against_more_pictures(accuracy: float, inside: bool, words: str) -> None:
    before = measured()
    found = check(before, more(before, accuracy))
    assert (found.inside, found.same_images, found.images) == (inside, True, 4000)
    assert found.verdict.endswith(f": {words}.")
    other = check(before, more(before, accuracy, content={"train": "c", "validation": "d"}))
    assert not other.same_images
    assert width(other) > width(found)


def width(checked: Checked) -> float:
    return checked.band[1] - checked.band[0]


def test_only_what_was_trained_alike_is_checked() -> None:
    before = measured()
    with pytest.raises(UsageError, match=r"the forecast is of the classes cat, dog, fox"):
        check(before, more(before, 0.8, classes=("cat", "dog", "owl")))
    with pytest.raises(UsageError, match=r"is of features mien:vit-tiny-imagenet, this is recipe x\. Train alike"):
        check(before, more(before, 0.8, how={"recipe": "x"}))
