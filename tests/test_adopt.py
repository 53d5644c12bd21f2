"""Somebody's classifier as a run: an .onnx file as it comes, and what must be said where it says nothing."""

import json

import numpy as np
import onnx
import pytest
from noise_pictures import LABELS, draw_noise
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import mien
from mien.cli import main
from mien.errors import DataError, UsageError
from mien.explain.drawn_truth import on_drawn_faces
from mien.pretrained import foreign_onnx, from_pretrained

SIDE = 11
SCALE = {"mean": 0.25, "std": 0.5}


def weights(channels=3, classes=3):
    return np.random.default_rng(5).normal(size=(channels * SIDE * SIDE, classes)).astype(np.float32) / 7


def written(path, *, end="Softmax", last=False, batch="b", channels=3, classes=3, metadata=(), kind=TensorProto.FLOAT):
    """A linear classifier of 11 x 11 pixels: reshaped, multiplied, and what stands at its `end`."""
    shape = [batch, SIDE, SIDE, channels] if last else [batch, channels, SIDE, SIDE]
    nodes, name = [], "pixels"
    if kind != TensorProto.FLOAT:
        nodes.append(helper.make_node("Cast", [name], ["float"], to=TensorProto.FLOAT))
        name = "float"
    if last:
        nodes.append(helper.make_node("Transpose", [name], ["first"], perm=[0, 3, 1, 2]))
        name = "first"
    rows = 1 if batch == 1 else 0
    nodes.append(helper.make_node("Reshape", [name, "flat"], ["vector"]))
    nodes.append(helper.make_node("MatMul", ["vector", "matrix"], ["logits" if end else "answer"]))
    if end:
        nodes.append(helper.make_node(end, ["logits"], ["answer"], **({"axis": -1} if end == "Softmax" else {})))
    tensors = [
        numpy_helper.from_array(np.array([rows, -1] if rows == 0 else [1, channels * SIDE * SIDE]), "flat"),
        numpy_helper.from_array(weights(channels, classes), "matrix"),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("pixels", kind, shape)],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, [batch, classes])], tensors,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    for key, value in metadata:
        model.metadata_props.add(key=key, value=value)
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Thirty colour pictures of three classes."""
    return draw_noise(tmp_path_factory.mktemp("pictures"), 10, (SIDE, SIDE))


def expected(pictures, channels=3):
    """The probabilities of `written`, by picture."""
    found = {}
    for path in sorted(pictures.rglob("*.png")):
        pixels = np.asarray(Image.open(path), dtype=np.float32).transpose(2, 0, 1) / 255
        logits = ((pixels - 0.25) / 0.5).reshape(-1) @ weights(channels)
        found[path.name, path.parent.name] = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
    return found


@pytest.mark.parametrize(
    "form",
    [{}, {"end": ""}, {"last": True}, {"batch": 1}, {"batch": 1, "last": True, "end": ""}],
    ids=["softmax", "logits", "colours last", "one picture at a time", "all three"],
)
def test_it_answers_as_it_did(tmp_path, pictures, form):
    source = written(tmp_path / "theirs.onnx", **form)
    run = mien.adopt(source, tmp_path / "run", labels=LABELS, data=pictures, **SCALE)
    found, wanted = run.predictions(), expected(pictures)
    assert len(found) == 30  # all are held out: nothing is trained
    for name, row in zip(found.names, found.probabilities, strict=True):
        label, file = name.split("/")[-2:]
        assert row == pytest.approx(wanted[file, label], abs=1e-5)
    assert run.scores["validation"].clean is None


def test_all_that_runs_can_works_with_it(tmp_path, pictures, capsys):
    source = written(tmp_path / "theirs.onnx", metadata=[("names", "{0: 'amber', 1: 'birch', 2: 'coral'}")])
    runs = [tmp_path / "one", tmp_path / "two"]
    for run in runs:
        scale = ["--mean", "0.25", "--std", "0.5", "--data.path", str(pictures)]
        assert main(["adopt", str(source), "--out", str(run), *scale]) == 0
    assert (runs[0] / "report.html").is_file()
    assert mien.compare(*runs).pairs[0].difference == 0
    done = mien.export(runs[0], weights="fp32")
    assert done.difference < 1e-4
    assert mien.evaluate(done.path, "all", data=pictures).accuracy == mien.evaluate(runs[0], "all").accuracy
    assert mien.evaluate(runs[0], "all").images == 30
    again = mien.adopt(done.path, tmp_path / "again", data=pictures)
    assert again.predictions().probabilities == pytest.approx(
        mien.Run.open(runs[0]).predictions().probabilities, abs=2e-3
    )
    shown = mien.explain(runs[0], next(pictures.rglob("*.png")), ["occlusion"])
    assert shown.maps.keys() == {"occlusion"}
    assert main(["evaluate", str(runs[0]), "--robustness", "--json", "--device", "cuda"]) == 0
    printed = capsys.readouterr()
    told = json.loads(printed.out.split("\n", 2)[-1])
    assert told["robustness"]
    assert told["device"] == "cpu"  # whatever torch has: onnxruntime computes it
    assert "--device cuda: an adopted .onnx file is computed on the CPU. Export the run" in printed.err
    assert main(["run", str(runs[0]), "--resume", "--train.epochs", "3"]) == 2
    assert "was adopted from" in capsys.readouterr().err


def test_without_data_it_gets_them_later(tmp_path, pictures, capsys):
    source = written(tmp_path / "theirs.onnx")
    assert main(["adopt", str(source), "--labels", ",".join(LABELS), "--mean", "0.25", "--std", "0.5", "--out",
                 str(tmp_path / "run")]) == 0  # fmt: skip
    assert "Next: mien evaluate" in capsys.readouterr().err
    with pytest.raises(mien.MienError, match=r"was adopted without data\. Score it on some"):
        mien.Run.open(tmp_path / "run").predictions()
    with pytest.raises(mien.MienError, match=r"was adopted without data\. Score"):
        mien.export(tmp_path / "run")
    with pytest.raises(mien.MienError, match=r"was adopted without data\. Score"):
        mien.verify(tmp_path / "run", data=pictures)
    other = tmp_path / "other"
    for label in ("x", "y"):
        (other / label).mkdir(parents=True)
        (other / label / "1.png").symlink_to(next(pictures.rglob("*.png")))
    assert main(["evaluate", str(tmp_path / "run"), "--data.path", str(other)]) == 4  # which changes nothing
    assert main(["evaluate", str(tmp_path / "run"), "--data.path", str(pictures)]) == 0
    assert mien.Run.open(tmp_path / "run").scores["validation"].images == 30
    with pytest.raises(UsageError, match="has its own data settings"):
        mien.evaluate(tmp_path / "run", data={"path": pictures, "source": "table"})


def test_data_may_have_some_of_the_classes_under_other_names(tmp_path, pictures):
    folder = tmp_path / "some"
    folder.mkdir()
    for ours, theirs in (("amber", "Happy"), ("coral", "anger")):
        (folder / theirs).symlink_to(pictures / ours)
    source = written(tmp_path / "theirs.onnx")
    run = mien.adopt(source, tmp_path / "run", labels=("happiness", "sadness", "angry"), data=folder, **SCALE)
    assert run.scores["validation"].per_class["sadness"].images == 0
    with pytest.raises(DataError, match="Class 'amber' is not among the known classes"):
        mien.adopt(source, tmp_path / "other", labels=("happiness", "sadness", "angry"), data=pictures, **SCALE)
    assert not (tmp_path / "other").exists()


def test_one_number_behind_a_sigmoid_is_two_classes(tmp_path):
    found = foreign_onnx.read(written(tmp_path / "theirs.onnx", end="Sigmoid", classes=1))
    assert found.num_classes == 2


def cast(path, end):
    """`written` in half precision behind an input and an output of single precision, as converters leave it."""
    model = onnx.load(written(path, kind=TensorProto.FLOAT16, end=end))
    half = numpy_helper.from_array(weights().astype(np.float16), "matrix")
    model.graph.initializer[1].CopyFrom(half)
    model.graph.node[0].attribute[0].i = TensorProto.FLOAT16
    model.graph.node[-1].output[0] = "narrow"
    model.graph.node.append(helper.make_node("Cast", ["narrow"], ["answer"], to=TensorProto.FLOAT))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("end", ["", "Softmax"])
def test_half_precision_within_a_file_of_floats(tmp_path, end):
    found = foreign_onnx.read(cast(tmp_path / "theirs.onnx", end))
    images = foreign_onnx._noise((3, SIDE))
    wanted = images.reshape(3, -1) @ weights()
    assert foreign_onnx._run(found.content, {"images": images}, "logits", tmp_path) == pytest.approx(wanted, abs=0.05)


def with_branches(path):
    """`written` for one picture, its last steps in both branches of an If, which read the images and weights outside.

    Its names are those that mien gives its own inputs and outputs.
    """
    model = onnx.load(written(path, batch=1, end=""))
    graph, answer = model.graph, helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])
    steps = list(graph.node)
    steps[-1].output[0] = "logits"
    branches = [helper.make_graph(steps, name, [], [answer]) for name in ("then", "else")]
    del graph.node[:]
    graph.node.append(helper.make_node("ReduceMax", ["pixels"], ["most"], keepdims=0))
    graph.node.append(helper.make_node("Cast", ["most"], ["condition"], to=TensorProto.BOOL))
    graph.node.append(
        helper.make_node("If", ["condition"], ["answer"], then_branch=branches[0], else_branch=branches[1])
    )
    onnx.save(model, path)
    return path


def test_graphs_within_its_nodes_are_renamed_too(tmp_path):
    """Whatever their names, outer weights included, and a batch that is spelled within them is let open."""
    found = foreign_onnx.read(with_branches(tmp_path / "theirs.onnx"))
    images = foreign_onnx._noise((3, SIDE))
    wanted = images.reshape(3, -1) @ weights()
    answers = foreign_onnx._run(found.content, {"images": images}, "logits", tmp_path)
    assert answers == pytest.approx(wanted, abs=1e-4)


def test_weights_beside_a_file_for_one_picture_are_read(tmp_path):
    model = onnx.load(written(tmp_path / "theirs.onnx", batch=1))
    onnx.save(model, tmp_path / "theirs.onnx", save_as_external_data=True, location="theirs.data", size_threshold=0)
    assert len(foreign_onnx.read(tmp_path / "theirs.onnx").content) > weights().nbytes


def test_a_sigmoid_of_a_flat_answer_is_refused(tmp_path):
    model = onnx.load(written(tmp_path / "theirs.onnx", batch=1, classes=1, end="Sigmoid"))
    model.graph.node[-1].input[0] = "flattened"
    model.graph.node.insert(2, helper.make_node("Squeeze", ["logits"], ["flattened"]))
    del model.graph.output[0].type.tensor_type.shape.dim[1:]
    onnx.save(model, tmp_path / "theirs.onnx")
    with pytest.raises(DataError, match=r"sigmoid of shape \[1\]"):
        foreign_onnx.read(tmp_path / "theirs.onnx")


def test_bytes_come_as_bytes(tmp_path, pictures):
    source = written(tmp_path / "theirs.onnx", kind=TensorProto.UINT8)
    run = mien.adopt(source, tmp_path / "run", labels=LABELS, data=pictures, mean=0, std=1 / 255)
    first = run.predictions()
    path = pictures / first.names[0]
    logits = np.asarray(Image.open(path), dtype=np.float32).transpose(2, 0, 1).reshape(-1) @ weights()
    assert first.probabilities[0].argmax() == logits.argmax()


@pytest.mark.parametrize(
    ("form", "said", "told"),
    [
        ({}, {"labels": LABELS}, "does not say how its pixels are scaled. Give `mean` and `std`"),
        ({}, SCALE, "does not say what its 3 classes are. Name them in the order of its outputs: `labels`"),
        ({}, SCALE | {"labels": ("a", "b")}, "tells 3 classes apart, and 2 names are given"),
        ({}, SCALE | {"labels": ("a", "b", "a")}, "'a' is there twice"),
        ({"metadata": [("names", "a,b,a")]}, SCALE, "which `labels` can correct: 'a' is there twice"),
        ({}, SCALE | {"labels": LABELS, "size": 48}, "`size` 48: .* takes images with size 11"),
        ({}, SCALE | {"labels": LABELS, "output": "answr"}, "has no such output. Did you mean 'answer'"),
        ({"end": "Sigmoid"}, SCALE | {"labels": LABELS}, "its classes do not exclude each other"),
    ],
    ids=lambda value: None,
)
def test_what_is_missing_is_asked_for(tmp_path, form, said, told):
    source = written(tmp_path / "theirs.onnx", **form)
    with pytest.raises(mien.MienError, match=told):
        mien.adopt(source, tmp_path / "run", **said)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", [b"", b"\x08\x07no network", b"PK\x03\x04"], ids=["empty", "noise", "zip"])
def test_what_is_no_network_is_refused(tmp_path, content):
    (tmp_path / "bad.onnx").write_bytes(content)
    with pytest.raises(DataError, match=r"bad\.onnx"):
        mien.adopt(tmp_path / "bad.onnx", tmp_path / "run", labels=LABELS, **SCALE)


def test_a_batch_that_cannot_be_let_open_is_refused(tmp_path):
    source = written(tmp_path / "theirs.onnx", batch=1, end="")
    model = onnx.load(source)
    node = helper.make_node("Expand", ["answer", "two"], ["pair"])
    model.graph.node.extend([node, helper.make_node("ReduceMean", ["pair"], ["mean"], axes=[0], keepdims=1)])
    model.graph.initializer.append(numpy_helper.from_array(np.array([2, 3]), "two"))
    model.graph.output[0].name = "mean"
    onnx.save(model, source)
    with pytest.raises(DataError, match=r"fixed batch|cannot be run"):
        mien.adopt(source, tmp_path / "run", labels=LABELS, **SCALE)


def test_a_file_is_put_to_the_test_on_drawn_faces(tmp_path):
    labels = ("angry", "happy", "sad")
    mien.adopt(written(tmp_path / "theirs.onnx"), tmp_path / "run", labels=labels, **SCALE)
    assert on_drawn_faces(from_pretrained(tmp_path / "run"), ["occlusion"], 20, 10).faces == 20


def test_a_recipe_that_holds_everything_out_trains_nothing(pictures):
    with pytest.raises(UsageError, match="none is left to train on"):
        mien.train(mien.recipe("folder_cnn", data={"path": pictures, "val_split": 1.0}))
