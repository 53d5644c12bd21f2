"""Teachers that are asked once, before the training, and their answers as soft labels."""

import numpy as np
import pytest
import torch
from taught import taught

from mien import config
from mien.config import Augment, Train
from mien.data import open_store
from mien.errors import DataError, UsageError
from mien.export import export
from mien.runs import read_recipe
from mien.train import teachers
from mien.train.run import resume, run
from mien.train.teachers import Teacher, with_answers


def test_stored_answers_outlive_the_export(teacher_run, tmp_path):
    exported, student = tmp_path / "model.onnx", tmp_path / "student"
    export(teacher_run, exported)
    run(taught(exported, stored=True), student)
    exported.unlink()
    (student / "evaluation.json").unlink()
    assert resume(student) == student
    assert (student / "evaluation.json").is_file()


def test_stored_answers_by_hand(teacher_run, tmp_path):
    """A quarter of the mean of the answers to a face and its mirror image, three quarters of its label; train alone."""
    settings = taught(teacher_run, stored=True, weight=0.25).model_copy(update={"augment": Augment(hflip=0.5)})
    images = open_store(settings.data)
    answered = with_answers(images, settings, "cpu", tmp_path)
    face, label = images.indices("train")[11], images.labels[images.indices("train")[11]]
    pixels = torch.tensor(images.images[face : face + 1]).float() / 255
    teacher = Teacher(settings, images.classes)
    answer = (teacher(pixels) + teacher(pixels.flip(-1))) / 2
    expected = 0.25 * answer[0]
    expected[label] += 0.75
    torch.testing.assert_close(torch.from_numpy(answered.soft_labels[face]), expected)
    unseen = images.indices("validation")
    assert (answered.soft_labels[unseen].argmax(axis=1) == images.labels[unseen]).all()
    assert (answered.soft_labels[unseen].max(axis=1) == 1).all()
    assert images.soft_labels is None  # as it was


def test_teachers_are_asked_once_a_run(teacher_run, tmp_path, monkeypatch):
    """Other processes and a resumed run read the answers; a damaged file is named."""
    settings = taught(teacher_run, stored=True)
    images = open_store(settings.data)
    first = with_answers(images, settings, "cpu", tmp_path)
    monkeypatch.setattr(teachers, "Teacher", lambda *_: pytest.fail("the teachers are asked a second time"))
    again = with_answers(images, settings, "cpu", tmp_path)
    np.testing.assert_array_equal(again.soft_labels, first.soft_labels)
    (tmp_path / "answers.npz").write_bytes(b"no zip")
    with pytest.raises(DataError, match=r"answers\.npz is damaged: .*delete it, then `mien\.resume\("):
        with_answers(images, settings, "cpu", tmp_path)


def test_a_student_learns_stored_answers(teacher_run, tmp_path):
    """All of the target is the teachers': the student's loss sinks towards the teacher's uncertainty, labels unseen."""
    settings = taught(teacher_run, stored=True, weight=1.0)
    student = run(
        settings.model_copy(update={"name": "student", "train": Train(epochs=2, batch_size=35)}), tmp_path / "s"
    )
    assert read_recipe(student).distill.stored
    losses = [line.split(",")[4] for line in (student / "metrics.csv").read_text().splitlines()[1:]]
    assert float(losses[1]) < float(losses[0])


def test_hard_answers_are_not_stored():
    with pytest.raises(UsageError, match="stored answers are soft labels; kind 'hard' needs stored off"):
        config.build({"distill": {"teachers": ["run"], "kind": "hard", "stored": True}})
