"""A review from its first answer to the corrected table, as the page asks for it."""

import csv
import io
import json
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from mislabelled import EACH, WRONG
from PIL import ExifTags, Image
from starlette.testclient import TestClient

from mien.cli import main
from mien.config import Data
from mien.data import listed, open_store, prepare
from mien.errors import DataError, MienError, UsageError
from mien.labels import FER2013
from mien.review import app
from mien.review.choice import open_session, usable
from mien.review.corrected import CorrectedTable
from mien.review.session import Decision, Session, Shown, beside, key_of, resume
from mien.serve.door import LOCAL_NAMES


def begun(data, table, **counts):
    session, listing = open_session(data, None, None, table, **counts)
    return app.Review(session, CorrectedTable(table, listing, session, data.path), listing, "pictures")


def rows_of(table):
    with open(table, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def data(colours):
    return Data(path=colours)


@pytest.fixture
def client(data, tmp_path):
    review = begun(data, tmp_path / "fixed" / "corrected.csv", suspects=4, controls=3)
    return TestClient(app.create_app(review, LOCAL_NAMES), base_url="http://127.0.0.1:8000")


def answer(client, number, word, label=""):
    return client.post("/api/decide", json={"number": number, "answer": word, "label": label})


def test_a_review_writes_a_table_to_train_on(client, colours, tmp_path):
    """Every wrong label is changed; the table is read from another folder than the pictures', with its splits."""
    state = client.get("/api/state").json()
    assert (state["done"], state["total"]) == (0, 7)
    while (item := state["item"]) is not None:
        assert len(item["neighbours"]) == 5
        word = "change" if item["name"] in WRONG else "keep"
        state = answer(client, state["done"], word, item["suggested"]).json()
    assert state["answers"] == {"keep": 3, "change": 4, "unsure": 0, "drop": 0}
    found = state["error_rate"]
    assert found["share"] == pytest.approx(4 / 80)
    assert (found["suspects_wrong"], found["controls"], found["controls_wrong"]) == (4, 3, 0)
    table = tmp_path / "fixed" / "corrected.csv"
    changed = {row["path"][-10:].lstrip("/"): row for row in rows_of(table) if row["label"] != row["original_label"]}
    assert {name[-9:] for name in changed} == {name[-9:] for name in WRONG}
    assert all(row["review"] == "changed" for row in changed.values())
    before, after = open_store(Data(path=colours)), open_store(Data(source="table", path=table))
    assert (before.labels != after.labels).sum() == len(WRONG)
    np.testing.assert_array_equal(before.splits, after.splits)
    np.testing.assert_array_equal(before.images, after.images)


def test_dropped_pictures_are_not_in_the_table(client, tmp_path):
    name = client.get("/api/state").json()["item"]["name"]
    answer(client, 0, "drop")
    assert answer(client, 1, "unsure").json()["answers"]["unsure"] == 1
    rows = rows_of(tmp_path / "fixed" / "corrected.csv")
    assert len(rows) == 2 * EACH - 1
    assert not [row for row in rows if row["path"].endswith(name)]
    assert [row["review"] for row in rows].count("not sure") == 1


def test_started_again_it_goes_on(client, data, tmp_path, monkeypatch):
    table = tmp_path / "fixed" / "corrected.csv"
    first = client.get("/api/state").json()["item"]
    answer(client, 0, "change", first["suggested"])
    waiting = answer(client, 1, "keep").json()["item"]
    monkeypatch.setattr("mien.review.choice.open_subject", None)  # nothing is computed anew
    again = begun(data, table)
    assert again.state()["item"] == waiting
    again.undo()
    again.undo()
    assert again.state()["item"] == first
    assert not [row for row in rows_of(table) if row["review"]]


def small(data, table):
    """A review of four pictures for which nothing is computed."""
    listing = listed(data)
    shown = [Shown(number, "blue", (), number) for number in range(4)]
    facts = {"key": key_of(listing), "pictures": 4, "suspects": 2, "model": "mien:base", "has_splits": False}
    new = Session(beside(table), splits="0" * len(listing), shown=shown, **facts)
    session = resume(beside(table), listing) or new
    return app.Review(session, CorrectedTable(table, listing, session, data.path), listing, "colours")


def test_two_reviews_of_one_table_lose_no_answer(data, tmp_path, monkeypatch):
    """Each would write its own answers over those of the other; and what was not written was not taken."""
    table = tmp_path / "corrected.csv"
    review = small(data, table)
    review.decide({"number": 0, "answer": "keep"})
    with monkeypatch.context() as full:
        full.setattr("mien.review.session.write_json", Mock(side_effect=MienError("the disk is full")))
        with pytest.raises(MienError, match="full"):
            review.decide({"number": 1, "answer": "keep"})
    small(data, table).decide({"number": 1, "answer": "unsure"})
    with pytest.raises(UsageError, match="was changed by another review of the same table"):
        review.decide({"number": 1, "answer": "drop"})
    assert review.state()["done"] == 1
    assert [said.answer for said in small(data, table).session.decisions] == ["keep", "unsure"]


def test_pictures_are_shown_as_the_network_sees_them(data, tmp_path):
    """Turned as their EXIF orientation says, with their 16 bits, and on white where they are transparent."""
    review, odd, found = small(data, tmp_path / "corrected.csv"), {}, {}
    odd["turned"] = Image.new("RGB", (40, 20), "red")
    odd["turned"].getexif()[ExifTags.Base.Orientation] = 6
    odd["deep"] = Image.fromarray(np.full((8, 8), 1000, np.uint16))
    odd["clear"] = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    for name, picture in odd.items():
        object.__setattr__(review.listing, "read", lambda i, picture=picture: picture)
        found[name] = Image.open(io.BytesIO(review.picture(0)[0]))
    assert found["turned"].size == (20, 40)
    assert found["deep"].getpixel((0, 0)) == (62, 62, 62)
    assert found["clear"].getpixel((0, 0)) == (255, 255, 255)


def test_answers_out_of_turn_are_refused(client):
    assert answer(client, 0, "keep").status_code == 200
    again = answer(client, 0, "keep")
    assert (again.status_code, again.json()["error"]) == (409, "Picture 1 is not the one that waits for an answer.")
    assert client.post("/api/undo", json={}).status_code == 200
    assert "no answer to take back" in client.post("/api/undo", json={}).json()["error"]
    assert "Did you mean 'blue'?" in answer(client, 0, "change", "bluee").json()["error"]
    assert "An answer has a number" in answer(client, 0, "perhaps").json()["error"]
    assert client.get("/api/state").json()["done"] == 0


def test_the_label_itself_is_no_change(client):
    label = client.get("/api/state").json()["item"]["label"]
    assert answer(client, 0, "change", label).json()["answers"] == {"keep": 1, "change": 0, "unsure": 0, "drop": 0}


def test_other_pages_and_names_are_refused(client):
    assert client.get("/api/state", headers={"Host": "evil.example"}).status_code == 403
    assert client.get("/api/state", headers={"Origin": "http://evil.example"}).status_code == 403
    form = client.post("/api/decide", content='{"number": 0, "answer": "keep"}', headers={"Content-Type": "text/plain"})
    assert (form.status_code, form.json()["error"]) == (409, "Answers are sent as application/json.")
    assert "Content-Security-Policy" in client.get("/").headers
    assert client.get("/review.js").headers["content-type"].startswith("text/javascript")


def test_pictures_are_those_of_the_review_alone(client):
    state = client.get("/api/state").json()
    content = client.get(f"/api/pictures/{state['item']['picture']}")
    assert content.headers["content-type"] == "image/png"
    assert "not part of this review" in client.get("/api/pictures/100000").json()["error"]


def test_nothing_tells_a_random_picture(client):
    item = client.get("/api/state").json()["item"]
    assert item.keys() == {"picture", "name", "label", "suggested", "neighbours"}


def test_other_pictures_or_a_damaged_file_are_refused(data, colours, tmp_path):
    table = tmp_path / "corrected.csv"
    session = begun(data, table, suspects=2, controls=1).session
    session.decide(0, Decision("keep"))
    listing = open_session(data, None, None, table)[1]
    with pytest.raises(UsageError, match="is a review of other pictures or labels"):
        resume(beside(table), listing.subset(range(len(listing) - 1)))
    values = json.loads(beside(table).read_text())
    beside(table).write_text(json.dumps(values | {"decisions": [{"answer": "maybe", "label": ""}]}))
    with pytest.raises(DataError, match=r"corrected\.review\.json is damaged"):
        resume(beside(table), listing)


def test_the_error_rate_is_in_the_json(client, colours, tmp_path, capsys):
    answer(client, 0, "keep")
    capsys.readouterr()
    command = ["data", "review", str(colours), "--json", "--suspects", "1", "--table", "fixed/corrected.csv"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["error_rate"]["pictures"] == 2 * EACH


def test_rows_of_a_table_of_pixels(tmp_path):
    """FER2013's CSV: the corrected table names its rows, from another folder too, and trains on their pixels."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (28, 48 * 48))
    rows = [f"{i % 7},{' '.join(map(str, values))},Training" for i, values in enumerate(pixels)]
    (tmp_path / "raw").mkdir()
    source = Data(source="fer2013", path=tmp_path / "raw" / "fer2013.csv")
    source.path.write_text("\n".join(["emotion,pixels,Usage", *rows]))
    table = tmp_path / "fixed" / "faces.csv"
    review = begun(source, table, suspects=2, controls=1)
    item = review.state()["item"]
    other = next(name for name in FER2013 if name not in (item["label"], item["suggested"]))
    review.decide({"number": 0, "answer": "change", "label": other})
    assert rows_of(table)[0]["path"] == "../raw/fer2013.csv row 2"
    before, after = prepare(source), prepare(Data(source="table", path=table))
    np.testing.assert_array_equal(before.images, after.images)
    labels = [after.classes[label] for label in after.labels]
    changed = [i for i, label in enumerate(before.labels) if before.classes[label] != labels[i]]
    assert [(before.names[i], labels[i]) for i in changed] == [(item["name"], other)]
    table.write_text("path,label\n../raw/fer2013.csv row 2,sad\n../raw/fer2013.csv row 99,happy\n")
    with pytest.raises(DataError, match=r"fer2013\.csv has no row 99"):
        prepare(Data(source="table", path=table))


def test_the_table_under_review_is_not_written_over(colours, tmp_path):
    table = tmp_path / "own.csv"
    names = sorted(path for path in colours.rglob("*") if path.is_file())[:2]
    table.write_text("path,label\n" + "".join(f"{name},{number}\n" for number, name in enumerate(names)))
    for option in ("--table", "--out"):
        assert main(["data", "review", str(table), option, str(table)]) == 2
    assert table.read_text().startswith("path,label\n")


def test_a_picture_in_a_good_row_and_in_a_bad_one(colours, tmp_path):
    table = tmp_path / "own.csv"
    names = sorted(path for path in colours.rglob("*") if path.is_file())[:4]
    rows = [f"{names[2]},", *(f"{name},{number % 2}" for number, name in enumerate(names))]
    table.write_text("\n".join(["path,label", *rows]) + "\n")
    data = Data(source="table", path=table, skip_bad=True)
    assert usable(listed(data), prepare(data)).tolist() == [1, 2, 3, 4]


def test_pictures_that_lie_nowhere_are_refused(capsys):
    assert main(["data", "review", "quick.csv"]) == 3
    drawn = Data(source="drawn_faces", images=70, size=16)
    session, listing = open_session(drawn, "mien:vit-tiny-imagenet", None, table := Path.cwd() / "drawn.csv", 2, 1)
    with pytest.raises(UsageError, match="neither a file nor a row of a table of pixels"):
        CorrectedTable(table, listing, session, table.parent)


def test_large_pictures_are_made_smaller(tmp_path, colours, data):
    review = begun(data, tmp_path / "corrected.csv", suspects=1, controls=1)
    position = review.session.shown[0].picture
    large = Image.new("RGB", (2000, 1000))
    review.listing = review.listing.subset(range(len(review.listing)))
    object.__setattr__(review.listing, "read", lambda i: large.copy())
    content, kind = review.picture(position)
    assert kind == "image/jpeg"
    assert len(content) < 100_000
