"""A run in another folder, with its images elsewhere, and one whose files were damaged."""

import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_runs import draw_pictures
from safetensors.torch import load_file

import mien
from mien.cli import main
from mien.errors import DataError, MienError, MissingError, UsageError
from mien.runs import layout, manifest
from mien.runs.processes import rank
from mien.runs.writing import _held, hold, new_folder, release
from mien.train import checkpoints as kept

KILL = """
import os, signal, sys
from pathlib import Path
from mien import recipe, train
from mien.train import callbacks

def killed(self, trainer, task, batch, index):
    if (trainer.current_epoch, index) == (2, 1):
        os.kill(os.getpid(), signal.SIGKILL)

callbacks.Display.on_train_batch_start = killed
train(recipe("quickstart", **{SETTINGS}), Path(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished run, started from the folder of its pictures with a relative path."""
    place = tmp_path_factory.mktemp("made")
    draw_pictures(place / "pictures")
    before = os.getcwd()
    os.chdir(place)
    try:
        recipe = mien.recipe(
            "folder_cnn",
            data={"path": "pictures", "size": 16, "channels": 1},
            train={"epochs": 2, "batch_size": 5, "warmup_epochs": 0},
        )
        return mien.train(recipe, "run").path.resolve()
    finally:
        os.chdir(before)


@pytest.fixture
def moved(made, tmp_path, monkeypatch):
    """The run and its pictures in folders of their own, far from where they were; (run, pictures)."""
    run = Path(shutil.copytree(made, tmp_path / "elsewhere" / "run"))
    pictures = Path(shutil.copytree(made.parent / "pictures", tmp_path / "third" / "faces"))
    hidden = made.parent.with_name("hidden")
    made.parent.rename(hidden)
    monkeypatch.chdir(tmp_path)
    yield run, pictures
    hidden.rename(made.parent)


def said(capsys, code, *words):
    assert main([str(word) for word in words]) == code
    printed = capsys.readouterr()
    return printed.out + printed.err


def test_a_run_is_used_from_any_folder(made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert Path(mien.Run.open(made).recipe.data.path).is_absolute()
    said(capsys, 0, "evaluate", made)
    said(capsys, 0, "report", made)
    assert mien.from_pretrained(made).labels == ("angry", "happy", "sad")


def test_a_run_and_its_images_may_be_moved(moved, capsys):
    run, pictures = moved
    page = (run / "report.html").read_bytes()
    for verb in ("evaluate", "report"):
        assert "its images are not at" in (text := said(capsys, 3, verb, run))
        assert "--data.path" in text
    assert (run / "report.html").read_bytes() == page  # a worse page does not take its place
    before = mien.Run.open(run).scores["validation"]
    said(capsys, 0, "evaluate", run, "--data.path", pictures)
    said(capsys, 0, "report", run, "--data.path", pictures)
    assert b"data:image" in (run / "report.html").read_bytes()
    assert mien.evaluate(run, data={"path": pictures}) == before
    said(capsys, 0, "explain", run, pictures / "train" / "happy" / "000.png", "--methods", "saliency")
    said(capsys, 0, "export", run, "--data.path", pictures)
    zipped = shutil.make_archive(str(run.parent / "handed"), "zip", run)
    shutil.unpack_archive(zipped, run.parent / "unpacked")
    assert mien.verify(run.parent / "unpacked") == []
    said(capsys, 0, "evaluate", run.parent / "unpacked", "--data.path", pictures)


def test_the_environment_says_where_the_images_lie(moved, monkeypatch):
    run, pictures = moved
    monkeypatch.setenv("MIEN_DATA__PATH", str(pictures))
    assert mien.evaluate(run).images == 25
    (pictures / "train" / "angry" / "000.png").unlink()
    with pytest.raises(UsageError, match=r"now holds \(MIEN_DATA__PATH names that place\): 1 removed"):
        mien.evaluate(run)
    monkeypatch.setenv("MIEN_DATA__PATH", str(pictures / "nowhere"))
    with pytest.raises(MissingError, match=r"there is nothing at .*nowhere \(MIEN_DATA__PATH names that place\)"):
        mien.evaluate(run)


def test_a_place_that_was_just_given_is_not_called_the_old_one(moved, capsys):
    run, pictures = moved
    with pytest.raises(MissingError, match=r"there is nothing at .*faces2\. Say.*`data=\{'path': FOLDER\}`"):
        mien.evaluate(run, data=f"{pictures}2")
    text = said(capsys, 3, "evaluate", run, "--data.path", f"{pictures}2")
    assert "there is nothing at" in text
    assert "Say where they lie now: --data.path FOLDER." in text


def test_other_images_are_counted_and_refused(moved, capsys):
    run, pictures = moved
    train = pictures / "train"
    shutil.copy(train / "happy" / "000.png", train / "sad" / "new.png")
    shutil.copy(train / "sad" / "001.png", train / "happy" / "001.png")
    (train / "angry" / "000.png").unlink()
    text = said(capsys, 2, "evaluate", run, "--data.path", pictures)
    assert "trained on other images than its data now holds: 1 added, 1 removed, 1 changed" in text
    assert "the same pictures with other labels or splits" not in text


def test_a_finished_run_is_exported_without_its_images(moved, capsys):
    run, pictures = moved
    said(capsys, 0, "export", run, "--data.path", pictures, "--out", run.parent / "with.onnx")
    with_images = mien.load(run.parent / "with.onnx")
    text = said(capsys, 0, "export", run)
    assert "The export is calibrated on the validation predictions that the run keeps, because its images" in text
    without = mien.load(run)
    assert without.network.temperature == pytest.approx(with_images.network.temperature, rel=1e-2)
    assert without.network.card["content"] == with_images.network.card["content"]
    assert "int8" in said(capsys, 2, "export", run, "--weights", "int8")


def test_a_stopped_run_goes_on_elsewhere(moved, interrupted_in_epoch_2, capsys):
    run, pictures = moved
    recipe = mien.recipe(
        "folder_cnn", data={"path": pictures, "size": 16, "channels": 1}, train={"epochs": 3, "batch_size": 5}
    )
    with interrupted_in_epoch_2():
        mien.train(recipe, run.parent / "stopped")
    third = shutil.move(pictures, pictures.with_name("moved again"))
    stopped = shutil.move(run.parent / "stopped", run.parent / "stopped and moved")
    said(capsys, 3, "run", stopped, "--resume")
    said(capsys, 0, "run", stopped, "--resume", "--data.path", third)
    assert len(mien.Run.open(Path(stopped)).history["epoch"]) == 3


@pytest.fixture
def interrupted_in_epoch_2(monkeypatch):
    from contextlib import contextmanager

    from mien.train import callbacks

    def stop(self, trainer, task, batch, index):
        if (trainer.current_epoch, index) == (1, 1):
            raise KeyboardInterrupt

    @contextmanager
    def interrupting():
        with monkeypatch.context() as patch:
            patch.setattr(callbacks.Display, "on_train_batch_start", stop, raising=False)
            with pytest.raises(KeyboardInterrupt):
                yield

    return interrupting


def test_the_manifest_names_every_file_that_is_read_back(made):
    known = manifest.read(made)
    files = {str(path.relative_to(made)) for path in made.rglob("*") if path.is_file()}
    apart = {layout.MANIFEST, layout.REPORT, "model.onnx"} | {name for name in files if name.endswith(".ckpt")}
    assert known.keys() == files - apart
    assert mien.verify(made) == []


def read_all(run: Path) -> None:
    """Everything that the verbs read of a run."""
    opened = mien.Run.open(run)
    _ = (opened.env, opened.scores, opened.history, opened.robustness, opened.test_reads)
    opened.predictions()
    mien.from_pretrained(run)
    manifest.check(run, layout.DATA)


def test_no_flipped_bit_is_taken_for_whole(made, tmp_path):
    run = Path(shutil.copytree(made, tmp_path / "run"))
    read_all(run)
    draw = random.Random(0)
    for name in sorted([*manifest.read(run), layout.MANIFEST]):
        path, whole = run / name, (run / name).read_bytes()
        for _ in range(12):
            damaged = bytearray(whole)
            damaged[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
            path.write_bytes(damaged)
            manifest._sha256_of.cache_clear()
            assert mien.verify(run), name
            with pytest.raises(DataError, match="damaged"):
                read_all(run)
        path.write_bytes(whole)
    manifest._sha256_of.cache_clear()
    assert mien.verify(run) == []


def test_a_shortened_recipe_is_no_recipe(made, tmp_path, capsys):
    run = Path(shutil.copytree(made, tmp_path / "run"))
    text = (run / "recipe.yaml").read_text()
    for share in (0.3, 0.6, 0.98):
        (run / "recipe.yaml").write_text(text[: int(share * len(text))])
        assert "recipe.yaml is damaged: it is not the file that was written" in said(capsys, 4, "report", run)


def test_verify_says_what_is_damaged(made, tmp_path, capsys):
    run = Path(shutil.copytree(made, tmp_path / "run"))
    assert "is whole" in said(capsys, 0, "verify", run)
    weights = run / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    best = run / "checkpoints" / "best.ckpt"
    damaged = bytearray(best.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    best.write_bytes(damaged)
    (run / "metrics.csv").unlink()
    text = said(capsys, 4, "verify", run)
    for expected in ("model.safetensors is damaged or was changed", "best.ckpt is damaged", "metrics.csv is missing"):
        assert expected in text
    assert json.loads(said(capsys, 4, "verify", run, "--json").partition("\nmien: ")[0])["whole"] is False
    both = json.loads(said(capsys, 4, "verify", made, run, "--json").partition("\nmien: ")[0])
    assert [each["whole"] for each in both] == [True, False]
    text = said(capsys, 4, "verify", made, run)
    assert f"{made} is whole." in text
    assert f"{run} is not whole." in text
    said(capsys, 3, "verify", tmp_path / "nothing")
    (tmp_path / "a.txt").write_text("a")
    said(capsys, 4, "verify", tmp_path / "a.txt")


def test_of_a_run_without_checksums_nothing_is_claimed(made, tmp_path, capsys):
    run = Path(shutil.copytree(made, tmp_path / "run", ignore=shutil.ignore_patterns(layout.MANIFEST)))
    text = said(capsys, 0, "verify", run)
    assert f"{run}: no damage was found; whether all of it is whole cannot be told." in text
    assert "has no manifest, as runs of mien 0.1" in text
    assert "is whole." not in text
    assert json.loads(said(capsys, 0, "verify", run, "--json"))["whole"] is None
    (run / "checkpoints" / "last.ckpt").write_bytes(b"PK")
    assert "last.ckpt is damaged." in said(capsys, 4, "verify", run)


def test_a_file_that_was_never_written_is_not_missed(tmp_path):
    with manifest.changing(tmp_path, layout.ENV):  # a full disk, say
        pass
    assert manifest.problems(tmp_path) == []


def test_a_write_that_fails_makes_no_damaged_file_whole(tmp_path):
    for name in (layout.ENV, layout.SCORES):
        with manifest.changing(tmp_path, name):
            (tmp_path / name).write_text("{}")
    (tmp_path / layout.ENV).write_text("{]")
    (tmp_path / "new").write_text("[]")
    with pytest.raises(FileNotFoundError), manifest.changing(tmp_path, layout.ENV, layout.SCORES):
        [os.replace(tmp_path / "new", tmp_path / name) for name in (layout.SCORES, layout.ENV)]
    assert manifest.problems(tmp_path) == [f"{tmp_path / layout.ENV} is damaged or was changed."]


def test_no_record_is_lost_where_several_processes_add_to_it(made, tmp_path):
    run = Path(shutil.copytree(made, tmp_path / "run"))
    code = (
        "import sys; from pathlib import Path; from mien.runs.writing import note_test_reading, write_robustness\n"
        "sys.stdin.read()\n"
        "for i in range(10):\n"
        "    note_test_reading(Path(sys.argv[1])); write_robustness(Path(sys.argv[1]), sys.argv[2] + str(i), [])\n"
    )
    others = [
        subprocess.Popen([sys.executable, "-c", code, str(run), name], stdin=subprocess.PIPE) for name in ("a", "b")
    ]
    for other in others:
        other.stdin.close()
    assert [other.wait() for other in others] == [0, 0]
    opened = mien.Run.open(run)
    assert (len(opened.test_reads), len(opened.robustness)) == (20, 20)
    assert mien.verify(run) == []


def test_a_damaged_checkpoint_falls_back_to_the_one_before(made, tmp_path, capsys):
    checkpoints = Path(shutil.copytree(made, tmp_path / "run")) / "checkpoints"
    last, before = checkpoints / "last.ckpt", checkpoints / "last.before.ckpt"
    shutil.copy(last, before)
    assert kept.whole_checkpoint(last) == last
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])
    assert kept.whole_checkpoint(last) == before
    assert "last.ckpt is damaged; the checkpoint before it" in capsys.readouterr().err
    before.write_bytes(b"PK")
    with pytest.raises(DataError, match="and so is the checkpoint before it"):
        kept.whole_checkpoint(last)
    before.unlink()
    last.unlink()
    assert kept.whole_checkpoint(last) is None


def test_a_killed_training_ends_as_an_uninterrupted_one(tmp_path):
    settings = {
        "data": {"source": "drawn_faces", "images": 70, "size": 16}, "seed": 3,
        "train": {"epochs": 4, "batch_size": 35, "precision": "fp32"},
    }  # fmt: skip
    code = KILL.replace("{SETTINGS}", repr(settings))
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "killed")], capture_output=True, text=True)
    assert done.returncode == -9, done.stderr
    last = tmp_path / "killed" / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:999])  # as lightning, killed while it copies, would leave it
    killed = mien.resume(tmp_path / "killed")
    whole = mien.train(mien.recipe("quickstart", **settings), tmp_path / "whole")
    for name, tensor in load_file(whole.path / "model" / "model.safetensors").items():
        np.testing.assert_array_equal(load_file(killed.path / "model" / "model.safetensors")[name], tensor)
    assert killed.scores == whole.scores
    assert not list(killed.path.rglob(".*"))


def test_two_starts_in_one_second_have_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = mien.recipe("quickstart")
    folders = [new_folder(recipe, None, False) for _ in range(4)]
    assert len(set(folders)) == 4
    for folder in folders:
        release(folder)


def test_a_second_process_does_not_train_in_the_same_folder(tmp_path):
    code = (
        "import sys; from pathlib import Path; from mien.runs.writing import hold; hold(Path(sys.argv[1])); "
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UsageError, match="Another process is training in"):
            hold(tmp_path)
        (tmp_path / layout.RECIPE).touch()
        with pytest.raises(UsageError, match="Another process is training in"):
            new_folder(mien.recipe("quickstart"), tmp_path, overwrite=True)
        assert (tmp_path / layout.RECIPE).is_file()
        (tmp_path / layout.RECIPE).write_text("name: quickstart\n")
        (tmp_path / layout.ENV).write_text("half of what the other process wri")
        with pytest.raises(UsageError, match="Another process is training in"):  # before it reads what is changed
            mien.resume(tmp_path)
        other.kill()
    with pytest.raises(DataError, match=layout.ENV):  # a killed process holds nothing
        mien.resume(tmp_path)
    assert not _held  # nor does one whose resume failed


@pytest.mark.parametrize(
    ("environment", "number"),
    [
        ({}, 0),
        ({"RANK": "1"}, 0),  # left behind by an earlier job
        ({"RANK": "1", "WORLD_SIZE": "2"}, 1),
        ({"LOCAL_RANK": "1", "WORLD_SIZE": "2"}, 1),
        ({"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_STEP_ID": "0"}, 3),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}, 0),  # in a batch script, not under srun
    ],
)
def test_which_process_this_is(environment, number):
    assert rank(environment) == number


def test_a_name_leads_nowhere_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("../../../x", "a/b", "", ".", "a\0b"):
        with pytest.raises(MienError, match="name"):
            mien.recipe("quickstart", name=name)


def test_missing_is_said_of_a_run_that_is_not_there(tmp_path):
    with pytest.raises(MissingError):
        mien.resume(tmp_path / "nothing")
