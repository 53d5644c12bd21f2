import json
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.data.audit import audit, clean_names, write_names
from mien.data.listing import SPLITS
from mien.data.store import Store
from mien.errors import MienError, UsageError
from mien.preprocessing import Preprocessing


def store(rows: list[tuple[int, int, int]], **more) -> Store:
    """rows: (what the image shows, its label, its split). What is 0 is blank."""
    shows, labels, splits = (np.array(column) for column in zip(*rows, strict=True))
    images = np.zeros((len(rows), 1, 3, 3), np.uint8)
    images[:, 0, 1, 1] = shows * 8
    values = {
        "sizes": np.full((len(rows), 2), 3),
        "names": [f"{SPLITS[split]}/{i}.png" for i, split in enumerate(splits)],
    }
    return Store(
        images=images,
        labels=labels,
        splits=splits.astype(np.uint8),
        classes=("cat", "dog"),
        preprocessing=Preprocessing(size=3),
        **(values | more),
    )


ROWS = [
    *[(1, 0, 0), (1, 1, 0), (1, 0, 0)],  # one image three times in train, with both labels
    *[(2, 0, 0), (3, 1, 0), (0, 0, 0)],
    *[(1, 0, 1), (2, 1, 1), (4, 0, 1), (4, 0, 1)],
    *[(2, 0, 2), (4, 1, 2), (5, 0, 2), (0, 1, 2), (0, 1, 2)],
]


def test_every_finding_is_counted():
    found = audit(store(ROWS))
    assert found.images == {"train": 6, "validation": 4, "test": 5}
    assert found.copies == {"train/validation": 2, "train/test": 3, "validation/test": 2}
    assert found.repeats == {"train": 2, "validation": 1, "test": 1}
    assert found.conflicts == 4, "images 0, 1, 2 and 4, each with both labels"
    assert found.conflicts_within == {"train": 1, "validation": 0, "test": 0}
    assert found.blank == {"train": 1, "validation": 0, "test": 2}
    assert found.blank_names == ["train/5.png", "test/13.png", "test/14.png"]
    assert ["train/0.png", "train/1.png", "train/2.png", "validation/6.png"] in found.conflicting


def test_every_copy_and_repeat_is_named_beside_the_first_it_equals():
    found = audit(store(ROWS))
    assert found.copy_pairs == {
        "train/validation": [["train/0.png", "validation/6.png"], ["train/3.png", "validation/7.png"]],
        "train/test": [["train/3.png", "test/10.png"], ["train/5.png", "test/13.png"], ["train/5.png", "test/14.png"]],
        "validation/test": [["validation/7.png", "test/10.png"], ["validation/8.png", "test/11.png"]],
    }
    assert found.repeat_pairs == {
        "train": [["train/0.png", "train/1.png"], ["train/0.png", "train/2.png"]],
        "validation": [["validation/8.png", "validation/9.png"]],
        "test": [["test/13.png", "test/14.png"]],
    }
    lines = found.describe().splitlines()
    assert lines[1].endswith("(train/0.png = validation/6.png, train/3.png = validation/7.png, "
                             "train/3.png = test/10.png and 4 more)")  # fmt: skip
    assert lines[2].endswith("test 1 (train/0.png = train/1.png, train/0.png = train/2.png, "
                             "validation/8.png = validation/9.png and 1 more)")  # fmt: skip


def test_to_dict_is_json_with_the_promised_keys():
    values = json.loads(json.dumps(audit(store(ROWS, unreadable={"torn.png": "why"})).to_dict()))
    assert values["images"] == {"train": 6, "validation": 4, "test": 5}
    assert values["copies"]["train/validation"] == 2
    assert values["conflicts"] == 4
    assert values["unreadable"] == ["torn.png"]
    assert {"images", "copies", "repeats", "conflicts", "blank", "unreadable"} <= set(values)


def test_a_clean_set_has_no_findings():
    found = audit(store([(1, 0, 0), (2, 1, 0), (3, 0, 1)]))
    assert {kind for kind, count in found.counts().items() if count} == {"small_classes"}, "three images are few"
    assert found.failed(kind for kind in found.counts() if kind != "small_classes") == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 1), st.integers(0, 2)), min_size=1, max_size=25))
def test_counts_agree_with_counting_by_hand(rows):
    found = audit(store(rows))
    shown = {split: [what for what, _, other in rows if SPLITS[other] == split] for split in SPLITS}
    for a, b in combinations(SPLITS, 2):
        assert found.copies[f"{a}/{b}"] == sum(what in shown[a] for what in shown[b])
    for split in SPLITS:
        assert found.repeats[split] == sum(count - 1 for count in Counter(shown[split]).values())
        assert found.blank[split] == shown[split].count(0)
    labels = {what: {label for other, label, _ in rows if other == what} for what, _, _ in rows}
    assert found.conflicts == sum(len(several) > 1 for several in labels.values())


def test_odd_sizes_are_listed_where_most_share_one():
    sizes = np.array([[3, 3], [3, 3], [17, 3], [3, 3], [3, 19]])
    rows = [(i + 1, 0, 0) for i in range(5)]
    assert audit(store(rows, sizes=sizes)).odd_sizes == {"train/2.png": "17x3", "train/4.png": "3x19"}
    mixed = np.array([[3, 3], [3, 3], [17, 3], [17, 3], [3, 19]])
    assert audit(store(rows, sizes=mixed)).odd_sizes == {}


def test_clean_names_have_no_copy_in_train():
    assert clean_names(store(ROWS), "test") == ["test/11.png", "test/12.png"]
    assert clean_names(store(ROWS), "validation") == ["validation/8.png", "validation/9.png"]


def test_names_are_written_one_a_line(tmp_path):
    write_names(["two\nlines\r\x1b.png", "c\\n.png"], tmp_path / "odd.txt")
    assert (tmp_path / "odd.txt").read_text() == "two\\nlines\\r\\x1b.png\nc\\n.png\n"
    write_names(["a.png", "ü b.png"], tmp_path / "new" / "clean.txt")
    assert (tmp_path / "new" / "clean.txt").read_text(encoding="utf-8") == "a.png\nü b.png\n"
    with pytest.raises(MienError, match=r"Writing .*new failed: Is a directory"):
        write_names(["a.png"], tmp_path / "new")


def test_failed_names_what_was_found():
    found = audit(store(ROWS))
    assert found.failed(["unreadable", " copies", "blank", ""]) == ["copies", "blank"]
    with pytest.raises(UsageError, match=r"No finding is called 'copy'\. Did you mean 'copies'\? There are copies, re"):
        found.failed(["copy"])


def test_describe_tells_numbers_and_names():
    names = [f"{i}.png" for i in range(5)]
    text = audit(store(ROWS, unreadable=dict.fromkeys(names, "why"))).describe()
    lines = {line[:22].strip(): line[22:].strip() for line in text.splitlines()}
    assert lines["images"] == "train 6, validation 4, test 5"
    assert lines["copies across splits"].startswith("train/validation 2, train/test 3, validation/test 2 (")
    assert lines["unreadable"] == "5 (0.png, 1.png, 2.png and 2 more)"
    assert lines["of another size"] == "0"


def test_classes_are_counted_and_small_ones_named():
    classes = ("cat", "dog", "fox")
    labels = [0] * 500 + [1] * 30 + [2] * 10  # 30 are enough, but for the 500; 10 are few
    rows = Store(
        images=np.zeros((540, 1, 8, 8), dtype=np.uint8),
        labels=np.array(labels),
        splits=np.zeros(540, dtype=np.uint8),
        names=[f"{i}.png" for i in range(540)],
        classes=classes,
        preprocessing=Preprocessing(size=8),
        sizes=np.full((540, 2), 8),
        left_out={".mp4 files": 3, "blank": 0},
        unreadable={"cat/a.jpg": "cat/a.jpg cannot be read as an image (it is a web page)."},
    )
    found = audit(rows)
    assert found.classes["dog"] == {"train": 30, "validation": 0, "test": 0}
    assert found.small_classes == ["fox"]
    assert found.counts()["small_classes"] == 1
    told = found.describe()
    assert "of each class           cat 500, dog 30, fox 10" in told
    assert "small classes           1 (fox 10)" in told
    assert "left out                3 .mp4 files" in told
    assert "cannot be read as an image (it is a web page)" in told
