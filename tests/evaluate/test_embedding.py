import csv
import json
import re

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

import mien
from mien.cli import main
from mien.errors import UsageError
from mien.evaluate.embedding import principal
from mien.report import write_map

DATA = {"source": "drawn_faces", "images": 70, "size": 48}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield mien.embed(DATA, "mien:tiny")


def test_features_are_what_the_head_reads(found):
    assert found.features.shape == (210, found.features.shape[1])
    assert (len(found.names), found.splits.count("validation")) == (210, 70)
    classifier = mien.from_pretrained("mien:tiny").eval()
    pixels = found.store.images[found.indices[:20]].astype(np.float32) / 255
    with torch.no_grad():
        logits = classifier(torch.from_numpy(np.asarray(classifier.preprocessing.scale(pixels), np.float32))).numpy()
    said = [classifier.labels[i].lower() for i in logits.argmax(axis=1)]
    assert [found.classes[i] for i in found.predicted[:20]] == said


def test_every_table_holds_the_same(found, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    for suffix in ("parquet", "npz", "csv"):
        found.save(tmp_path / f"features.{suffix}")
    table = parquet.read_table(tmp_path / "features.parquet")
    assert table.column_names == ["name", "label", "split", "predicted", "features"]
    np.testing.assert_array_equal(np.stack(table["features"].to_numpy()), found.features)
    with np.load(tmp_path / "features.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["features"], found.features)
        assert arrays["label"].tolist() == table["label"].to_pylist()
    with (tmp_path / "features.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == table["name"].to_pylist() == found.names
    assert float(rows[3]["f1"]) == pytest.approx(found.features[3, 1], rel=1e-5)


def test_directions_of_most_variance_are_those_of_scikit_learn():
    rows = np.random.default_rng(0).standard_normal((30, 6)).astype(np.float32) * (5, 4, 3, 2, 1, 1)
    theirs = PCA(3).fit_transform(rows)
    ours = principal(rows.astype(np.float32), 3)
    np.testing.assert_allclose(np.abs(ours), np.abs(theirs), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("projection", ["pca", "tsne"])
def test_a_map_shows_every_picture_and_marks_mistakes(found, projection, tmp_path):
    page = write_map(found, tmp_path / "map.html", projection).read_text()
    wrong = int((found.predicted != found.labels).sum())
    assert 0 < wrong < 210
    assert (page.count("<circle"), page.count('class="mistake"')) == (210, wrong)
    places = np.array([float(each) for each in re.findall(r'c[xy]="([-\d.]+)"', page)])
    assert places.min() >= 0
    assert places.max() <= 1000
    assert not re.search(r'(?:src|href)="https?:', page)


def test_the_command(found, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = [*("--data.source", "drawn_faces"), *("--data.images", "70"), *("--data.size", "48")]
    assert main(["embed", ".", *data, "--model", "mien:tiny", "--map", "map.html", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["table"], said["pictures"], said["size"]) == ("features.npz", 210, found.features.shape[1])
    assert (tmp_path / "map.html").is_file()
    assert main(["embed", ".", *data, "--out", "features.txt"]) == 2
    assert "--out features.txt: features are written as .parquet, .npz or .csv." in capsys.readouterr().err


def test_a_table_of_no_known_kind(found, tmp_path):
    with pytest.raises(UsageError, match=r"features are written as \.parquet, \.npz or \.csv"):
        found.save(tmp_path / "features.xlsx")
