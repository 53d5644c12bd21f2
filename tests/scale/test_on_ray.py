"""`mien predict --on ray` against plain `mien predict`; processes that are killed, and jobs that are stopped."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow
import pytest
from crop_sources import faces, write_table, write_tar
from pyarrow import parquet

import mien
from mien.cli import main
from mien.errors import DataError, MissingError, UsageError
from mien.scale import driver
from mien.scale.job import Job

PARTS = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """40 pictures of which two cannot be read."""
    place = tmp_path_factory.mktemp("pictures")
    for number, content in enumerate(faces(40)):
        (place / f"{number:03}.png").write_bytes(content if number not in (3, 33) else b"none")
    return place


@pytest.fixture(scope="module")
def plain(folder, tmp_path_factory):
    """What plain `mien predict` makes of them."""
    out = tmp_path_factory.mktemp("plain") / "faces.parquet"
    done = mien.load("mien:tiny", threads=1).read_folder(folder, out=out, detect=False)
    assert len(done.bad) == 2
    return parquet.read_table(out)


def table_of(out):
    return parquet.read_table(out / "faces").sort_by("source")


def answers_of(table):
    return table.drop_columns(["source"])


def test_a_folder_gives_the_bytes_of_plain_predict(cluster, folder, plain, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    out = Path("out")
    words = ["predict", str(folder), "--model", "mien:tiny", "--no-detect", "--out", str(out), "--on", "ray"]
    for said in ("38 faces in 38 pictures", "1 part of 1 had been written before"):
        assert main(words) == 4
        printed = capsys.readouterr()
        assert said in printed.out
        assert f"2 pictures could not be read; {out}/unreadable names them. The first: {folder}/003.png" in printed.err
    assert table_of(out).equals(plain)
    named = parquet.read_table(out / "unreadable").to_pydict()["source"]
    assert named == [f"{folder}/003.png", f"{folder}/033.png"]
    assert main([*words[:2], "--model", "mien:tiny", "--out", str(out), "--on", "ray"]) == 4
    assert f"{out} was begun with other values of --detect. Choose another --out." in capsys.readouterr().err


@pytest.mark.parametrize("write", [write_table, write_tar])
def test_tables_and_archives_give_the_same_answers(cluster, folder, plain, tmp_path, write):
    from mien.scale import predict

    (tmp_path / "shards").mkdir()
    contents = [path.read_bytes() for path in sorted(folder.iterdir())]
    for start in (0, 20):
        write(
            tmp_path / "shards" / f"{start:02}.{'tar' if write is write_tar else 'parquet'}",
            contents[start : start + 20],
        )
    source = (tmp_path / "shards").as_uri()
    done = predict(source, (tmp_path / "out").as_uri(), model="mien:tiny", detect=False, workers=2)
    assert (done.pictures, len(done.bad), done.held) == (38, 2, 0)
    table = parquet.read_table(tmp_path / "out" / "faces")
    assert len(set(table["source"].to_pylist())) == 38
    assert answers_of(table).equals(answers_of(plain))


def test_a_process_that_is_killed_costs_its_parts_alone(cluster, processes, tmp_path):
    from mien.scale import predict

    write_table(tmp_path / "many.parquet", faces(50) * 40, rows=2000 // PARTS)
    before, killed = set(processes("MapWorker")), []

    def kill_one():
        while len(list((tmp_path / "out" / "faces").glob("part-*"))) < 2:
            time.sleep(0.02)
        killed.append(next(process for process in processes("MapWorker") if process not in before))
        os.kill(killed[0], signal.SIGKILL)

    killing = threading.Thread(target=kill_one)
    killing.start()
    done = predict(tmp_path / "many.parquet", tmp_path / "out", model="mien:tiny", detect=False, workers=2)
    killing.join()
    assert (done.pictures, done.parts, done.bad) == (2000, PARTS, {})
    names = table_of(tmp_path / "out")["source"].to_pylist()
    assert sorted(names) == sorted({f"{tmp_path}/many.parquet row {row + 1}" for row in range(2000)})


DRIVER = """
import sys
from mien.scale import predict
predict(sys.argv[1], sys.argv[2], model="mien:tiny", detect=False, workers=1)
"""


def test_a_job_whose_driver_is_killed_goes_on(cluster, tmp_path):
    from mien.scale import predict

    write_table(tmp_path / "many.parquet", faces(50) * 40, rows=2000 // PARTS)
    out = tmp_path / "out"
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path / "many.parquet"), str(out)])
    while len(list(out.glob("faces/part-*"))) < 2:
        assert driver.poll() is None
        time.sleep(0.02)
    driver.kill()
    driver.wait()
    done = predict(tmp_path / "many.parquet", out, model="mien:tiny", detect=False, workers=2)
    assert done.held >= 2
    names = table_of(out)["source"].to_pylist()
    assert sorted(names) == sorted({f"{tmp_path}/many.parquet row {row + 1}" for row in range(2000)})


def test_a_process_that_cannot_write_ends_the_job_in_a_sentence(cluster, tmp_path, capsys):
    write_table(tmp_path / "one.parquet", faces(1))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "tries").touch()  # a file where a folder is needed
    words = ["--model", "mien:tiny", "--no-detect", "--out", str(tmp_path / "out"), "--on", "ray", "--workers", "1"]
    assert main(["predict", str(tmp_path / "one.parquet"), *words]) == 1
    said = capsys.readouterr().err
    assert "mien: A part could not be read or written (" in said
    assert "give the same command again." in said
    assert "Traceback" not in said


def test_a_machine_that_lacks_the_source_says_so_and_names_no_picture(tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="ray is not installed: pip install 'mien[scale]', see .ci/run")
    from mien.scale.on_ray import Scorer

    monkeypatch.chdir(tmp_path)
    with pytest.raises(MissingError, match="has no photos, which all machines need under one path"):
        Scorer(Job("photos", "out", "yunet", 0.0, None, str(tmp_path / "elsewhere")))


def test_what_is_no_job(tmp_path, folder, capsys):
    from mien.scale import predict

    for on in ("dask", "ray:"):
        with pytest.raises(UsageError, match="there are ray, which starts it on this machine, and ray:ADDRESS"):
            predict(folder, tmp_path, on=on)
    with pytest.raises(UsageError, match="`workers` 0: give 1 or more"):
        predict(folder, tmp_path, workers=0)
    with pytest.raises(UsageError, match="lies in the source"):
        driver._refuse_within(Job(str(folder), str(folder / "out"), "yunet", 0.0, None, ""))
    assert main(["predict", str(folder), "--on", "ray"]) == 2
    assert "mien predict SOURCE --out FOLDER --on ray" in capsys.readouterr().err
    assert main(["predict", str(folder), "--workers", "2"]) == 2


def test_a_folder_of_another_job_is_refused(cluster, tmp_path):
    from mien.scale import predict

    (tmp_path / "out" / "faces").mkdir(parents=True)
    parquet.write_table(pyarrow.table({"source": ["a"]}), tmp_path / "out" / "faces" / "part-000000.parquet")
    write_table(tmp_path / "one.parquet", faces(1))
    with pytest.raises(DataError, match=r"holds parts, but no job\.json"):
        predict(tmp_path / "one.parquet", tmp_path / "out", model="mien:tiny", detect=False)
