"""What blocks keep for the gradients, and compute again, changes nothing but the memory."""

import copy

import pytest
import torch

from mien.config import Data, Model, Recipe, Train
from mien.errors import UsageError
from mien.models import create_model
from mien.train import gradient_checkpointing, run

VIT = {"patch_size": 4, "embed_dim": 32, "depth": 4, "num_heads": 2, "drop_rate": 0.1, "drop_path_rate": 0.2}
NETWORKS = {
    "vit": VIT,
    "resnet": {"widths": (4, 8), "layers": (1, 2), "squeeze_excitation": True},
    "vtff": {"embed_dim": 16, "depth": 2, "num_heads": 2},
}


def step(network):
    """The gradients and buffers after one forward and backward pass, and how many bytes were kept for the gradients."""
    kept = 0

    def count(tensor):
        nonlocal kept
        kept += tensor.numel() * tensor.element_size()
        return tensor

    torch.manual_seed(0)
    images = torch.rand(6, 1, 32, 32)
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        loss = network(images).square().mean()
    loss.backward()
    return [each.grad for each in network.parameters() if each.grad is not None], dict(network.named_buffers()), kept


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_random_numbers_and_running_averages_are_the_same(name):
    plain = create_model(name, img_size=32, in_chans=1, num_classes=3, **NETWORKS[name]).train()
    again = copy.deepcopy(plain)
    gradient_checkpointing.checkpoint_blocks(again)
    (one, buffers, kept), (two, same, less) = step(plain), step(again)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert all(torch.equal(buffers[key], same[key]) for key in buffers)
    assert less < kept
    with torch.no_grad():
        images = torch.rand(2, 1, 32, 32)
        assert torch.equal(plain.eval()(images), again.eval()(images))


def test_a_deep_network_keeps_a_fraction():
    network = create_model("vit", img_size=32, in_chans=1, num_classes=3, **{**VIT, "depth": 12}).train()
    *_, kept = step(network)
    gradient_checkpointing.checkpoint_blocks(network)
    *_, less = step(network)
    assert less < kept / 5


@pytest.mark.parametrize("pretrain", ["none", "mae"])
def test_a_run_ends_with_the_same_weights(tmp_path, monkeypatch, pretrain):
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    recipe = Recipe(
        data=Data(source="drawn_faces", images=70, size=16),
        model=Model(name="vit", patch_size=4, embed_dim=16, depth=2, num_heads=2, drop_rate=0.1),
        train=Train(epochs=1, batch_size=35, precision="fp32", ema=0.9),
        pretrain={"method": pretrain},
    )
    saving = recipe.with_(train={"gradient_checkpointing": True})
    folders = [run.run(each, tmp_path / name) for each, name in ((recipe, "plain"), (saving, "saving"))]
    one, two = (folder / "model" / "model.safetensors" for folder in folders)
    assert one.read_bytes() == two.read_bytes()


def test_a_network_without_blocks_is_refused(tmp_path):
    recipe = Recipe(
        data=Data(source="drawn_faces", images=70, size=16), model=Model(name="cnn_v2", widths=(4,)),
        train=Train(gradient_checkpointing=True),
    )  # fmt: skip
    with pytest.raises(UsageError, match=r"computes a network's blocks again, and 'cnn_v2' has none\. Leave it out"):
        run.run(recipe, tmp_path / "run")
