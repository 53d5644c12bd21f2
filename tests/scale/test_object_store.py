"""Object stores: what their addresses say, faults that pass and faults that stay, and one that speaks S3."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
from crop_sources import faces, write_table, write_tar
from PIL import Image
from pyarrow import fs, parquet

import mien
from mien.cli import main
from mien.errors import DataError, MienError, UsageError
from mien.scale import job, store
from mien.scale.job import Job
from mien.scale.source import items, parts_of
from mien.scale.store import Place


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(store, "WAITS", (0.0, 0.0))


class Failing:
    """A file system whose reads fail as often as `times` says, each in turn of a good one."""

    def __init__(self, times):
        self.system, self.times, self.good = fs.LocalFileSystem(), times, False
        self.get_file_info = self.system.get_file_info

    def open_input_file(self, path):
        file = self.system.open_input_file(path)
        outer = self

        class File:
            def size(self):
                return file.size()

            def read_at(self, number, offset):
                outer.good = not outer.good
                if outer.times and not outer.good:
                    outer.times -= 1
                    raise OSError("AWS Error NETWORK_CONNECTION during GetObject operation: curlCode: 28")
                return file.read_at(number, offset)

            def close(self):
                file.close()

        return File()


class Dead(Failing):
    """One that opens files and gives nothing of them, or of those whose name begins so."""

    def __init__(self, start=""):
        super().__init__(0)
        self.start = start

    def open_input_file(self, path):
        file = super().open_input_file(path)
        if not os.path.basename(path).startswith(self.start):
            return file

        def read_at(number, offset):
            raise OSError("AWS Error ACCESS_DENIED during GetObject operation")

        file.read_at = read_at
        return file


@pytest.fixture(params=["folder", "one.parquet", "one.tar"])
def source(request, tmp_path):
    """Ten pictures of each kind of source, at an address."""
    contents = faces(10)
    (tmp_path / "folder").mkdir()
    for number, content in enumerate(contents):
        (tmp_path / "folder" / f"{number}.png").write_bytes(content)
    write_table(tmp_path / "one.parquet", contents, rows=10)
    write_tar(tmp_path / "one.tar", contents)
    return (tmp_path / request.param).as_uri(), contents


def test_a_fault_that_passes_costs_nothing(source, monkeypatch):
    address, contents = source
    monkeypatch.setattr(store, "BUFFER", 500)
    (part,) = parts_of(address)
    place, bad = Place(address), {}
    place.system = Failing(times=5)
    assert [content for _, content in items(part, place, bad)] == contents
    assert bad == {}
    assert place.system.times < 5


def test_a_fault_that_stays_ends_the_part_and_is_no_damage(source):
    address, _ = source
    (part,) = parts_of(address)
    place, bad = Place(address), {}
    place.system = Dead()
    with pytest.raises(MienError, match=r"could not be reached, 3 times in a row \(AWS Error ACCESS_DENIED"):
        list(items(part, place, bad))
    assert bad == {}


@pytest.mark.parametrize("kind", ["png", "parquet", "tar"])
def test_what_one_file_fails_to_give_is_named_while_another_can_be_read(tmp_path, kind):
    write = {"png": lambda path, contents: path.write_bytes(contents[0]), "parquet": write_table, "tar": write_tar}
    for name in ("bad", "good"):
        write[kind](tmp_path / f"{name}.{kind}", faces(1))
    place, bad, found = Place(tmp_path.as_uri()), {}, []
    parts = parts_of(tmp_path.as_uri())
    place.system = Dead("bad")
    for part in parts:
        found += items(part, place, bad)
    assert len(found) == 1
    assert list(bad) == [f"{tmp_path.as_uri()}/bad.{kind}"]
    assert "could not be reached, 3 times in a row (AWS Error ACCESS_DENIED" in bad[f"{tmp_path.as_uri()}/bad.{kind}"]


def test_a_picture_that_is_gone_is_named(tmp_path):
    for number, content in enumerate(faces(3)):
        (tmp_path / f"{number}.png").write_bytes(content)
    (part,) = parts_of(tmp_path.as_uri())
    (tmp_path / "1.png").unlink()
    bad = {}
    assert len(list(items(part, Place(tmp_path.as_uri()), bad))) == 2
    assert list(bad) == [f"{tmp_path.as_uri()}/1.png"]


def test_a_drive_that_fails_is_no_damaged_picture(tmp_path, monkeypatch):
    asked = []

    def opened(picture):
        asked.append(picture)
        raise DataError("it cannot be read") from OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(job, "opened", opened)
    with pytest.raises(MienError, match=r"a\.png could not be reached, 3 times in a row \(Input/output error\)\."):
        job._decoded("a.png", tmp_path / "a.png", lambda: True)
    assert len(asked) == 3
    assert job._decoded("a.png", tmp_path / "a.png", lambda: False).startswith("a.png could not be reached, 3 times")
    monkeypatch.undo()
    assert "cannot be read as an image" in job._decoded("a.png", b"none", lambda: True)


@pytest.fixture
def failing(monkeypatch):
    """failing(number, names): opening pictures of these names gives this error from now on."""

    def patched(number, names):
        opened = Path.open

        def refuse(path, *rest, **options):
            if path.name in names:
                raise OSError(number, os.strerror(number), str(path))
            return opened(path, *rest, **options)

        monkeypatch.setattr(Path, "open", refuse)

    return patched


@pytest.fixture
def answers(tmp_path):
    """answers(on_ray): what becomes of a folder of six pictures, read at once or as a worker of Ray reads a part."""
    folder, reader = tmp_path / "photos", mien.load("mien:tiny", threads=1)
    folder.mkdir()
    for number, content in enumerate(faces(6)):
        (folder / f"{number}.png").write_bytes(content)
    task = Job(str(folder), str(tmp_path / "out"), "yunet", 0.0, False, str(tmp_path))

    def read(on_ray):
        if not on_ray:
            done = reader.read_folder(folder, detect=False)
            return done.pictures, {path.name: why for path, why in done.bad.items()}
        (part,) = parts_of(str(folder))
        done = job.score(reader, task, part)
        named = parquet.read_table(tmp_path / "out" / "unreadable" / part.name).to_pydict()
        return done.pictures, {Path(name).name: why for name, why in zip(named["source"], named["error"], strict=True)}

    return read


@pytest.mark.parametrize("on_ray", [False, True])
@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ENOENT])
def test_a_picture_that_its_drive_does_not_give_is_named_and_the_rest_scored(answers, failing, number, on_ray):
    failing(number, ["3.png", "4.png"])
    pictures, bad = answers(on_ray)
    assert (pictures, sorted(bad)) == (4, ["3.png", "4.png"])
    assert ("there is no such file" if number == errno.ENOENT else os.strerror(number)) in bad["3.png"]


@pytest.mark.parametrize("on_ray", [False, True])
@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ENOENT])
def test_a_source_that_is_gone_ends_the_job_and_names_no_picture(answers, failing, number, on_ray, tmp_path):
    failing(number, [f"{i}.png" for i in range(6)])
    said = "could not be reached, 3 times in a row" if on_ray and number == errno.EIO else "cannot be read"
    with pytest.raises(MienError, match=rf"0\.png {said} \({os.strerror(number)}\)"):
        answers(on_ray)
    assert not (tmp_path / "out" / "unreadable").exists()


def test_of_one_picture_alone_nothing_is_said_of_others(failing, tmp_path):
    (tmp_path / "alone.png").write_bytes(next(iter(faces(1))))
    failing(errno.EACCES, ["alone.png"])
    done = mien.load("mien:tiny", threads=1).read_folder(tmp_path, detect=False)
    (why,) = done.bad.values()
    assert os.strerror(errno.EACCES) in why
    assert "beside it" not in why


@pytest.mark.parametrize("on_ray", [False, True])
def test_a_part_that_cannot_be_read_is_named_while_the_rest_of_the_source_can(failing, on_ray, tmp_path):
    folder, reader = tmp_path / "photos", mien.load("mien:tiny", threads=1)
    folder.mkdir()
    for number, content in enumerate(faces(4)):
        (folder / f"{number}.png").write_bytes(content)
    failing(errno.EACCES, ["2.png", "3.png"])
    if on_ray:  # the part that comes last
        task = Job(str(folder), str(tmp_path / "out"), "yunet", 0.0, False, str(tmp_path))
        (part,) = parts_of(str(folder))
        done = job.score(reader, task, replace(part, files=part.files[2:]))
        assert (done.pictures, done.bad) == (0, 2)
        return
    for held in (0, 2):  # begun again, two of the four are in the table
        done = reader.read_folder(folder, out=tmp_path / "faces.csv", detect=False)
        assert (done.held, sorted(path.name for path in done.bad)) == (held, ["2.png", "3.png"])


def test_a_shortage_of_the_machine_ends_a_part(failing, answers):
    failing(errno.EMFILE, ["3.png"])
    with pytest.raises(MienError, match="That says nothing about the file"):
        answers(True)


def test_keys_and_options_of_an_address_stay_out_of_names(tmp_path):
    place = Place("s3://key:secret@bucket/crops?region=us-east-1&scheme=http&endpoint_override=localhost:9")
    assert (place.text, place.path) == ("s3://bucket/crops", "bucket/crops")
    assert place.name("bucket/crops/a.png") == "s3://bucket/crops/a.png"
    assert place.at("s3://bucket/crops/a.png") == "bucket/crops/a.png"
    place.system = fs.LocalFileSystem()
    place.path = f"{tmp_path}/{'a' * 300}"  # a name that no file can have
    with pytest.raises(MienError, match=r"s3://bucket/crops could not be reached, 3 times in a row"):
        place.files()


@pytest.mark.parametrize("words", [["s3://bucket/crops"], ["photos", "--out", "s3://bucket/answers.csv"]])
def test_addresses_are_of_ray(words, capsys):
    assert main(["predict", *words]) == 2
    said = capsys.readouterr().err
    assert f"{words[-1]} is an address, and nothing on this machine." in said
    assert "mien predict SOURCE --out FOLDER --on ray" in said


@pytest.fixture
def bucket():
    """The options of an address of a server in this process that speaks S3 and has a bucket named faces."""
    server = pytest.importorskip("moto.server", reason="moto is not installed, see .ci/run")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    # A file in one request: what moto answers to several, pyarrow takes for an error.
    options = f"region=us-east-1&scheme=http&endpoint_override={host}:{port}&allow_delayed_open=true"
    there, _ = fs.FileSystem.from_uri(f"s3://key:secret@faces?{options}&allow_bucket_creation=true")
    there.create_dir("faces")
    yield there, options
    running.stop()


def test_a_table_on_an_object_store_is_read_and_answered_there(bucket, cluster, tmp_path, capsys):
    there, options = bucket
    write_table(tmp_path / "one.parquet", [*faces(10), b"none"], rows=6)
    with there.open_output_stream("faces/crops/one.parquet") as file:
        file.write((tmp_path / "one.parquet").read_bytes())
    address = f"s3://key:secret@faces/crops?{options}"
    words = ["--model", "mien:tiny", "--no-detect", "--on", "ray", "--workers", "1"]
    answers = f"s3://key:secret@faces/answers?{options}"
    assert main(["predict", address, *words, "--out", answers]) == 4
    printed = capsys.readouterr()
    assert printed.out.startswith("s3://faces/answers  10 faces in 10 pictures")
    assert "s3://faces/answers/unreadable names them" in printed.err
    found = parquet.read_table("faces/answers/faces", filesystem=there)
    assert sorted(found["source"].to_pylist())[0] == "s3://faces/crops/one.parquet row 1"
    assert "secret" not in there.open_input_file("faces/answers/job.json").read().decode()
    reader = mien.load("mien:tiny", threads=1)
    plain = [face.to_dict()["label"] for (face,) in reader.read(faces(10), detect=False)]
    told = dict(zip(found["source"].to_pylist(), found["label"].to_pylist(), strict=True))
    assert [told[f"s3://faces/crops/one.parquet row {row}"] for row in range(1, 11)] == plain
    assert main(["predict", address, *words, "--out", answers]) == 4
    assert "2 parts of 2 had been written before" in capsys.readouterr().out
    nowhere = f"s3://key:secret@none/crops?{options}"
    assert main(["predict", nowhere, *words, "--out", answers]) in (1, 3)
    assert "s3://none/crops" in capsys.readouterr().err


def test_names_of_an_address_with_spaces(tmp_path):
    (tmp_path / "my folder").mkdir()
    Image.new("L", (8, 8)).save(tmp_path / "my folder" / "a.png")
    place = Place(f"file://{tmp_path}/my%20folder")
    (path,) = place.files()
    assert place.name(path) == f"file://{tmp_path}/my folder/a.png"
    assert place.at(place.name(path)) == path
    with pytest.raises(UsageError, match=r"^s3://bucket/x\[ is no address that pyarrow reads") as refused:
        Place("s3://KEY:SEC/RET@bucket/x[?region=eu")
    assert "SEC" not in str(refused.value)
