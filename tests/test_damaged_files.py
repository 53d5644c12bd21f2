"""Files that were damaged, or made by somebody to be read wrongly: refused in one sentence, never a traceback.

benchmarks/flips.py is the long form of the first test.
"""

import importlib.util
import json
import random
import shutil
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnxruntime import InferenceSession
from PIL import Image

from mien import atomic, config
from mien.config.sweep_plan import make_plan, read_plan
from mien.data.sources import fer2013, table
from mien.errors import MienError
from mien.models import create_model
from mien.pictures import open_image
from mien.preprocessing import Preprocessing
from mien.pretrained import read, to_hf
from mien.pretrained.weight_files import read_weights
from mien.runs import Predictions, RunFolder
from mien.runtime.card import model_card
from mien.runtime.network import Network
from mien.runtime.seal import KEY, network_of, seal
from mien.runtime.table import open_table

FEW = settings(max_examples=12, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))


def benchmark(name):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[1] / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def every(place):
    """One of every kind of file that mien writes and reads back, with what reads it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIEN_CACHE", str(place / "cache"))
        patch.setattr(sys, "path", list(sys.path))
        yield benchmark("flips").files(place)


def test_a_flipped_bit_is_noticed(every):
    flips, chance = benchmark("flips"), random.Random(1)
    for file in every:
        whole = file.read()
        for _ in range(4):
            outcome, which = flips.flipped(file, whole, chance)
            assert outcome != "traceback", which
            assert outcome != "accepted" or file.kind in flips.WITHOUT, which


@pytest.fixture(scope="module")
def strangers(place, every):
    """Files as a stranger may make them: no checksum stands in the way. Kind -> (file, what reads it)."""
    run = Path(shutil.copytree(place / "run", place / "strangers_run"))
    (run / "manifest.json").unlink()
    folder = place / "strangers_folder"
    shutil.copytree(place / "saved", folder)
    hub = place / "hub"
    hub.mkdir()
    sizes = {"img_size": 16, "patch_size": 8, "in_chans": 3, "embed_dim": 8, "depth": 1, "num_heads": 2}
    vit = create_model("vit", num_classes=2, global_pool="token", **sizes)
    to_hf.save(vit, hub, ("a", "b"), Preprocessing(size=16, channels=3))
    sweep = place / "strangers_sweep"
    sweep.mkdir()
    make_plan("quickstart", None, [], {"train.lr": "0.01,0.001"}).save(sweep)
    for path in (folder / "config.json", sweep / "sweep.json"):
        path.write_text(
            json.dumps({key: each for key, each in json.loads(path.read_text()).items() if "sha256" not in key})
        )
    (place / "labels.csv").write_text("path,label,split\na.png,happy,train\nb.png,sad,validation\n")
    for name in ("a.png", "b.png"):
        Image.new("L", (8, 8), 90).save(place / name)
    row = " ".join(map(str, range(48))) + " 0" * (48 * 48 - 48)
    (place / "fer2013.csv").write_text(f"emotion,pixels,Usage\n0,{row},Training\n3,{row},PublicTest\n")
    files = {
        "settings.yaml": (place / "settings.yaml", lambda: config.build(config.from_file(place / "settings.yaml"))),
        "recipe.yaml": (run / "recipe.yaml", lambda: RunFolder.open(run)),
        "env.json": (run / "env.json", lambda: RunFolder.open(run).env),
        "evaluation.json": (run / "evaluation.json", lambda: RunFolder.open(run).scores),
        "metrics.csv": (run / "metrics.csv", lambda: RunFolder.open(run).history),
        "predictions.npz": (run / "predictions.npz", lambda: RunFolder.open(run).predictions()),
        "predictions.csv": (place / "predictions.csv", lambda: Predictions.load(place / "predictions.csv")),
        "config.json": (folder / "config.json", lambda: read(folder).build()),
        "config.json of transformers": (hub / "config.json", lambda: read(hub).build()),
        "preprocessor_config.json": (hub / "preprocessor_config.json", lambda: read(hub)),
        "sweep.json": (sweep / "sweep.json", lambda: read_plan(sweep)),
        "table.csv": (place / "table.csv", lambda: open_table(place / "table.csv", ("happy", "sad")).close()),
        "labels.csv": (place / "labels.csv", lambda: table.read(place / "labels.csv")),
        "fer2013.csv": (place / "fer2013.csv", lambda: fer2013.read(place / "fer2013.csv")),
        "model.safetensors": (folder / "model.safetensors", lambda: read_weights(folder / "model.safetensors")),
    }
    for kind in ("png", "jpeg", "gif", "bmp", "webp", "tiff"):
        Image.effect_noise((9, 7), 90).save(place / f"picture.{kind}")
        files[f"picture.{kind}"] = (place / f"picture.{kind}", lambda kind=kind: open_image(place / f"picture.{kind}"))
    return files


KINDS = (
    *("settings.yaml", "recipe.yaml", "env.json", "evaluation.json", "metrics.csv", "predictions.npz"),
    *("predictions.csv", "config.json", "config.json of transformers", "preprocessor_config.json", "sweep.json"),
    *("table.csv", "labels.csv", "fer2013.csv", "model.safetensors", "picture.png", "picture.jpeg", "picture.gif"),
    *("picture.bmp", "picture.webp", "picture.tiff"),
)
JSON = tuple(kind for kind in KINDS if ".json" in kind or kind.endswith(".yaml"))

odd_bytes = st.sampled_from([b"\xff\xff\xff\xff", b"\0", b",", b'"', b"\n", b"-1", b"nan", b"1e999"])
edits = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 4), st.binary(max_size=5) | odd_bytes), min_size=1, max_size=4
)
odd_words = st.sampled_from(["vit", "../x", "a:b"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**65) | st.floats() | st.text(max_size=5) | odd_words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


def refused_or_read(path, reader, content):
    whole = path.read_bytes()
    path.write_bytes(content)
    try:
        reader()
    except MienError:
        pass
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("kind", KINDS)
@FEW
@given(edits=edits)
def test_bytes_that_a_stranger_changed(strangers, kind, edits):
    path, reader = strangers[kind]
    content = bytearray(path.read_bytes())
    for where, taken, put in edits:
        # Mostly where a header is.
        at = int(where * min(len(content), 400))
        content[at : at + taken] = put
    refused_or_read(path, reader, bytes(content))


def nodes(value, path=()):
    """Where in JSON something stands."""
    yield path
    for key, each in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from nodes(each, (*path, key))


def with_value(whole, path, value):
    if not path:
        return value
    copy = json.loads(json.dumps(whole))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return copy


@pytest.mark.parametrize("kind", JSON)
@FEW
@given(where=st.floats(0, 1, exclude_max=True), value=values)
def test_values_of_other_types(strangers, kind, where, value):
    path, reader = strangers[kind]
    import yaml

    whole = yaml.safe_load(path.read_text())
    places = list(nodes(whole))
    changed = with_value(whole, places[int(where * len(places))], value)
    refused_or_read(path, reader, json.dumps(changed).encode())


@pytest.mark.parametrize("kind", JSON)
def test_brackets_without_end(strangers, kind):
    path, reader = strangers[kind]
    whole = path.read_bytes()
    path.write_text("[" * (400 if kind.endswith("yaml") else 100_000))
    with pytest.raises(MienError):
        reader()
    path.write_bytes(whole)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.endswith(".yaml")])
@pytest.mark.parametrize("value", ["*f", "&a [*a]", "2026-99-99"])
def test_yaml_that_stands_for_more_than_it_says(strangers, kind, value):
    """Each letter stands for nine of the one before, f for 59,049; a list may hold itself."""
    path, reader = strangers[kind]
    whole = path.read_bytes()
    letters = "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcde", "bcdef", strict=True))
    path.write_text(f"a: &a [{', '.join('x' * 9)}]\n{letters}name: {value}\n")
    with pytest.raises(MienError, match="is not YAML: "):
        reader()
    path.write_bytes(whole)


def test_an_npz_that_unpacks_to_too_much(strangers, monkeypatch):
    path, reader = strangers["predictions.npz"]
    whole = path.read_bytes()
    monkeypatch.setattr(atomic, "RATIO_FROM", 2**20)
    np.savez_compressed(path, names=np.zeros(2**21))
    with pytest.raises(MienError, match=r"it unpacks to 0\.0 GiB, more than 100 times its size"):
        reader()
    with zipfile.ZipFile(path, "w") as file, file.open("names.npy", "w") as names:
        header = {"descr": "<f4", "fortran_order": False, "shape": (10**14,)}
        np.lib.format.write_array_header_1_0(names, header)
    with pytest.raises(MienError, match=r"predictions\.npz is damaged: Unable to allocate"):
        reader()
    path.write_bytes(whole)


def test_a_field_without_end_in_a_table_of_predictions(strangers):
    path, reader = strangers["predictions.csv"]
    whole = path.read_bytes()
    path.write_bytes(whole + b"x" * 200_000)
    with pytest.raises(MienError, match=r"predictions\.csv is damaged: field larger"):
        reader()
    path.write_bytes(whole)


ODD = (
    *(("labels", [1, 2]), ("labels", ["a", "a"]), ("labels", ["a", "\ud800"]), ("calibration", "temperature", 0)),
    *(("calibration", "threshold", float("nan")), ("preprocessing", "mean", float("inf"))),
    *(("preprocessing", "mean", "x"), ("preprocessing", "fit", "cut"), ("preprocessing", "resize_size", 10**6)),
)


@pytest.mark.parametrize("where", ODD, ids=str)
def test_a_sealed_export_that_says_what_none_says(place, every, where):
    *path, key, value = where
    content = (place / "model.onnx").read_bytes()
    text = InferenceSession(content).get_modelmeta().custom_metadata_map[KEY]
    values = json.loads(text)
    inner = values[path[0]] if path else values
    del values["fingerprint"]
    inner[key] = value
    (place / "odd.onnx").write_bytes(seal(network_of(content, text), values))
    with pytest.raises(MienError, match=r"odd\.onnx is damaged: its metadata cannot be read"):
        Network.open(place / "odd.onnx")


@pytest.mark.parametrize("where", [("per_class", "x"), ("robustness", [1]), ("teachers", [1]), ("parameters", "many")])
def test_a_card_of_a_stranger(every, place, where):
    network = Network.open(place / "model.onnx")
    with pytest.raises(MienError, match="what its card says cannot be read"):
        model_card(replace(network, card={**network.card, where[0]: where[1]}), "odd")


@FEW
@given(where=st.floats(0, 1, exclude_max=True), value=values)
def test_values_of_other_types_in_a_sealed_export(place, every, where, value):
    import onnx

    path = place / "model.onnx"
    model = onnx.load(path)
    known = json.loads(next(entry.value for entry in model.metadata_props if entry.key == KEY))
    del model.metadata_props[:]
    known.pop("fingerprint")
    places = list(nodes(known))
    changed = with_value(known, places[int(where * len(places))], value)
    content = seal(model.SerializeToString(), changed if isinstance(changed, dict) else {"labels": changed})
    refused_or_read(path, lambda: Network.open(path, threads=1), content)
