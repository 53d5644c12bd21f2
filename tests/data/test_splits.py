import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mien.config import Data
from mien.data import splits
from mien.data.splits import TEST, TRAIN, UNUSED, VALIDATION
from mien.data.store import Store
from mien.errors import DataError, UsageError
from mien.preprocessing import Preprocessing


def store(labels, split=None, groups=(), values=None) -> Store:
    """One 2x2 image for each label; image i shows values[i] (i if not given) and its complement."""
    count = len(labels)
    values = np.arange(count) % 100 if values is None else np.array(values)
    images = np.stack([values, 255 - values, values, values], axis=1).astype(np.uint8).reshape(count, 1, 2, 2)
    return Store(
        images=images,
        labels=np.array(labels),
        splits=np.zeros(count, np.uint8) if split is None else np.array(split, np.uint8),
        names=[str(i) for i in range(count)],
        classes=tuple(f"class {i}" for i in range(max(labels) + 1)),
        preprocessing=Preprocessing(size=2),
        sizes=np.full((count, 2), 2),
        groups=groups,
    )


def test_a_given_validation_split_is_kept():
    given_splits = [TRAIN, VALIDATION, TRAIN, TEST, VALIDATION]
    made = splits.apply(store([0, 0, 1, 1, 1], given_splits), Data(val_split=0.5))
    assert made.splits.tolist() == given_splits


def test_a_stratified_share_is_held_out():
    made = splits.apply(store([0] * 40 + [1] * 20), Data(val_split=0.25))
    assert made.class_counts("train").tolist() == [30, 15]
    assert made.class_counts("validation").tolist() == [10, 5]


def test_test_images_are_never_held_out():
    made = splits.apply(store([0, 1] * 20, [TRAIN] * 20 + [TEST] * 20), Data(val_split=0.3))
    assert made.indices("test").tolist() == list(range(20, 40))
    assert len(made.indices("validation")) == 6


def test_the_held_out_share_depends_on_the_seed_alone():
    images = store([0, 1] * 30)

    def held(seed):
        return splits.apply(images, Data(split_seed=seed)).indices("validation").tolist()

    assert held(1) == held(1) != held(2)


def test_a_group_whose_first_image_is_blank_is_not_left_out_whole():
    """Each person's first image is blank; half of the people are to be used, with their other images."""
    groups = tuple(f"person {i // 4}" for i in range(80))
    values = [127 if i % 4 == 0 else i for i in range(80)]  # 127 beside 128 shows nothing
    images = store([0, 1] * 40, None, groups, values)
    made = splits.apply(images, Data(val_split=0.2, train_fraction=0.5))
    people = {split: {groups[i] for i in made.indices(split)} for split in ("train", "validation")}
    assert not people["train"] & people["validation"]
    assert made.left_out["blank"] == 16
    assert 6 <= len(people["train"]) <= 10
    assert all(sum(groups[i] == person for i in made.indices("train")) == 3 for person in people["train"])


def test_folds_use_every_image_once_and_leave_test_alone():
    images = store([0] * 25 + [1] * 25 + [0, 1], [TRAIN] * 40 + [VALIDATION] * 10 + [TEST] * 2)
    validation = [splits.apply(images, Data(folds=5, fold=fold)).indices("validation") for fold in range(5)]
    assert [len(part) for part in validation] == [10] * 5
    assert sorted(np.concatenate(validation).tolist()) == list(range(50))
    for part in validation:
        assert (images.labels[part] == 0).sum() == 5


def test_a_fold_without_folds_is_refused():
    with pytest.raises(UsageError, match=r"`data\.fold` 2: say how many folds there are as well"):
        splits.apply(store([0, 1] * 9), Data(fold=2))


@pytest.mark.parametrize(("folds", "fold"), [(1, 0), (3, 3)])
def test_folds_that_do_not_exist(folds, fold):
    with pytest.raises(UsageError, match=rf"`data\.folds` {folds} `data\.fold` {fold}: at least 2 folds"):
        splits.apply(store([0, 1] * 9), Data(folds=folds, fold=fold))


def test_a_fraction_is_stratified_and_says_what_it_left_out():
    made = splits.apply(store([0] * 40 + [1] * 20, [TRAIN] * 50 + [VALIDATION] * 10), Data(train_fraction=0.5))
    assert made.class_counts("train").tolist() == [20, 5]
    assert made.left_out["fraction"] == 25
    assert (made.splits == UNUSED).sum() == 25


def test_blank_images_leave_train_only():
    images = store([0, 1, 0, 1], [TRAIN, TRAIN, TRAIN, VALIDATION])
    images.images[0] = images.images[3] = 9
    made = splits.apply(images, Data())
    assert made.splits.tolist() == [UNUSED, TRAIN, TRAIN, VALIDATION]
    assert made.left_out == {"blank": 1}
    assert splits.apply(images, Data(drop_blank=False)).left_out == {}


def test_copies_of_validation_and_test_images_leave_train():
    images = store([0, 1, 0, 1, 0, 1], [TRAIN] * 4 + [VALIDATION, TEST], values=[5, 6, 7, 8, 5, 6])
    made = splits.apply(images, Data(drop_leaks=True))
    assert made.splits.tolist() == [UNUSED, UNUSED, TRAIN, TRAIN, VALIDATION, TEST]
    assert made.left_out == {"blank": 0, "leaks": 2}
    assert splits.apply(images, Data()).splits.tolist() == images.splits.tolist()


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.integers(0, 12), min_size=30, max_size=60), folds=st.sampled_from([0, 2, 3]))
def test_no_training_image_equals_a_held_out_one(values, folds):
    """With hold-out and with folds, whatever the copies."""
    images = store([value % 2 for value in values], values=values)
    try:
        made = splits.apply(images, Data(drop_leaks=True, val_split=0.2, folds=folds, fold=0))
    except DataError:  # nothing was left of a class
        assume(False)
    train, validation = made.indices("train"), made.indices("validation")
    assert not set(np.array(values)[train]) & set(np.array(values)[validation])
    assert len(train) + len(validation) + made.left_out["leaks"] == len(values)


@st.composite
def grouped(draw):
    """Labels and groups of 20 to 90 images: people of 1 to 4 images, in any mixture of classes."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=20, max_size=30))
    labels = draw(st.lists(st.integers(0, 2), min_size=sum(sizes), max_size=sum(sizes)))
    people = np.repeat([f"person {i}" for i in range(len(sizes))], sizes)
    order = draw(st.permutations(range(len(labels))))
    return [labels[i] for i in order], tuple(people[list(order)])


@settings(max_examples=80, deadline=None)
@given(images=grouped(), share=st.sampled_from([0.1, 0.25, 0.5]), seed=st.integers(0, 99))
def test_no_group_crosses_a_held_out_share(images, share, seed):
    labels, groups = images
    assume(set(labels) == {0, 1, 2})
    try:
        made = splits.apply(store(labels, groups=groups), Data(val_split=share, split_seed=seed, drop_blank=False))
    except DataError:  # a class whose images all are in one group
        assume(False)
    train = {groups[i] for i in made.indices("train")}
    validation = {groups[i] for i in made.indices("validation")}
    assert validation
    assert not train & validation
    assert len(train | validation) == len(set(groups))


@settings(max_examples=40, deadline=None)
@given(images=grouped(), folds=st.integers(2, 4), seed=st.integers(0, 99))
def test_no_group_crosses_folds_and_every_image_is_validated_once(images, folds, seed):
    labels, groups = images
    assume(set(labels) == {0, 1, 2})
    seen = np.zeros(len(labels), int)
    for fold in range(folds):
        settings_ = Data(folds=folds, fold=fold, split_seed=seed, drop_blank=False)
        try:
            made = splits.apply(store(labels, groups=groups), settings_)
        except DataError:
            assume(False)
        validation = made.indices("validation")
        assert not {groups[i] for i in made.indices("train")} & {groups[i] for i in validation}
        seen[validation] += 1
    assert seen.tolist() == [1] * len(labels)


def test_groups_hold_where_a_split_of_test_images_exists():
    groups = tuple(f"person {i // 3}" for i in range(60))
    made = splits.apply(store([0, 1, 2] * 20, [TRAIN] * 45 + [TEST] * 15, groups=groups), Data(val_split=0.2))
    assert made.indices("test").tolist() == list(range(45, 60))
    assert len(made.indices("validation")) == 9, "3 of 15 people"


def test_an_empty_split_says_what_to_do():
    with pytest.raises(DataError, match=r"No image is left in the validation split\. Give more images, or another"):
        splits.apply(store([0, 1, 0, 1]), Data(val_split=0.1))
    with pytest.raises(
        DataError, match=r"has no image of class 'class 1'\. Add some, or leave the class out: `data\.without`"
    ):
        splits.apply(store([0, 1, 0], [TRAIN, VALIDATION, TRAIN]), Data())


@given(
    labels=st.lists(st.integers(0, 3), min_size=1, max_size=60),
    groups=st.lists(st.sampled_from("abcdefgh"), min_size=60, max_size=60),
    seed=st.integers(0, 9),
    grouped=st.booleans(),
)
def test_ranks_are_those_of_one_class_after_the_other(labels, groups, seed, grouped):
    made = store(labels, groups=tuple(groups[: len(labels)]) if grouped else ())
    pool = np.random.default_rng(seed).random(len(labels)) < 0.7
    found = splits._ranks(made, splits._together(made, None), pool, seed)
    leaders = {}
    for position in [*np.flatnonzero(pool), *np.flatnonzero(~pool)]:
        leaders.setdefault(made.groups[position] if grouped else position, position)
    order = np.random.default_rng(seed).permutation(len(labels))
    for label in range(4):
        mine = [i for i in order if pool[i] and i in leaders.values() and labels[i] == label]
        assert [found[i] for i in mine] == [(place + 0.5) / len(mine) for place in range(len(mine))]
    if grouped:
        assert all(found[i] == found[leaders[made.groups[i]]] for i in range(len(labels)))
