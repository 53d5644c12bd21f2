"""Reading checkpoints: what is adapted, and what is refused. Equality with the reference libraries: tests/parity."""

import json
import os
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import mien
from mien import plugins, pretrained
from mien.errors import DataError, MissingError, UsageError
from mien.models import create_model
from mien.models.vit import VisionTransformer
from mien.models.vit_sizes import VitSizes
from mien.preprocessing import Preprocessing
from mien.pretrained.own import save_folder as save_own

SIZES = {"img_size": 15, "patch_size": 5, "embed_dim": 24, "depth": 2, "num_heads": 3, "num_classes": 5}


def network(**sizes) -> VisionTransformer:
    return VisionTransformer(VitSizes(**sizes))


@pytest.fixture
def vit():
    torch.manual_seed(0)
    model = network(in_chans=3, init="torch", **SIZES)
    for value in model.state_dict().values():
        value.copy_(torch.randn_like(value) * 0.1)
    return model.eval()


@pytest.fixture
def file(vit, tmp_path):
    save_file(vit.state_dict(), tmp_path / "vit.safetensors")
    return tmp_path / "vit.safetensors"


def changed(file, change):
    """The file again with its tensors changed by a function."""
    weights = pretrained.weight_files.read_weights(file)
    change(weights)
    save_file(weights, file.with_name("changed.safetensors"))
    return file.with_name("changed.safetensors")


def test_grey_pictures_get_the_same_answer_from_adapted_kernels(vit, file):
    checkpoint = pretrained.read(file, num_heads=3)
    object.__setattr__(checkpoint, "mean", (0.485, 0.456, 0.406))
    object.__setattr__(checkpoint, "std", (0.229, 0.224, 0.225))
    grey = torch.rand(2, 1, 15, 15)
    colour = Preprocessing(size=15, channels=3, mean=checkpoint.mean, std=checkpoint.std)
    mean, std = checkpoint.scale_of(1)
    adapted = checkpoint.build(in_chans=1).eval()
    expected = vit(colour.scale(grey.expand(-1, 3, -1, -1)))
    torch.testing.assert_close(adapted((grey - mean) / std), expected, rtol=0, atol=1e-5)


def test_colour_from_a_network_trained_on_grey():
    torch.manual_seed(0)
    model = network(in_chans=1, init="torch", **SIZES).eval()
    weights = model.state_dict()
    checkpoint = pretrained.Checkpoint("vit", {**SIZES, "in_chans": 1}, weights, "ours")
    grey = torch.rand(2, 1, 15, 15)
    torch.testing.assert_close(checkpoint.build(in_chans=3).eval()(grey.expand(-1, 3, -1, -1)), model(grey))


def test_another_size_resizes_the_positions(file):
    model = pretrained.read(file, num_heads=3).build(img_size=25)
    assert model.pos_embed.shape == (1, 1 + 25, 24)
    assert model(torch.zeros(1, 3, 25, 25)).shape == (1, 5)


@pytest.mark.parametrize("size", [10, 25, 35])
@pytest.mark.parametrize("kind", ["learn2d", "relative"])
def test_another_size_resizes_rows_columns_and_offsets(kind, size):
    torch.manual_seed(0)
    sizes = {**SIZES, "pos_embed": kind}
    weights = network(**sizes).state_dict()
    names = [name for name in weights if name.rpartition(".")[2] in ("rows", "columns", "table")]
    assert len(names) == 2
    checkpoint = pretrained.Checkpoint("vit", sizes, weights, "ours")
    model = checkpoint.build(img_size=size).eval()
    assert model(torch.zeros(1, 1, size, size)).shape == (1, 5)
    for name in names:  # what is the same everywhere stays so
        weights[name] = torch.full_like(weights[name], 0.25)
    even = checkpoint.build(img_size=size).state_dict()
    for name in names:
        torch.testing.assert_close(even[name], torch.full_like(even[name], 0.25))


def test_rows_are_resized_in_a_line():
    rows = torch.stack([torch.arange(4.0), 7 - 2 * torch.arange(4.0)], dim=1)
    found = pretrained.checkpoint.resize_line(rows, 8)
    places = (torch.arange(8) + 0.5) / 2 - 0.5  # middles of the new rows, in old rows
    torch.testing.assert_close(found[1:-1, 0], places[1:-1])
    torch.testing.assert_close(found[1:-1, 1], 7 - 2 * places[1:-1])
    torch.testing.assert_close(pretrained.checkpoint.resize_line(rows, 4), rows)
    torch.testing.assert_close(pretrained.checkpoint.resize_line(rows, 2)[:, 0].mean(), rows[:, 0].mean())


def test_offsets_are_resized_around_no_offset_at_all():
    """A bias that falls with the distance, by rows more than by columns, still does so, and as far in the image."""

    def biases(grid):
        offsets = torch.arange(-(grid - 1), grid) / grid  # in sides of the image
        return torch.exp(-8 * offsets[:, None] ** 2 - 2 * offsets**2).flatten()

    table = torch.stack([biases(6), -biases(6)], dim=1)
    for grid in (4, 9, 12):
        found = pretrained.checkpoint.resize_offsets(table, grid)
        torch.testing.assert_close(found[:, 0], biases(grid), rtol=0, atol=0.08)
        torch.testing.assert_close(found[:, 1], -found[:, 0])
        assert found[:, 0].argmax() == ((2 * grid - 1) ** 2) // 2
    torch.testing.assert_close(pretrained.checkpoint.resize_offsets(table, 6), table)
    with pytest.raises(DataError, match="80 relative positions are not those of the offsets"):
        pretrained.checkpoint.resize_offsets(torch.zeros(80, 2), 3)


def test_a_new_head_for_other_classes(vit, file):
    checkpoint = pretrained.read(file, num_heads=3)
    model = checkpoint.build(num_classes=2)
    assert model.head.weight.shape == (2, 24)
    torch.testing.assert_close(model.blocks[1].attn.qkv.weight, vit.blocks[1].attn.qkv.weight)
    same_count = checkpoint.build(labels=tuple("abcde"))
    assert not same_count.head.weight.any()  # five other classes: a fresh head, not the old one


def test_sizes_of_the_weights_cannot_be_changed(file):
    with pytest.raises(UsageError, match=r"was trained with depth 2, not 3\. Leave `model\.depth` out"):
        pretrained.read(file, num_heads=3).build(depth=3)
    with pytest.raises(UsageError, match=r"was trained with patch_size 5, not 4"):
        pretrained.read(file, num_heads=3).build(patch_size=4)
    with pytest.raises(UsageError, match=r"img_size \(=16\) must be divisible by patch_size \(=5\)"):
        pretrained.read(file, num_heads=3).build(img_size=16)


def test_unknown_width_needs_its_heads(file):
    with pytest.raises(UsageError, match=r"the heads of a ViT of width 24 are not known\. Give `model\.num_heads`"):
        pretrained.read(file)


def test_missing_and_surplus_tensors_are_named(file):
    lacking = changed(file, lambda weights: weights.pop("blocks.1.norm2.bias"))
    with pytest.raises(DataError, match=r"it lacks blocks\.1\.norm2\.bias\."):
        pretrained.read(lacking, 3).build()
    surplus = changed(file, lambda weights: weights.update({"blocks.1.gamma": torch.zeros(3)}))
    with pytest.raises(DataError, match=r"it has unknown blocks\.1\.gamma\."):
        pretrained.read(surplus, 3).build()
    reshaped = changed(file, lambda weights: weights.update({"norm.bias": torch.zeros(7)}))
    with pytest.raises(DataError, match=r"norm\.bias is \(7,\), not \(24,\)"):
        pretrained.read(reshaped, 3).build()


def test_a_truncated_file(file):
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"vit\.safetensors is cut short: [\d,]+ of [\d,]+ bytes are there"):
        pretrained.read(file, 3)


@pytest.mark.parametrize("name", ["a.pth", "a.npz", "a.safetensors"])
def test_a_file_of_another_format(tmp_path, name):
    (tmp_path / name).write_text("not weights at all")
    with pytest.raises(DataError, match=f"{name} (is damaged or no|holds more than tensors)"):
        pretrained.read(tmp_path / name)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match=r"no file of weights that mien reads \(\.safetensors, \.pth"):
        pretrained.read(tmp_path / "a.txt")


def test_an_npz_of_words_or_with_flipped_bits(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", kernel=np.zeros((8, 8), dtype=np.float32))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[60:64] = b"\xff" * 4  # where the compressed array begins: zlib.error
    (tmp_path / "a.npz").write_bytes(content)
    np.savez(tmp_path / "b.npz", names=np.array(["a", "b"]))
    np.save(tmp_path / "c.npy", np.zeros(3))
    (tmp_path / "c.npy").rename(tmp_path / "c.npz")
    for name in ("a.npz", "b.npz", "c.npz"):
        with pytest.raises(DataError, match=f"{name} is damaged or no .npz file"):
            pretrained.read(tmp_path / name)


class Code:
    """Pickled, it creates a file when it is loaded."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return (os.mkdir, (str(self.trace),))


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path):
    for name, save in (("a.pth", torch.save), ("b.bin", lambda value, path: path.write_bytes(pickle.dumps(value)))):
        save({"weight": Code(tmp_path / "trace")}, tmp_path / name)
        with pytest.raises(DataError, match=rf"{name} holds more than tensors( \(.+\))?\. It could run code") as caught:
            pretrained.read(tmp_path / name)
        assert "weights_only" not in str(caught.value)  # torch's advice, which would run it
    np.savez(tmp_path / "c.npz", weight=np.array([Code(tmp_path / "trace")], dtype=object))
    with pytest.raises(DataError, match=r"c\.npz is damaged or no \.npz file: .*allow_pickle"):
        pretrained.read(tmp_path / "c.npz")
    assert not (tmp_path / "trace").exists()


def test_foreign_tensors(tmp_path):
    save_file({"encoder.weight": torch.zeros(3)}, tmp_path / "x.safetensors")
    with pytest.raises(
        DataError, match=r"no Vision Transformer or ResNet that mien knows: its tensors are named encoder"
    ):
        pretrained.read(tmp_path / "x.safetensors")
    save_file(
        {"layer1.0.conv1.weight": torch.zeros(1), "layer1.0.conv3.weight": torch.zeros(1)}, tmp_path / "r.safetensors"
    )
    with pytest.raises(DataError, match="bottleneck blocks"):
        pretrained.read(tmp_path / "r.safetensors")


def test_what_is_not_there(tmp_path, file):
    with pytest.raises(
        MissingError, match=r"vit\.safetensor: there is no such file or folder\. Did you mean '.*vit\.safet"
    ):
        pretrained.read(file.with_suffix(".safetensor"))
    with pytest.raises(MissingError, match=r"A model on the Hugging Face hub is hf-hub:google/vit"):
        pretrained.read("google/vit-base-patch16-224")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingError, match=r"empty holds none of model\.safetensors"):
        pretrained.read(tmp_path / "empty")
    with pytest.raises(MissingError, match=r"mien:vit-huge does not come with mien"):
        pretrained.read("mien:vit-huge")


def test_no_network_says_which_files_to_put_where(monkeypatch, tmp_path):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        MissingError, match=r"hub cannot be reached .*Put its config\.json and model\.safetensors into a folder"
    ):
        pretrained.read("hf-hub:google/vit-base-patch16-224")


def test_an_unknown_hub_id(monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    import huggingface_hub.errors as errors

    def unknown(*arguments, **keywords):
        raise errors.HFValidationError("bad id")

    monkeypatch.setattr(hub, "list_repo_files", unknown)
    with pytest.raises(MissingError, match=r"the hub has no such model that you may read\. An id is OWNER/NAME"):
        pretrained.read("hf-hub:nobody//nothing")


def test_a_classifier_saved_and_loaded_again(vit, file, tmp_path):
    model = mien.from_pretrained(file, num_heads=3, labels=("a", "b"))
    torch.nn.init.normal_(model.model.head.weight)
    model.save_pretrained(tmp_path / "mine")
    again = mien.from_pretrained(tmp_path / "mine")
    images = torch.rand(2, 3, 15, 15)
    torch.testing.assert_close(again(images), model(images))
    assert again.labels == ("a", "b")
    assert again.preprocessing == model.preprocessing == Preprocessing(size=15, channels=3)


def test_tied_weights_are_saved_under_both_names(tmp_path):
    tied = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    save_own(tmp_path, tied, "mine:Tied", {}, ("a", "b", "c"), Preprocessing(size=8))
    saved = pretrained.weight_files.read_weights(tmp_path / "model.safetensors")
    assert torch.equal(saved["0.weight"], tied[0].weight)
    assert torch.equal(saved["1.weight"], tied[0].weight)


def test_a_damaged_config(file, tmp_path):
    mien.from_pretrained(file, num_heads=3).save_pretrained(tmp_path / "mine")
    config = tmp_path / "mine" / "config.json"
    values = json.loads(config.read_text()) | {"sha256": None}
    config.write_text(json.dumps({key: value for key, value in values.items() if key != "labels"}))
    with pytest.raises(DataError, match=r"config\.json is damaged: 'labels'"):
        pretrained.read(tmp_path / "mine")
    wrong = ({"model": ["vit"]}, {"sizes": [1, 2]}, {"sizes": None}, {"labels": "abc"}, {"preprocessing": [1]})
    for each in wrong:
        config.write_text(json.dumps(values | each))
        with pytest.raises(DataError, match=r"config\.json is damaged: .*"):
            pretrained.read(tmp_path / "mine")
    config.write_text("{")
    with pytest.raises(DataError, match=r"config\.json is no JSON object"):
        pretrained.read(tmp_path / "mine")


def test_a_resnet_trained_in_colour_wants_colour():
    model = create_model("resnet", in_chans=3, widths=(4, 8), layers=(1, 1), stem="conv7x7", num_classes=3)
    sizes = {"in_chans": 3, "widths": (4, 8), "layers": (1, 1), "stem": "conv7x7", "num_classes": 3}
    scale = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    checkpoint = pretrained.Checkpoint("resnet", sizes, model.state_dict(), "theirs", **scale)
    with pytest.raises(UsageError, match=r"no bias that could take up the means .*`data\.channels` 3"):
        checkpoint.build(in_chans=1)
    same = pretrained.Checkpoint("resnet", sizes, model.state_dict(), "theirs").build(in_chans=1).eval()
    grey = torch.rand(2, 1, 33, 33)
    torch.testing.assert_close(same(grey), model.eval()(grey.expand(-1, 3, -1, -1)))


def test_a_stem_of_convolutions_is_adapted_to_grey():
    torch.manual_seed(0)
    sizes = {**SIZES, "img_size": 16, "patch_size": 4, "depth": 1, "stem": "conv", "in_chans": 3}
    model = network(**sizes, init="torch").eval()
    checkpoint = pretrained.Checkpoint("vit", sizes, model.state_dict(), "ours")
    grey = torch.rand(2, 1, 16, 16)
    adapted = checkpoint.build(in_chans=1).eval()
    torch.testing.assert_close(adapted(grey), model(grey.expand(-1, 3, -1, -1)), rtol=0, atol=1e-5)


def test_every_models_head_starts_anew_for_other_classes():
    for name, head in (("cnn_v2", "classifier.weight"), ("lenet", "classifier.4.weight"), ("resnet", "fc.weight")):
        weights = create_model(name, num_classes=3).state_dict()
        checkpoint = pretrained.Checkpoint(name, {"num_classes": 3}, weights, name, labels=("a", "b", "c"))
        same = checkpoint.build(("a", "b", "c")).state_dict()
        assert torch.equal(same[head], weights[head])
        other = checkpoint.build(("x", "y", "z")).state_dict()
        assert not torch.equal(other[head], weights[head])
        assert checkpoint.build(("x", "y"), num_classes=2).state_dict()[head].shape[0] == 2


def test_a_head_that_is_not_the_configs_is_damage_not_a_reason_for_a_fresh_one(vit, file, tmp_path):
    mien.from_pretrained(file, num_heads=3).save_pretrained(tmp_path / "mine")
    save_file(vit.state_dict() | {"head.weight": torch.ones(4, 24)}, tmp_path / "mine" / "model.safetensors")
    config = tmp_path / "mine" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"sha256": None, "weights_sha256": None}))
    with pytest.raises(DataError, match=r"head\.weight is \(4, 24\), not \(5, 24\)"):
        mien.from_pretrained(tmp_path / "mine")


def test_a_head_that_reads_every_place_says_that_it_starts_anew(capsys):
    weights = create_model("lenet", img_size=32, num_classes=3).state_dict()
    checkpoint = pretrained.Checkpoint(
        "lenet", {"img_size": 32, "num_classes": 3}, weights, "mine", labels=tuple("abc")
    )
    kept = checkpoint.build(tuple("abc"), img_size=32).state_dict()
    assert torch.equal(kept["classifier.0.weight"], weights["classifier.0.weight"])
    assert capsys.readouterr().err == ""
    assert checkpoint.build(tuple("abc"), img_size=40).classifier[0].in_features == 16 * 7**2
    assert "mine: its head fits its own image size and pooling only, so it starts anew" in capsys.readouterr().err


def test_a_mean_may_become_a_head_on_all_tokens(capsys):
    """Neither pooling has weights; the class token has, so it cannot be left out."""
    sizes = {"img_size": 12, "patch_size": 4, "embed_dim": 10, "depth": 1, "num_heads": 2, "num_classes": 3}
    mean = create_model("vit", **sizes, global_pool="avg", pos_embed="none", init="torch")
    listed = sizes | {"global_pool": "avg", "pos_embed": "none", "init": "torch"}
    checkpoint = pretrained.Checkpoint("vit", listed, mean.state_dict(), "mine", labels=tuple("abc"))
    model = checkpoint.build(tuple("abc"), global_pool="flatten")
    assert model.head.in_features == 9 * 10
    assert torch.equal(model.blocks[0].attn.qkv.weight, mean.blocks[0].attn.qkv.weight)
    assert "mine: its head fits its own image size and pooling only" in capsys.readouterr().err
    with pytest.raises(UsageError, match=r"was trained with global_pool avg, not token"):
        checkpoint.build(global_pool="token")


def test_what_a_checkpoint_does_not_list_is_the_models_default(file):
    checkpoint = pretrained.read(file, num_heads=3)
    with pytest.raises(UsageError, match=r"was trained with pos_embed learn, not sincos2d"):
        checkpoint.build(pos_embed="sincos2d")


def test_positions_that_are_no_square(file):
    no_square = changed(file, lambda weights: weights.update({"pos_embed": torch.zeros(1, 9, 24)}))
    with pytest.raises(DataError, match="its 9 positions are not those of a square"):
        pretrained.read(no_square, 3)


def test_a_config_cannot_name_just_anything(file, tmp_path):
    mien.from_pretrained(file, num_heads=3).save_pretrained(tmp_path / "mine")
    config = tmp_path / "mine" / "config.json"
    values = json.loads(config.read_text()) | {"sha256": None}
    values |= {"model": "subprocess:Popen", "sizes": {"args": "true", "num_classes": 5}}
    config.write_text(json.dumps(values))
    with pytest.raises(DataError, match=r"names code: .*subprocess:Popen"):
        pretrained.read(tmp_path / "mine")
    with (
        plugins.allowing(["subprocess:Popen"]),
        pytest.raises(UsageError, match=r"'subprocess:Popen' is no torch\.nn\.Module"),
    ):
        pretrained.read(tmp_path / "mine").build()


def test_a_network_comes_ready_to_use(file):
    """In eval mode as a whole: dropout is off, and two calls give the same answer."""
    model = mien.from_pretrained(file, num_heads=3, drop_rate=0.5)
    assert not any(module.training for module in model.modules())
    images = torch.rand(2, 3, 15, 15)
    assert torch.equal(model(images), model(images))
