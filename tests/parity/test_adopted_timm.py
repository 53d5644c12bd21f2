"""Folders as timm's push_to_hf_hub writes them: adopted and exported, they answer as they did. Random weights."""

import json

import numpy as np
import pytest
import torch
from noise_pictures import LABELS, draw_noise
from PIL import Image

import mien
from mien.errors import DataError
from mien.runtime.network import Network, softmax

HOW = "the reference libraries are not installed: .ci/run does it, apart from mien's own (CONTRIBUTING.md)"
pytest.importorskip("torchvision", reason=HOW)
timm = pytest.importorskip("timm", reason=HOW)

# Name -> what makes it small.
NETWORKS = {
    "beit_base_patch16_224": {"img_size": 32, "depth": 1, "embed_dim": 24, "num_heads": 3},
    "ghostnet_050": {},
    "mobilevit_xxs": {},
    "swin_tiny_patch4_window7_224": {"img_size": 32, "depths": (1, 2), "embed_dim": 24, "num_heads": (2, 4)}
    | {"window_size": 4},
    "vit_small_patch14_reg4_dinov2": {"img_size": 28, "depth": 1, "embed_dim": 24, "num_heads": 3},
    "vit_small_patch16_dinov3": {"img_size": 32, "depth": 1, "embed_dim": 24, "num_heads": 3},
}
SIDE = 32  # of networks that take any


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return draw_noise(tmp_path_factory.mktemp("pictures"), 3, (13, 9), times=4)


def pushed(name, folder):
    """A network of timm's and the folder that timm writes of it."""
    torch.manual_seed(1)
    network = timm.create_model(name, num_classes=len(LABELS), **NETWORKS[name]).eval()
    with torch.no_grad():
        for key, parameter in network.named_parameters():
            if "gamma" in key:
                parameter.fill_(0.5)
            elif parameter.ndim > 1:
                parameter.normal_(std=parameter[0].numel() ** -0.5)  # no answer is all but the same for each picture
    side = NETWORKS[name].get("img_size", SIDE)
    pixels = {"input_size": (3, side, side), "mean": (0.4, 0.5, 0.6), "interpolation": "bilinear"}
    timm.models.save_for_hf(
        network, folder, model_config={"label_names": list(LABELS)}, safe_serialization="both", data_config=pixels
    )
    return network


def logits_of(network, paths):
    """What timm answers to pictures, through its own preprocessing, (N, K)."""
    transform = timm.data.create_transform(**timm.data.resolve_data_config(network.pretrained_cfg, model=network))
    with torch.no_grad():
        return network(torch.stack([transform(Image.open(path).convert("RGB")) for path in paths])).numpy()


@pytest.mark.parametrize("name", NETWORKS)
def test_adopted_and_exported_it_answers_as_it_did(name, tmp_path, pictures):
    pushed(name, tmp_path / "pushed")
    run = mien.adopt(tmp_path / "pushed", tmp_path / "run", data=pictures)
    found = run.predictions()
    assert found.classes == LABELS
    assert mien.from_pretrained(run).name == f"timm:{name}"
    reread = timm.create_model(f"local-dir:{tmp_path / 'pushed'}", pretrained=True).eval()
    expected = logits_of(reread, [pictures / each for each in found.names])
    assert expected.std(axis=0).min() > 1e-3
    assert found.probabilities == pytest.approx(softmax(expected), abs=1e-5)
    exported = mien.export(run, weights="fp32")
    network = Network.open(exported.path)
    pixels = np.stack([network.preprocessing.pixels(Image.open(pictures / each)) for each in found.names])
    answers = network.run(network.preprocessing.scale(pixels.astype(np.float32) / 255))
    assert answers == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"architecture": "ghost_050"}, "holds timm's ghost_050: .*Did you mean 'ghostnet_050'"),
        (
            {"model_args": {"bn_eps": 0.1}},
            r"model_args\.bn_eps in its config\.json is 0\.1; mien builds timm:ghostnet_050",
        ),
        ({"architecture": "ghostnet_100"}, "holds timm's ghostnet_100: .* does not fit the model"),
        ({"pretrained_cfg": {"input_size": [3, 32, 64]}}, r"pretrained_cfg\.input_size .*see squares"),
    ],
    ids=["name", "argument", "weights", "squares"],
)
def test_what_would_answer_otherwise_is_refused(changes, sentence, tmp_path):
    pushed("ghostnet_050", tmp_path)
    told = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(told | changes))
    with pytest.raises(DataError, match=sentence):
        mien.adopt(tmp_path, tmp_path / "run")


def test_classes_by_their_numbers(tmp_path):
    pushed("ghostnet_050", tmp_path)
    told = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(told | {"label_names": dict(enumerate(LABELS))}))
    assert mien.from_pretrained(tmp_path).labels == LABELS
