"""`mien data review` finds labels that were changed, and says what speaks against them."""

import csv
import json

import numpy as np
from mislabelled import EACH, WRONG

from mien.cli import main
from mien.config import Data
from mien.data.listing import SPLITS
from mien.review.evidence import gather_evidence
from mien.review.subject import open_subject
from mien.review.suspects import ranked
from mien.runs import Predictions


def test_wrong_labels_come_first(colours, capsys):
    assert main(["data", "review", str(colours), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"] == 2 * EACH
    assert {each["name"] for each in found["listed"][: len(WRONG)]} == WRONG
    first = found["listed"][0]
    assert {first["label"], first["suggested"]} == {"red", "blue"}
    assert 0 <= first["relative_confidence"] < 0.5 < first["suggested_probability"]
    assert {(label, other) for label, other, _ in found["confusions"]} == {("red", "blue"), ("blue", "red")}
    assert len(first["neighbours"]) == 5
    assert sum(label == first["suggested"] for _, label in first["neighbours"]) >= 4


def test_a_table_of_suspects(colours, capsys):
    assert main(["data", "review", str(colours), "--out", "suspects.csv", "--suspects", "3"]) == 0
    with open("suspects.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3
    assert {row["path"] for row in rows} < WRONG
    assert all({row["label"], row["suggested"]} == {"red", "blue"} for row in rows)
    assert capsys.readouterr().out == "suspects.csv\n"
    assert main(["data", "review", str(colours), "--no-page", "--suspects", "1"]) == 0
    out = capsys.readouterr().out
    assert out in {f"{row['path']}  {row['label']}, perhaps {row['suggested']}\n" for row in rows}


def test_the_answers_of_folds_are_taken(colours):
    """Folds that know of one picture alone, which nothing in its features speaks of."""
    plain = open_subject(Data(path=colours))
    store = plain.store
    shares = np.eye(2)[store.labels] * 0.8 + 0.1
    odd = store.names.index("red/09.png")
    shares[odd] = 0.999, 0.001
    folds = Predictions(store.names, store.labels, shares, store.classes)
    subject = open_subject(Data(path=colours), folds=folds)
    assert len(subject.indices) == 2 * EACH
    assert not subject.has_splits
    evidence = gather_evidence(subject.store, subject.indices, subject.classifier, folds)
    assert odd in evidence.indices[ranked(evidence)[0][: len(WRONG) + 1]]


def test_the_test_split_is_left_alone(colours, tmp_path):
    rows = [(f"{label}/{i:02d}.png", label, SPLITS[i % 3]) for label in ("red", "blue") for i in range(30)]
    table = colours / "splits.csv"
    table.write_text("path,label,split\n" + "\n".join(map(",".join, rows)))
    subject = open_subject(Data(source="table", path=table))
    assert len(subject.indices) == 40
    assert {SPLITS[split] for split in subject.store.splits[subject.indices]} == {"train", "validation"}
