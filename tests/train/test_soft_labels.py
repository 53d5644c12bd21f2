"""Training on the probabilities of the classes, where a source has them."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mien import config
from mien.config import Augment, Data, Model, Recipe, Train
from mien.data import open_store
from mien.data.augment import Augmentation, stream
from mien.data.batches import TrainBatches
from mien.runs import Predictions
from mien.train import run
from mien.train.task import Task

RECIPE = Recipe(
    name="soft",
    device="cpu",
    data=Data(source="ferplus", size=16),
    model=Model(name="resnet", widths=(4, 8), layers=(1, 1)),
    train=Train(epochs=1, batch_size=16, precision="fp32"),
)
VOTES = ("6,0,0,4", "0,7,0,3", "3,0,7,0", "0,4,0,6")  # for neutral, happiness, surprise and sadness


@pytest.fixture(scope="module")
def votes(tmp_path_factory):
    """32 training pictures of four expressions, whose votes are never of one mind, and 8 for validation."""
    folder = tmp_path_factory.mktemp("ferplus")
    random = np.random.default_rng(0)
    usages = ["Training"] * 32 + ["PublicTest"] * 8
    faces = [f"0,{' '.join(map(str, random.integers(0, 256, 48 * 48)))},{usage}" for usage in usages]
    rows = [f"{usage},f.png,{VOTES[i % 4]},0,0,0,0,0,0" for i, usage in enumerate(usages)]
    names = "neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    (folder / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *faces]))
    (folder / "fer2013new.csv").write_text("\n".join([f"Usage,Image name,{names}", *rows]))
    return folder


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def recipe(votes, **sections) -> Recipe:
    data = {"path": votes, "without": ["angry", "disgust", "fear", "contempt"]} | sections.pop("data", {})
    return config.build(RECIPE.model_dump(), {"data": data}, sections)


def loss_of(settings: Recipe, soft: list[list[float]], logits: list[list[float]]) -> float:
    """The loss of a step of a model that gives these logits; the classes have 10 and 30 images."""
    task = Task(settings, torch.nn.Identity(), None, np.array([10, 30]))
    task._count = lambda *_: None
    return task.training_step((torch.tensor(logits), torch.tensor(soft)), 0).item()


def test_the_loss_is_the_cross_entropy_with_the_votes():
    """Logits ln(3/4), ln(1/4) against votes (3/5, 2/5): 0.6 ln(4/3) + 0.4 ln 4."""
    logits = [[math.log(0.75), math.log(0.25)]]
    expected = 0.6 * math.log(4 / 3) + 0.4 * math.log(4)
    assert loss_of(Recipe(), [[0.6, 0.4]], logits) == pytest.approx(expected)
    smoothed = 0.55 * math.log(4 / 3) + 0.45 * math.log(4)  # half of the target is shared out: 0.3 + 0.25
    assert loss_of(Recipe(train=Train(label_smoothing=0.5)), [[0.6, 0.4]], logits) == pytest.approx(smoothed)
    weighted = 2 * 0.6 * math.log(4 / 3) + 2 / 3 * 0.4 * math.log(4)  # weights 40 / (2 * 10) and 40 / (2 * 30)
    assert loss_of(Recipe(train=Train(class_weights=True)), [[0.6, 0.4]], logits) == pytest.approx(weighted)


def test_train_accuracy_counts_the_larger_part_of_a_mixed_image(monkeypatch):
    """Of three images labelled 0, 1, 1, the first two are mostly each other's; the answers 1, 0, 0 are right in two."""
    task = Task(Recipe(), torch.nn.Identity(), None, np.array([10, 30]))
    mixed = torch.tensor([[0.3, 0.7], [0.7, 0.3], [0.0, 1.0]])
    monkeypatch.setattr(task, "_log", lambda *_: None)
    monkeypatch.setattr(task, "_augmented", lambda images, labels: (images, mixed))
    task.training_step((torch.tensor([[0.0, 1.0], [2.0, 0.0], [3.0, 0.0]]), torch.tensor([0, 1, 1])), 0)
    assert task.train_accuracy.compute().item() == pytest.approx(2 / 3)


def test_soft_labels_are_mixed_as_the_images_are():
    augmentation = Augmentation(Augment(mixup=1.0), 2)
    images = torch.tensor([0.0, 1.0])[:, None, None, None].expand(-1, 1, 4, 4)
    soft = torch.tensor([[0.6, 0.4], [0.1, 0.9]])
    mixed, targets = augmentation.mix(images, soft, augmentation.draw(2, stream(1)))
    share = mixed[:, 0, 0, 0][:, None]  # of the second image
    torch.testing.assert_close(targets, (1 - share) * soft[0] + share * soft[1])


def test_training_batches_hold_the_votes_of_their_images(votes):
    store = open_store(recipe(votes).data)
    wanted = {store.images[i].tobytes(): store.soft_labels[i] for i in store.indices("train")}
    for images, soft in TrainBatches(store, 8, seed=0, balanced=True):
        for image, row in zip(images.numpy(), soft.numpy(), strict=True):
            np.testing.assert_array_equal(row, wanted[image.tobytes()])
    hard = TrainBatches(replace(store, soft_labels=None), 8, seed=0)
    assert next(iter(hard))[1].dtype == torch.int64


def test_a_run_learns_the_votes_and_is_scored_on_the_majority(votes, tmp_path):
    """With nothing but an output bias to learn, the output becomes the mean vote; hard labels give 1/4 each."""
    train = {"epochs": 8, "lr": 4.0, "schedule": "constant", "batch_size": 32, "optimizer": "sgd"}
    train |= {"momentum": 0, "checkpoint_every": 8}
    answers = {}
    for soft in (True, False):
        settings = recipe(votes, data={"soft_labels": soft}, train=train, model={"name": f"{__name__}:Ignorant"})
        folder = run.run(settings, tmp_path / str(soft))
        (last,) = (folder / "checkpoints").glob("epoch*.ckpt")
        bias = torch.load(last, weights_only=True)["state_dict"]["model.bias"]
        found = Predictions.load(folder / "predictions.npz")
        answers[soft] = dict(zip(found.classes, bias.softmax(dim=0).tolist(), strict=True))
        assert [found.classes[label] for label in found.labels] == ["neutral", "happy", "surprise", "sad"] * 2
        left_out = json.loads((folder / "env.json").read_text())["store"]["left_out"]
        assert left_out["of angry, disgust, fear, contempt"] == 0
    mean = {"neutral": 0.225, "happy": 0.275, "surprise": 0.175, "sad": 0.325}
    assert answers[True] == pytest.approx(mean, abs=1e-3)
    assert answers[False] == pytest.approx(dict.fromkeys(mean, 0.25), abs=1e-3)


class Ignorant(torch.nn.Module):
    """Logits that do not depend on the image."""

    def __init__(self, img_size: int, in_chans: int, num_classes: int) -> None:
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(num_classes))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.new_zeros(len(images), 1) + self.bias  # (B, 1) + (K,) -> (B, K)


def test_everything_together(votes, tmp_path):
    """Mixup, label smoothing, class weights, the balanced sampler and a teacher; and a head on stored features."""
    teacher = run.run(recipe(votes), tmp_path / "teacher")
    together = {"label_smoothing": 0.1, "class_weights": True, "sampler": "balanced"}
    settings = recipe(
        votes, train=together, augment={"mixup": 0.4, "cutmix": 1.0}, distill={"teachers": [str(teacher)]}
    )
    stored = recipe(votes, train={"trainable": "head", "class_weights": True}, model={"init": str(teacher)})
    for number, chosen in enumerate((settings, stored)):
        folder = run.run(chosen, tmp_path / str(number))
        assert (folder / "evaluation.json").exists()
        assert math.isfinite(json.loads((folder / "env.json").read_text())["initial_loss"])
