"""Near copies: what is one photograph is found however it was changed, and what only looks alike is not."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mien.config import Data
from mien.data import splits
from mien.data.audit import audit, clean_names
from mien.data.listing import SPLITS
from mien.data.near import near_copies
from mien.data.near.comparison import compare
from mien.data.near.descriptions import describe, grey
from mien.data.near.findings import disagreement, groups, leaked
from mien.data.near.search import candidates
from mien.data.near.sheet import draw_sheet
from mien.data.near.thresholds import threshold
from mien.data.store import Store
from mien.evaluate.clean import equals_none, is_clean
from mien.preprocessing import Preprocessing

COUNT, SIDE = 60, 64


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_CACHE", str(tmp_path_factory.mktemp("near")))
        yield


def scene(seed: int, side: int = SIDE) -> Image.Image:
    """A picture of blots of every size, coarse ones and fine ones, as photographs have them."""
    random = np.random.default_rng(seed)
    found = np.zeros((side, side, 3))
    for cells, strength in ((3, 60), (6, 40), (12, 25), (24, 15)):
        blots = Image.fromarray(random.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        found += (np.asarray(blots.resize((side, side), Image.Resampling.BICUBIC)) / 255.0 - 0.5) * 2 * strength
    return Image.fromarray(np.clip(found + 128, 0, 255).astype(np.uint8))


def shifted(picture: Image.Image) -> Image.Image:
    pixels = np.asarray(picture)
    return Image.fromarray(np.pad(pixels, ((3, 0), (0, 4), (0, 0)), mode="edge")[:SIDE, 4:])


def marked(picture: Image.Image) -> Image.Image:
    ImageDraw.Draw(picture).text((4, 40), "SAMPLE", fill="white")
    return picture


CHANGES = {
    "shifted": shifted,
    "mirrored": lambda picture: picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "rescaled": lambda picture: picture.resize((40, 40)).resize(picture.size),
    "lit": lambda picture: picture.point(lambda value: int(255 * (value / 255) ** 1.6 * 0.8)),
    "marked": marked,
    "cropped": lambda picture: picture.resize(picture.size, box=(3, 4, SIDE - 2, SIDE - 1)),
}


def store(pictures: list[Image.Image], splits: list[int], labels: list[int] | None = None) -> Store:
    images = np.stack([np.asarray(picture) for picture in pictures])
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    return Store(
        images=np.ascontiguousarray(images),
        labels=np.array(labels or [0] * len(splits)),
        splits=np.array(splits, np.uint8),
        names=[f"{SPLITS[split]}/{i}.png" for i, split in enumerate(splits)],
        classes=("cat", "dog"),
        preprocessing=Preprocessing(size=images.shape[-1], channels=images.shape[1]),
        sizes=np.full((len(splits), 2), images.shape[-1]),
    )


@pytest.fixture(scope="module")
def scenes() -> list[Image.Image]:
    return [scene(seed) for seed in range(COUNT)]


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_photograph_is_found_again_however_it_was_changed(scenes, mode):
    changed = [change(scenes[i].copy()) for i, change in enumerate(CHANGES.values())]
    pictures = [picture.convert(mode) for picture in (*scenes, *changed)]
    found = near_copies(store(pictures, [0] * COUNT + [1] * len(changed)))
    assert found.pairs.tolist() == [[i, COUNT + i] for i in range(len(changed))]
    assert (found.alike >= found.least).all()


def test_noise_flat_pictures_and_different_ones_are_no_copies():
    random = np.random.default_rng(0)
    noise = [Image.fromarray(random.integers(0, 256, (48, 48), dtype=np.uint8)) for _ in range(20)]
    flat = [Image.fromarray(random.integers(100 + i, 103 + i, (48, 48), dtype=np.uint8)) for i in range(20)]
    scenes = [scene(seed, 48).convert("L") for seed in range(20)]
    assert len(near_copies(store([*noise, *flat, *scenes], [0] * 60)).pairs) == 0


def audited(scenes):
    """Scene 0 is in train twice and near in validation and test; 1 is equal in both; 2 is near within validation."""
    mirrored, lit = CHANGES["mirrored"], CHANGES["lit"]
    pictures = [*scenes[:20], scenes[0], mirrored(scenes[0]), scenes[1], scenes[20], lit(scenes[20]), lit(scenes[0])]
    return store(pictures, [0] * 21 + [1] * 4 + [2], [0] * 5 + [1] + [0] * 15 + [1, 0, 0, 1, 0])


def test_near_copies_are_counted_where_no_image_is_equal(scenes):
    data = audited(scenes)
    near = near_copies(data)
    found = audit(data, near)
    assert found.copies == {"train/validation": 1, "train/test": 0, "validation/test": 0}
    assert found.near_copies == {"train/validation": 1, "train/test": 1, "validation/test": 1}
    assert found.near_pairs["train/validation"] == [["train/0.png", "validation/21.png"]]
    assert found.near_pairs["train/test"] == [["train/0.png", "test/25.png"]]
    assert found.near_repeats == {"train": 0, "validation": 1, "test": 0}
    assert found.near_repeat_pairs["validation"] == [["validation/23.png", "validation/24.png"]]
    assert found.near_groups[0] == ["train/0.png", "train/20.png", "validation/21.png", "test/25.png"]
    assert clean_names(data, "validation", near) == ["validation/23.png", "validation/24.png"]
    assert clean_names(data, "validation") == ["validation/21.png", "validation/23.png", "validation/24.png"]
    assert "near copies" in found.describe()
    assert found.failed(["near_copies", "near_repeats"]) == ["near_copies", "near_repeats"]


def test_labels_of_one_photograph_are_compared(scenes):
    data = audited(scenes)
    found = disagreement(data, near_copies(data))
    # Photograph 0 has labels 0, 0, 1, 0 (3 of 6 pairs differ), 1 has 0 and 0, 20 has 0 and 1.
    assert (found.photographs, found.share) == (3, pytest.approx((0.5 + 0 + 1) / 3))
    assert found.best == pytest.approx(0.5**0.5)
    assert found.interval[0] < found.share < found.interval[1]
    assert disagreement(store(scenes[:5], [0] * 5), near_copies(store(scenes[:5], [0] * 5))) is None


def test_the_second_search_reads_what_the_first_found(scenes, monkeypatch):
    data = audited(scenes)
    first = near_copies(data)
    monkeypatch.setattr("mien.data.near._memory", {})
    monkeypatch.setattr("mien.data.near._search", None)
    turned = store([Image.fromarray(image.transpose(1, 2, 0)) for image in data.images[::-1]], [0] * len(data))
    again = near_copies(turned)
    assert {frozenset(len(data) - 1 - pair) for pair in again.pairs} <= {
        frozenset(map(int, (a, b))) for group in groups(data, first) for a in group for b in group
    }
    assert len(groups(turned, again)) == len(groups(data, first)) == 2


def test_leaves_of_a_few_images_hold_nearly_all_pairs(scenes):
    pictures = [picture.convert("L") for picture in scenes]
    pixels = grey(store([*pictures, *(CHANGES["mirrored"](each) for each in pictures)], [0] * 2 * COUNT).images)
    found = candidates(describe(pixels), exact=10, leaf=30)
    planted = found.second - found.first == COUNT
    assert planted.sum() >= 0.95 * COUNT
    assert found.mirrored[planted].all()
    assert (compare(pixels, found)[planted] > 0.9).all()


def test_the_threshold_rises_where_different_pictures_look_alike():
    random = np.random.default_rng(0)
    assert threshold(np.concatenate([random.normal(0.6, 0.04, 500), [0.95] * 20])) == pytest.approx(0.8)
    crowd = random.normal(0.7, 0.06, 5000)
    raised = threshold(np.concatenate([crowd, [0.97] * 100]))
    assert 0.84 < raised < 0.96
    assert (crowd >= raised).sum() <= 3


def test_the_sheet_shows_every_group(scenes, tmp_path):
    data = audited(scenes)
    assert draw_sheet(data, near_copies(data), tmp_path / "sheet.png") == 2
    assert Image.open(tmp_path / "sheet.png").width == 1500


def test_near_copies_of_held_out_images_leave_train(scenes):
    data = audited(scenes)
    made = splits.apply(data, Data(drop_leaks="near"))
    assert made.left_out["leaks"] == 3  # photograph 0 twice and 1 once
    assert splits.apply(data, Data(drop_leaks=True)).left_out["leaks"] == 1
    assert not leaked(near_copies(made), made.indices("validation"), made.indices("train")).any()


@pytest.mark.parametrize("settings", [{"folds": 3, "fold": 1}, {"val_split": 0.3}])
def test_one_photograph_is_never_on_both_sides(scenes, settings):
    pictures = [*scenes[:30], *map(CHANGES["mirrored"], scenes[:15]), *map(CHANGES["lit"], scenes[:15])]
    data = store(pictures, [0] * 60, [i % 2 for i in range(60)])
    made = splits.apply(data, Data(drop_leaks="near", **settings))
    assert made.left_out["leaks"] == 0
    assert made.has("validation")
    assert not leaked(near_copies(made), made.indices("validation"), made.indices("train")).any()


def test_clean_images_have_neither_an_identical_nor_a_near_copy_in_train(scenes):
    data = audited(scenes)
    assert is_clean(data, "validation").tolist() == [False, False, True, True]
    assert equals_none(data, "validation").tolist() == [True, False, True, True]
