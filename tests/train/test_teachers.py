"""Distillation: the losses by hand, the teacher's rules, and a student that learns from a run."""

import json
import math
import shutil
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from taught import DATA, classes, recipe, taught

import mien
from mien import config
from mien.cli import main
from mien.config import Augment, Data, Distill, Model, Pretrain, Train
from mien.data import open_store
from mien.data.augment import stream
from mien.errors import DataError, MissingError, UsageError
from mien.export import export
from mien.models import create_model
from mien.preprocessing import Preprocessing
from mien.runs import read_recipe
from mien.runtime.network import Network, is_export
from mien.train import teachers
from mien.train.build import build_task
from mien.train.run import resume, run
from mien.train.task import Task
from mien.train.teachers import Teacher, two_answers


def test_soft_loss_by_hand(teacher_run):
    """T = 2, answers (3/4, 1/4), a student that says 1/2 each: 4 (ln 2 - H), H the answers' entropy."""
    teacher = Teacher(taught(teacher_run, temperature=2.0), classes(teacher_run))
    answers = torch.tensor([[0.75, 0.25], [0.75, 0.25], [0.75, 0.25]])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert teacher.loss(torch.zeros(3, 2), answers).item() == pytest.approx(4 * (math.log(2) - entropy))
    assert teacher.loss(2 * answers.log(), answers).item() == pytest.approx(0.0, abs=1e-6)


def test_hard_loss_is_the_most_probable_class(teacher_run):
    teacher = Teacher(taught(teacher_run, kind="hard"), classes(teacher_run))
    logits = torch.tensor([[1.0, 3.0], [0.0, 0.0]])
    answers = torch.tensor([[0.4, 0.6], [0.9, 0.1]])
    expected = (math.log(1 + math.exp(-2)) + math.log(2)) / 2
    assert teacher.loss(logits, answers).item() == pytest.approx(expected)


def test_teachers_answer_by_class_name_and_on_average(teacher_run):
    names = classes(teacher_run)
    pixels = torch.rand(3, 1, 16, 16)
    one = Teacher(taught(teacher_run), names)(pixels)
    turned = Teacher(taught(teacher_run), names[::-1])(pixels)
    twice = recipe(distill=Distill(teachers=(str(teacher_run), str(teacher_run))))
    assert one.sum(dim=1) == pytest.approx(torch.ones(3))
    torch.testing.assert_close(turned, one.flip(1))
    torch.testing.assert_close(Teacher(twice, names)(pixels), one)


def test_a_teacher_of_more_classes_answers_among_the_students(teacher_run):
    names = classes(teacher_run)
    pixels = torch.rand(3, 1, 16, 16)
    every = Teacher(taught(teacher_run), names)(pixels)[:, [4, 1]]
    some = Teacher(taught(teacher_run), [names[4], names[1]])(pixels)
    torch.testing.assert_close(some, every / every.sum(dim=1, keepdim=True))


def test_an_export_answers_as_its_run(teacher_run, tmp_path):
    names, pixels = classes(teacher_run), torch.rand(5, 1, 16, 16)
    exported = tmp_path / "model.onnx"
    export(teacher_run, exported)
    for source in (exported, tmp_path):  # the file, or a folder that holds nothing else
        teacher = Teacher(taught(source), names)
        torch.testing.assert_close(teacher(pixels), Teacher(taught(teacher_run), names)(pixels), rtol=0, atol=1e-2)
        assert isinstance(teacher.networks[0], teachers.ExportedNetwork)
    with pytest.raises(UsageError, match="was trained on 16 pixels"):
        Teacher(recipe(distill=Distill(teachers=(str(exported),)), data=DATA.model_copy(update={"size": 24})), names)


def test_an_export_sees_a_crop_continued_by_its_edges(teacher_run, tmp_path):
    export(teacher_run, tmp_path / "model.onnx")
    settings = taught(tmp_path / "model.onnx").model_copy(update={"augment": Augment(crop=11)})
    teacher = Teacher(settings, classes(teacher_run))
    whole = torch.rand(3, 1, 16, 16)
    whole[..., :2] = whole[..., 2:3]  # two columns on the left, three on the right, as below
    whole[..., -3:] = whole[..., -4:-3]
    whole[..., :2, :] = whole[..., 2:3, :]
    whole[..., -3:, :] = whole[..., -4:-3, :]
    torch.testing.assert_close(teacher(whole[..., 2:-3, 2:-3]), teacher(whole))


def test_a_folder_with_weights_beside_its_export_is_no_export(teacher_run, tmp_path):
    both = tmp_path / "run"
    shutil.copytree(teacher_run, both)
    export(both)
    assert (both / "model.onnx").is_file()
    assert not is_export(both)
    assert not is_export(both / "model")
    assert is_export(both / "model.onnx")
    (both / "model.onnx").rename(both / "model" / "model.onnx")
    assert not is_export(both / "model")
    assert [is_export(name) for name in ("mien:tiny", "mien:vit-tiny-imagenet", "hf-hub:one/two")] == [
        True,
        False,
        False,
    ]


def test_an_export_that_was_made_anew_does_not_go_on_teaching(teacher_run, tmp_path, interrupted):
    exported, student = tmp_path / "model.onnx", tmp_path / "student"
    export(teacher_run, exported)
    with interrupted():
        run(taught(exported).model_copy(update={"train": Train(epochs=2, batch_size=14)}), student)
    copied = Path(shutil.copytree(student, tmp_path / "copied"))
    assert (resume(student) / "evaluation.json").is_file()
    export(run(recipe(name="other", seed=1), tmp_path / "other"), exported)
    with pytest.raises(UsageError, match="is no longer the network that"):
        resume(copied)


def test_a_run_that_was_made_anew_does_not_go_on_teaching(teacher_run, tmp_path, interrupted):
    teacher = run(recipe(name="first"), tmp_path / "teacher")
    settings = taught(teacher).model_copy(update={"train": Train(epochs=2, batch_size=10)})
    with interrupted():
        run(settings, tmp_path / "student")
    run(recipe(name="first", seed=1), teacher, overwrite=True)
    with pytest.raises(UsageError, match=r"teacher is no longer the network that .*student learns from"):
        resume(tmp_path / "student")


def test_a_teacher_without_answers_or_names_is_refused(teacher_run, tmp_path):
    vit = Model(name="vit", patch_size=8, embed_dim=8, depth=1, num_heads=2)
    run(
        recipe(name="mae", model=vit, pretrain=Pretrain(method="mae", mask_ratio=0.5, decoder_dim=32)), tmp_path / "mae"
    )
    with pytest.raises(UsageError, match=r"mae has no head, so it answers nothing\. Take a run that has classes"):
        run(taught(tmp_path / "mae"), tmp_path / "student")
    unnamed = shutil.copytree(teacher_run / "model", tmp_path / "unnamed")
    config_file = unnamed / "config.json"
    config_file.write_text(json.dumps(json.loads(config_file.read_text()) | {"labels": [], "sha256": None}))
    with pytest.raises(UsageError, match="unnamed does not name its classes, so its answers cannot be matched"):
        run(taught(unnamed), tmp_path / "student")
    assert not (tmp_path / "student").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"distill": {"stored": True}}, "distill.stored makes one soft label .* Leave one of the two out"),
        ({"train": {"compile": True}}, "train.compile would do nothing for a student of two answers"),
    ],
)
def test_what_does_not_fit_a_student_of_two_answers(more, message):
    two = {"model": {"name": "vit", "distilled": True}, "distill": {"teachers": ["mien:base"]}}
    with pytest.raises(UsageError, match=message):
        config.build(two, more)


def test_the_cards_teachers_are_named_by_their_recipes(teacher_run, tmp_path):
    exported = tmp_path / "model.onnx"
    export(teacher_run, exported)
    settings = recipe(distill=Distill(teachers=(str(teacher_run), str(exported))))
    student = run(settings, tmp_path / "student")
    assert Network.open(export(student).path).card["teachers"] == ["teacher", "teacher"]
    exported.unlink()
    assert Network.open(export(student).path).card["teachers"] == ["teacher", "model.onnx"]


def test_a_shipped_network_teaches(tmp_path):
    data = DATA.model_copy(update={"size": 48})
    settings = recipe(data=data, distill=Distill(teachers=("mien:tiny",)))
    folder = run(settings, tmp_path / "run")
    assert (folder / "evaluation.json").is_file()
    with pytest.raises(MissingError, match="mien:base"):
        run(recipe(data=data, distill=Distill(teachers=("mien:bse",))), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_teacher_never_trains(teacher_run):
    settings = taught(teacher_run)
    task = build_task(settings, open_store(settings.data)).train()
    networks = cast(Task, task).teacher.networks
    assert not any(module.training for module in networks.modules())
    assert not any(parameter.requires_grad for parameter in networks.parameters())
    assert not any(key.startswith("teacher") for key in task.state_dict())


def test_a_teacher_of_other_pixels_is_refused(teacher_run):
    other = taught(teacher_run).model_copy(update={"data": Data(source="drawn_faces", size=24)})
    with pytest.raises(UsageError, match=r"trained on 16 pixels and 1 channel, this run has 24 and 1"):
        Teacher(other, classes(teacher_run))


@pytest.mark.parametrize("stored", [True, False])
def test_a_teacher_of_other_classes_is_refused_before_there_is_a_folder(teacher_run, tmp_path, stored):
    faces = Data(source="drawn_faces", size=16, images=70, mean=0.5, std=0.25, without=("happy",))
    fewer = run(recipe(name="fewer", data=faces), tmp_path / "fewer")
    with pytest.raises(DataError, match=r"distill\.teachers: .*fewer answers angry, .*Class 'happy' is not among"):
        run(taught(fewer, stored=stored), tmp_path / "student")
    assert not (tmp_path / "student").exists()


def test_the_distillation_token_has_an_answer_of_its_own():
    model = create_model("vit", img_size=8, patch_size=4, embed_dim=8, depth=1, num_heads=2, distilled=True)
    torch.nn.init.normal_(model.head.weight)
    torch.nn.init.normal_(model.head_dist.weight)
    images = torch.rand(3, 1, 8, 8)
    own, taught_answer = two_answers(model.eval(), images)
    assert not torch.allclose(own, taught_answer)
    torch.testing.assert_close((own + taught_answer) / 2, model(images))


class Row(torch.nn.Module):
    """A network that answers with seven pixels of one row of the image, and remembers what it was shown."""

    preprocessing = Preprocessing(size=16, mean=0.5, std=0.25)

    def __init__(self, row: int) -> None:
        super().__init__()
        self.row = row

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.shown = images
        return images[:, 0, self.row, :7]


def test_the_loss_is_shared_between_labels_and_teacher(teacher_run, monkeypatch):
    """3/4 cross-entropy with mixed, smooth labels and 1/4 of 4 KL at T = 2 with what a teacher says of mixed pixels."""
    settings = taught(teacher_run, weight=0.25).model_copy(
        update={"augment": Augment(mixup=1.0), "train": Train(label_smoothing=0.1)}
    )
    teacher = Teacher(settings, classes(teacher_run))
    teacher.networks, teacher.columns = torch.nn.ModuleList([Row(1)]), [list(range(7))]
    task = Task(settings, Row(0), Row.preprocessing, np.full(7, 10), teacher)
    monkeypatch.setattr(task, "_count", lambda *_: None)
    draws = task.augmentation.draw(4, stream(3))
    monkeypatch.setattr(task, "_changed", lambda given: (given.float() / 255, draws))
    images = torch.randint(0, 256, (4, 1, 16, 16), generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 1, 2, 3])
    loss = task.training_step((images, labels), 0)

    share = draws["share"][:, None]  # pairs 0 and 1, 2 and 3 share one
    partners = [1, 0, 3, 2]
    scaled = (images / 255 - 0.5) / 0.25
    mixed = scaled * share[..., None, None] + scaled[partners] * (1 - share[..., None, None])
    torch.testing.assert_close(teacher.networks[0].shown, mixed)
    one_hot = torch.eye(7)[labels]
    targets = 0.9 * (one_hot * share + one_hot[partners] * (1 - share)) + 0.1 / 7
    by_labels = -(targets * mixed[:, 0, 0, :7].log_softmax(1)).sum(1).mean()
    own, answers = (mixed[:, 0, row, :7].div(2).log_softmax(1) for row in (0, 1))
    by_teacher = 4 * (answers.exp() * (answers - own)).sum(1).mean()
    torch.testing.assert_close(loss, 0.75 * by_labels + 0.25 * by_teacher)
    assert (share < 0.9).any()


def test_a_vit_is_asked_about_whole_images_and_a_resnet_about_crops(teacher_run, tmp_path):
    vit = Model(name="vit", patch_size=8, embed_dim=8, depth=1, num_heads=2)
    run(recipe(name="vit", model=vit), tmp_path / "vit")
    settings = taught(tmp_path / "vit").model_copy(update={"augment": Augment(crop=12)})
    teacher = Teacher(settings, classes(teacher_run))
    crops = torch.rand(3, 1, 12, 12)
    whole = torch.nn.functional.pad(crops, (2, 2, 2, 2), mode="replicate")
    torch.testing.assert_close(teacher(crops), teacher(whole))
    of_a_resnet = settings.model_copy(update={"distill": Distill(teachers=(str(teacher_run),))})
    resnet = Teacher(of_a_resnet, classes(teacher_run))
    assert not torch.allclose(resnet(crops), resnet(whole))
    assert (run(settings, tmp_path / "student") / "evaluation.json").exists()


def test_a_student_run_keeps_no_teacher(teacher_run, tmp_path):
    model = Model(name="vit", patch_size=8, embed_dim=8, depth=1, num_heads=2, distilled=True)
    settings = taught(teacher_run, kind="hard").model_copy(update={"model": model, "name": "student"})
    folder = run(settings, tmp_path / "student")
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert not any("teacher" in key or "networks" in key for key in state)
    assert read_recipe(folder).distill.teachers == (str(teacher_run),)
    assert (folder / "evaluation.json").exists()


def test_a_teacher_of_ones_own_may_view_what_its_convolution_gives(teacher_run, tmp_path, monkeypatch):
    """Which needs memory that is laid out channel by channel."""
    (tmp_path / "flat_net.py").write_text(
        "from torch import nn\n\n\nclass Flat(nn.Module):\n"
        "    def __init__(self, img_size=12, in_chans=1, num_classes=7):\n        super().__init__()\n"
        "        self.conv = nn.Conv2d(in_chans, 3, 3)\n"
        "        self.head = nn.Linear(3 * (img_size - 2) ** 2, num_classes)\n\n"
        "    def forward(self, x):\n        x = self.conv(x)\n        return self.head(x.view(x.size(0), -1))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    student = recipe(name="own", model={"name": "flat_net:Flat"})
    own = run(student, tmp_path / "run")
    teacher = Teacher(taught(own), classes(own))
    side = student.data.size
    assert teacher(torch.rand(2, 1, side, side)).shape == (2, 7)
    (shipped,) = Teacher(taught(teacher_run), classes(teacher_run)).networks
    convolutions = [each for each in shipped.modules() if isinstance(each, torch.nn.Conv2d)]
    assert convolutions
    assert all(each.weight.is_contiguous(memory_format=torch.channels_last) for each in convolutions)


def test_networks_that_were_moved_are_found_where_they_lie_now(teacher_run, tmp_path, monkeypatch):
    """A run that was stopped before its first epoch ended needs the network that it starts from, and its teachers."""
    start, teacher = (Path(shutil.copytree(teacher_run, tmp_path / name)) for name in ("start", "teacher"))
    begun = recipe(model=Model(init=str(start)), distill=Distill(teachers=(str(teacher),), stored=False))
    with monkeypatch.context() as stopped:
        stopped.setattr("mien.train.run.fit", lambda *_, **__: False)
        folder = run(begun, tmp_path / "run")
    shutil.move(start, tmp_path / "start_now")
    shutil.move(teacher, tmp_path / "teacher_now")
    words = ["run", str(folder), "--resume"]
    places = {"--model.init": "start_now", "--distill.teachers": "teacher_now"}
    with pytest.raises(MissingError, match=r"needs the network that lay at .*start\. .*: `model.init`"):
        resume(folder)
    with pytest.raises(MissingError, match=r"lay at .*teacher\. .*: `distill.teachers`"):
        mien.resume(folder, init=tmp_path / "start_now")
    other = run(recipe(name="other", seed=5), tmp_path / "other")
    for setting, what in (("init", "starts from"), ("teachers", "learns from")):
        given = {"init": tmp_path / "start_now", "teachers": [tmp_path / "teacher_now"]}
        given |= {setting: [other] if setting == "teachers" else other}
        with pytest.raises(UsageError, match=f"other is no longer the network that .* {what}"):
            mien.resume(folder, **given)
    with pytest.raises(UsageError, match="1 teachers, given 2"):
        mien.resume(folder, init=tmp_path / "start_now", teachers=["a", "b"])
    assert main([*words, *(word for flag, name in places.items() for word in (flag, str(tmp_path / name)))]) == 0
    assert mien.Run.open(folder).scores["validation"].images
    assert main([*words, "--train.lr", "9"]) == 2
