"""mien push: a run goes to the hub, of which a stand-in listens here, and comes back through every door."""

import getpass
import json
import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import hub_server
import numpy as np
import onnx
import pyarrow
import pyarrow.parquet
import pytest
import torch
import yaml
from fake_runs import draw_pictures
from PIL import Image

import mien
from mien.cli import main
from mien.errors import UsageError

pytest.importorskip("huggingface_hub")

VIT = Path(__file__).parent / "fixtures" / "v0_1_0"  # with a ViT of 16 pixels that was trained on drawn faces
DRAWN = ["--data.source", "drawn_faces", "--data.images", "70"]
LABELS = ("angry", "happy", "sad")
FILES = {"README.md", "config.json", "model.onnx", "model.safetensors"}


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """The stand-in, to which huggingface_hub in this process is logged in."""
    with hub_server.listening() as listening:
        hub_server.point_at(monkeypatch, listening, tmp_path / "hf")
        monkeypatch.setenv("HF_TOKEN", hub_server.TOKEN)
        yield listening


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return draw_pictures(tmp_path_factory.mktemp("secret-place") / "faces", LABELS)


@pytest.fixture(scope="module")
def runs(tmp_path_factory, pictures):
    """Finished runs, exported: 'vit', which was trained, and 'theirs', adopted from somebody's linear.onnx."""
    folder = tmp_path_factory.mktemp("runs")
    shutil.copytree(VIT / "vit", folder / "vit")
    shutil.copyfile(VIT / "model.onnx", folder / "vit" / "model.onnx")
    linear = write_linear(pictures.parent / "linear.onnx")
    mien.export(mien.adopt(linear, folder / "theirs", labels=LABELS, data=pictures, mean=0.5, std=0.5))
    return folder


def write_linear(path):
    """A classifier of 16 x 16 grey pixels."""
    matrix = np.random.default_rng(5).normal(size=(256, 3)).astype(np.float32) / 16
    nodes = [
        onnx.helper.make_node("Flatten", ["pixels"], ["vector"]),
        onnx.helper.make_node("MatMul", ["vector", "matrix"], ["logits"]),
    ]
    graph = onnx.helper.make_graph(
        nodes, "linear", [onnx.helper.make_tensor_value_info("pixels", onnx.TensorProto.FLOAT, ["b", 1, 16, 16])],
        [onnx.helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["b", 3])],
        [onnx.numpy_helper.from_array(matrix, "matrix")],
    )  # fmt: skip
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture
def photo(tmp_path):
    Image.fromarray(np.random.default_rng(5).integers(0, 256, (40, 30), dtype=np.uint8)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def front_matter(files):
    return yaml.safe_load(files["README.md"].decode().split("---\n")[1])


def test_a_run_goes_to_the_hub_and_comes_back(hub, runs, photo, tmp_path, capsys):
    words = ["push", str(runs / "vit"), "jane/faces", "--licence", "Apache-2.0", "--message", "The first"]
    assert main(words) == 0
    told = capsys.readouterr()
    assert told.out == f"{hub.url}/jane/faces\n"
    assert "transformers reads it too" in told.err
    assert "Next: mien predict PHOTO --model hf-hub:jane/faces" in told.err
    assert hub.messages("jane/faces") == ["The first", "initial commit"]
    assert hub.files("jane/faces").keys() == FILES | {"preprocessor_config.json"}

    own = mien.from_pretrained(runs / "vit")
    back = mien.from_pretrained("hf-hub:jane/faces")
    assert (back.labels, back.preprocessing, back.sizes) == (own.labels, own.preprocessing, own.sizes)
    images = torch.rand(4, 1, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(back(images), own(images), rtol=0, atol=1e-6)

    assert main(["predict", str(photo), "--no-detect", "--json", "--model", "hf-hub:jane/faces"]) == 0
    found = json.loads(capsys.readouterr().out)["faces"][0]["probabilities"]
    assert found == mien.load(runs / "vit").read(photo, detect=False)[0].to_dict()["probabilities"]
    assert main(["evaluate", "hf-hub:jane/faces", *DRAWN, "--json"]) == 0
    scored = json.loads(capsys.readouterr().out)
    card = mien.load("hf-hub:jane/faces").network.card
    assert scored["accuracy"] == card["validation_accuracy"]
    assert mien.adopt("hf-hub:jane/faces", tmp_path / "back").env.adopted == "hf-hub:jane/faces"


def test_the_card_has_what_the_hub_reads(hub, runs):
    done = mien.push(runs / "vit", "jane/faces", licence="cc-by-4.0")
    assert done.files.keys() == hub.files("jane/faces").keys()
    files = hub.files("jane/faces")
    about = front_matter(files)
    assert about["license"] == "cc-by-4.0"
    assert about["library_name"] == "mien"
    assert about["pipeline_tag"] == "image-classification"
    assert {"mien", "vit", "onnx", "safetensors", "transformers", "facial-expression-recognition"} <= {*about["tags"]}
    result = about["model-index"][0]
    assert result["name"] == "faces"
    metrics = {each["name"]: each["value"] for each in result["results"][0]["metrics"]}
    card = mien.load(runs / "vit").network.card
    assert metrics["Accuracy"] == round(card["validation_accuracy"], 4)
    assert metrics["Macro F1"] == round(card["macro_f1"], 4)
    assert metrics["Expected calibration error (15 bins)"] == round(card["calibration_error"], 4)
    assert result["results"][0]["dataset"]["split"] == "validation"
    text = files["README.md"].decode()
    for part in (
        "# faces\n",
        "What it must not be used for",
        "## By class",
        "--model hf-hub:jane/faces",
        "`cc-by-4.0`",
    ):
        assert part in text
    assert "is not known here" not in text  # drawn faces are nobody's
    mien.push(runs / "theirs", "jane/theirs", licence="mit")
    theirs = hub.files("jane/theirs")
    assert "its training pictures may be used is not known" in theirs["README.md"].decode()
    assert "Adopted from `linear.onnx`" in theirs["README.md"].decode()
    assert "transformers" not in front_matter(theirs)["tags"]


def test_nothing_of_this_machine_is_uploaded(hub, runs, pictures):
    for name in ("vit", "theirs"):
        mien.push(runs / name, f"jane/{name}", licence="mit")
        for file, content in hub.files(f"jane/{name}").items():
            for told in (runs, pictures.parent, Path.home(), Path.cwd(), Path(mien.__file__).parent):
                assert str(told).encode() not in content, file
            assert b"secret-place" not in content, file
            if file.endswith((".md", ".json")) and getpass.getuser() != "root":
                assert getpass.getuser().encode() not in content
        assert not [file for file in hub.files(f"jane/{name}") if file.endswith((".png", ".npz", ".csv", ".yaml"))]


def test_without_a_licence_the_card_says_so_and_an_adopted_run_is_refused(hub, runs, caplog):
    mien.push(runs / "vit", "jane/faces")
    assert "no licence is given" in caplog.text
    files = hub.files("jane/faces")
    assert front_matter(files)["license"] == "unknown"
    assert "Nobody has said under which licence" in files["README.md"].decode()
    with pytest.raises(UsageError, match=r"was adopted from .*linear\.onnx, so its maker says .*`licence='apache"):
        mien.push(runs / "theirs", "jane/theirs")
    assert ("models", "jane/theirs") not in hub.repositories
    with pytest.raises(UsageError, match=r"the hub has no such word .* Did you mean 'apache-2\.0'\?"):
        mien.push(runs / "theirs", "jane/theirs", licence="apache")


def test_an_update_is_one_commit_and_removes_what_is_of_the_last_push(hub, runs, tmp_path):
    mien.push(runs / "vit", "jane/faces", licence="mit")
    first = hub.repositories["models", "jane/faces"]
    first.commit("main", hub.files("jane/faces") | {"notes.txt": b"mine"}, "A note")
    mien.push(runs / "theirs", "hf-hub:jane/faces", licence="mit", message="Another network")
    assert hub.messages("jane/faces")[:2] == ["Another network", "A note"]
    assert hub.files("jane/faces").keys() == FILES | {"notes.txt"}
    assert mien.from_pretrained("hf-hub:jane/faces").name == "onnx_file"
    done = mien.push(runs / "vit", "jane/faces", licence="mit", revision="vit")
    assert done.commit == first.branches["vit"]
    assert hub.messages("jane/faces")[0] == "Another network"
    assert mien.from_pretrained("hf-hub:jane/faces@vit").name == "vit"
    assert (
        mien.load("hf-hub:jane/faces@vit").network.card["fingerprint"]
        != mien.load(runs / "theirs").network.card["fingerprint"]
    )
    with pytest.raises(mien.MienError, match=r"jane/faces@nowhere: jane/faces has no revision nowhere"):
        mien.load("hf-hub:jane/faces@nowhere")


def test_what_somebody_else_put_there_stays(hub, runs):
    hub.put("bob/theirs", {"config.json": b"{}", "README.md": b"---\nlicense: mit\n---\n"})
    with pytest.raises(UsageError, match=r"bob/theirs holds config\.json, which mien did not put there"):
        mien.push(runs / "vit", "bob/theirs", licence="mit")
    assert hub.messages("bob/theirs") == ["Somebody else's"]
    mien.push(runs / "vit", "bob/theirs", licence="mit", overwrite=True)
    assert hub.files("bob/theirs").keys() > FILES
    with pytest.raises(UsageError, match=r"bob/theirs is there already and public, so nothing was pushed"):
        mien.push(runs / "vit", "bob/theirs", licence="mit", private=True)
    mien.push(runs / "vit", "bob/new", licence="mit", private=True)
    assert hub.repositories["models", "bob/new"].private


def test_a_dry_run_writes_what_would_be_uploaded(hub, runs, tmp_path, photo, capsys):
    words = ["push", str(runs / "vit"), "jane/faces", "--licence", "mit", "--dry-run", str(tmp_path / "dry"), "--json"]
    assert main(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert {path.name for path in (tmp_path / "dry").iterdir()} == told["files"].keys()
    assert told["commit"] == ""
    assert not hub.asked
    assert mien.load(tmp_path / "dry").read(photo, detect=False) == mien.load(runs / "vit").read(photo, detect=False)
    assert mien.from_pretrained(tmp_path / "dry").labels == mien.load(runs / "vit").network.labels
    assert main(words) == 2
    assert "is not empty. Give a folder that is not there yet." in capsys.readouterr().err


def test_a_dry_run_that_fails_leaves_nothing(hub, runs, tmp_path, monkeypatch, caplog):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="file is no folder"):
        mien.push(runs / "vit", "jane/faces", licence="mit", dry_run=tmp_path / "file")
    monkeypatch.setattr("mien.push.put", full)
    with pytest.raises(mien.MienError, match=r"Writing .*dry failed: No space left on device"):
        mien.push(runs / "vit", "jane/faces", licence="apach-2.0", dry_run=tmp_path / "dry")
    assert "`licence` apach-2.0 is no word of the hub's that mien knows. Did you mean 'apache-2.0'?" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        ({("POST", "repos/create"): 401}, 3, "the hub does not accept the token (401). Log in again: hf auth login"),
        ({("POST", "/commit/"): 403}, 3, "the token may not write to jane/faces (403)"),
        ({("POST", "/preupload/"): 404}, 3, "the hub finds no jane/faces, or no jane to make it for (404)"),
        ({("POST", "/commit/"): 412}, 1, "somebody else changed jane/faces in the meantime (412). Push again"),
        ({("PUT", "/store/"): 0}, 3, "the hub cannot be reached ("),
        ({("PUT", "/store/"): 503}, 1, "the hub fails at the moment (503). Push again later"),
        ({("POST", "/commit/"): 500}, 1, "the hub fails at the moment (500). Push again later"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(hub, runs, monkeypatch, capsys, answer, code, text):
    from huggingface_hub import _commit_api, lfs

    for module in (_commit_api, lfs):  # else it tries five times more, for half a minute
        monkeypatch.setattr(module, "http_backoff", partial(module.http_backoff, max_retries=0))
    hub.answers |= answer
    assert main(["push", str(runs / "vit"), "jane/faces", "--licence", "mit"]) == code
    told = capsys.readouterr().err.strip().splitlines()
    assert told[-1].startswith("mien: Nothing was pushed: ")
    assert text in told[-1]
    known = hub.repositories.get(("models", "jane/faces"))
    assert known is None or hub.messages("jane/faces") == ["initial commit"]  # nothing is there in part


def test_what_is_refused_before_the_hub_is_asked(hub, runs, monkeypatch, tmp_path, capsys):
    push = ["push", str(runs / "vit")]
    assert main([*push, "faces", "--licence", "mit"]) == 2
    assert "'faces' is no name of a repository: it is OWNER/NAME, such as jane/faces." in capsys.readouterr().err
    assert main(["push", str(runs / "nowhere"), "jane/faces"]) == 3
    assert "there is no such folder" in capsys.readouterr().err
    monkeypatch.delenv("HF_TOKEN")
    assert main([*push, "jane/faces", "--licence", "mit"]) == 3
    assert "needs a token that may write" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert main([*push, "jane/faces", "--licence", "mit"]) == 3
    assert "Pushing to the Hugging Face hub needs the 'hub' extra: pip install 'mien[hub]'" in capsys.readouterr().err
    assert not hub.asked


def test_a_licence_that_the_hub_refuses(hub, runs):
    with pytest.raises(UsageError, match=r"Nothing was pushed: the hub refuses it \(.*license"):
        mien.push(runs / "vit", "jane/faces", licence="no-such-licence")
    assert hub.messages("jane/faces") == ["initial commit"]


def test_an_export_of_another_network_is_not_pushed(hub, tmp_path):
    shutil.copytree(VIT / "average", tmp_path / "run")
    shutil.copyfile(VIT / "model.onnx", tmp_path / "run" / "model.onnx")
    with pytest.raises(mien.MienError, match=r"model\.onnx is of another network than the run has now.*mien\.export"):
        mien.Run.open(tmp_path / "run").push("jane/faces", licence="mit")
    assert not hub.asked


def test_an_unfinished_run_and_one_without_data(hub, pictures, tmp_path):
    adopted = mien.adopt(pictures.parent / "linear.onnx", tmp_path / "run", labels=LABELS, mean=0.5, std=0.5)
    with pytest.raises(mien.MienError, match="was adopted without data"):
        adopted.push("jane/faces", licence="mit")
    with pytest.raises(mien.MienError, match=r"has no finished model\. Finish it with"):
        mien.push(VIT / "stopped", "jane/faces")
    with pytest.raises(UsageError, match="was pretrained without labels"):
        mien.push(VIT / "mae", "jane/faces")


def test_predict_reads_it_without_torch(hub, runs, photo):
    """The light package alone, told by HF_ENDPOINT in its environment."""
    mien.push(runs / "vit", "jane/faces", licence="mit")
    code = (
        "import sys; sys.modules['torch'] = None\nfrom mien.cli import main\n"
        f"sys.exit(main(['predict', {str(photo)!r}, '--no-detect', '--json', '--model', 'hf-hub:jane/faces']))"
    )
    env = os.environ | hub_server.environment(hub, str(photo.parent / "other"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["faces"] == [mien.load(runs / "vit").read(photo, detect=False)[0].to_dict()]


def test_a_data_set_of_the_hub_is_read(hub, tmp_path, capsys):
    """Parquet tables in Hugging Face's layout; nothing else of the repository is downloaded."""
    from mien import config
    from mien.data import guess_source, listed
    from mien.runs.data import anchored

    drawn = np.random.default_rng(1)
    for split in ("train", "validation"):
        rows = []
        for _ in range(6):
            Image.fromarray(drawn.integers(0, 256, (16, 16), dtype=np.uint8)).save(tmp_path / "one.png")
            rows.append({"bytes": (tmp_path / "one.png").read_bytes(), "path": "one.png"})
        table = pyarrow.table({"image": rows, "label": ["angry", "happy", "sad"] * 2})
        pyarrow.parquet.write_table(table, tmp_path / f"{split}.parquet")
    files = {f"data/{split}-00000-of-00001.parquet": f"{split}.parquet" for split in ("train", "validation")}
    content = {name: (tmp_path / file).read_bytes() for name, file in files.items()}
    hub.put("ann/faces", {"README.md": b"", "loader.py": b"", **content}, kind="datasets")

    path = Path("hf-hub:ann/faces")
    assert guess_source(path) == "parquet"
    recipe = config.build({"data": {"path": path, "source": "parquet", "size": 16}})
    assert anchored(recipe).data.path == path
    found = listed(recipe.data)
    assert (found.classes, len(found)) == (("angry", "happy", "sad"), 12)
    assert not [asked for asked in hub.asked if "loader.py" in asked]
    data = {"path": path, "source": "parquet"}
    run = mien.adopt(
        write_linear(tmp_path / "linear.onnx"), tmp_path / "run", labels=LABELS, data=data, mean=0.5, std=0.5
    )
    assert mien.evaluate(run).images == 6  # whose recipe says hf-hub:ann/faces
    assert main(["evaluate", "mien:tiny", "--data.path", str(path), "--data.source", "parquet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == 6
    with pytest.raises(mien.MienError, match=r"hf-hub:ann/nothing: the hub has no such data set that you may read"):
        guess_source(Path("hf-hub:ann/nothing"))
