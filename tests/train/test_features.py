"""A head on stored features: the same run as through the frozen backbone, in a fraction of the time."""

import json

import pytest
import torch
from safetensors.torch import load_file

from mien import config
from mien.config import Data, Model, Recipe, Train
from mien.data import open_store
from mien.models import create_model
from mien.runs.history import read_epochs
from mien.train import features, run
from mien.train.build import build_model

RECIPE = Recipe(
    name="tiny",
    data=Data(source="drawn_faces", images=70, size=16),
    model=Model(name="vit", patch_size=4, embed_dim=16, depth=3, num_heads=2, drop_rate=0.1, drop_path_rate=0.1),
    train=Train(epochs=4, batch_size=14, ema=0.9, precision="fp32"),
)


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    torch.manual_seed(0)


def change(recipe=RECIPE, **sections):
    return config.build(recipe.model_dump(), sections)


def weights(folder):
    return load_file(folder / "model" / "model.safetensors")


def split_off_head(state):
    """The weights of the head, and the others."""
    head = {name for name in state if name.startswith(("head", "fc"))}
    return {name: state[name] for name in head}, {name: state[name] for name in state.keys() - head}


@pytest.mark.parametrize(
    "model",
    [
        {"head_hidden": (11, 5), "head_batch_norm": True, "head_drop_rate": 0.3, "drop_rate": 0.4},
        {"distilled": True, "init": "torch"},
        {"name": "resnet", "widths": (3, 5, 7), "layers": (1, 1, 1), "drop_rate": 0.4},
    ],
)
def test_stored_features_give_the_same_run(tmp_path, monkeypatch, model):
    """Dropout and drop-path of the backbone do not matter; those of the head draw the same numbers."""
    recipe = change(model=model, train={"trainable": "head", "epochs": 3, "optimizer": "sgd", "lr": 0.1})
    calls = []
    store_features = features.store_features
    monkeypatch.setattr(features, "store_features", lambda *given: calls.append(1) or store_features(*given))
    stored = run.run(recipe, tmp_path / "stored")
    assert calls == [1]
    monkeypatch.setattr(features, "can_be_stored", lambda recipe: False)
    ordinary = run.run(recipe, tmp_path / "ordinary")
    assert calls == [1]
    a, b = weights(stored), weights(ordinary)
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=1e-5)
    rows = [read_epochs(folder) for folder in (stored, ordinary)]
    for one, other in zip(*rows, strict=True):
        for column in ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "lr"):
            assert one[column] == pytest.approx(other[column], abs=1e-5)
    before, frozen = split_off_head(build_model(recipe, open_store(recipe.data)).state_dict())
    assert all(torch.equal(frozen[name], b[name]) and torch.equal(frozen[name], a[name]) for name in frozen)
    assert not any(torch.equal(before[name], a[name]) for name in before if before[name].dim() == 2)


def test_features_are_stored_only_where_every_epoch_would_see_the_same():
    head = change(train={"trainable": "head"})
    assert features.can_be_stored(head)
    assert not features.can_be_stored(RECIPE)
    for setting in ({"hflip": 0.5}, {"scale": (0.9, 1)}, {"crop": 12}, {"mixup": 0.2}, {"randaugment": 1}):
        assert not features.can_be_stored(change(head, augment=setting))
    assert features.can_be_stored(change(head, augment={"erase_area": (0.1, 0.2), "magnitude": 3}))


def test_muon_leaves_a_head_on_features_to_adamw():
    """As where the head trains with its backbone: its hidden layers are matrices too."""
    settings = {"trainable": "head", "optimizer": "muon", "lr": 0.02, "adam_lr": 0.003}
    train = features.head_recipe(change(train=settings)).train
    assert (train.optimizer, train.lr, train.trainable) == ("adamw", 0.003, "all")


def test_stored_features_are_those_of_the_frozen_model():
    store = open_store(RECIPE.data)
    model = create_model("vit", img_size=16, patch_size=8, embed_dim=8, depth=1, num_heads=2, drop_rate=0.5)
    held = features.store_features(model, store, "cpu", "fp32", "vit")
    assert held.images.dtype == "float32"
    assert held.images.shape == (len(store), 8)
    position = store.indices("validation")[3]
    image = store.preprocessing.scale(torch.from_numpy(store.images[[position]]).float() / 255)
    expected = model.eval().forward_features(image)[:, 0]
    torch.testing.assert_close(torch.from_numpy(held.images[position])[None], expected, rtol=1e-4, atol=1e-5)
    assert not held.images[store.indices("test")].any()


def test_a_head_on_features_notes_what_they_cost(tmp_path):
    folder = run.run(change(train={"trainable": "head", "epochs": 1, "precision": "bf16"}), tmp_path / "run")
    env = json.loads((folder / "env.json").read_text())
    assert 0 < env["feature_seconds"] <= env["seconds"]
    assert set(torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]) >= {"model.weight"}
    assert json.loads((folder / "evaluation.json").read_text())["validation"]["images"] == 70
