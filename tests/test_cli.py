"""The command line: every verb, JSON, exit codes and error texts."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from fake_runs import picture_names, write_run

from mien.cli import main
from mien.data.sources.drawn_faces import read
from mien.errors import UsageError
from mien.models import list_models


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Seven classes with ten drawn faces each."""
    root = tmp_path_factory.mktemp("pictures")
    faces = read(70, 16, seed=0)
    for i in range(70):
        path = root / faces.classes[faces.labels[i]] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        faces.read(i).save(path)
    return root


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("LOCAL_RANK", raising=False)


SMALL = ["--data.size", "16", "--train.epochs", "1", "--train.warmup_epochs", "0", "--train.batch_size", "16"]


def train(pictures, out, *flags):
    model = ["--model.stem", "patch", "--model.patch_size", "8", "--model.embed_dim", "16", "--model.depth", "1"]
    assert main(["run", "folder_vit", "--data.path", str(pictures), "--out", out, *SMALL, *model, *flags]) == 0


def test_a_run_from_pictures_to_comparison(pictures, tmp_path, capsys):
    train(pictures, "a", "--json")
    printed = json.loads(capsys.readouterr().out)
    assert printed["run"] == "a"
    assert 0 <= printed["validation"]["accuracy"] <= 1
    train(pictures, "b", "--seed", "1")
    out, err = capsys.readouterr()
    assert out.startswith("b  accuracy ")
    assert "images/s" in err
    assert "Next: mien compare b" in err
    assert main(["evaluate", "a", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == printed["validation"]["accuracy"]
    assert main(["evaluate", "a", "--split", "train"]) == 0
    assert "train: accuracy" in capsys.readouterr().out
    assert main(["compare", "a", "b", "--json", "--out", "page.html"]) == 0
    assert json.loads(capsys.readouterr().out)["page"] == "page.html"
    assert main(["report", "a"]) == 0
    assert capsys.readouterr().out.strip() == "a/report.html"


def test_a_finished_run_is_not_trained_again(tmp_path, capsys, monkeypatch):
    names, labels = picture_names()
    write_run(tmp_path / "done", names=names, labels=labels)
    monkeypatch.setitem(sys.modules, "mien.train.run", None)
    for text in ("mine", None):
        if text:
            (tmp_path / "done" / "report.html").write_text(text)
        else:
            (tmp_path / "done" / "report.html").unlink()
        assert main(["run", "done", "--resume"]) == 0
        out, err = capsys.readouterr()
        assert "done is finished: nothing is left to be trained. More epochs: --train.epochs" in err
        assert out.startswith("done  accuracy ")
        written = (tmp_path / "done" / "report.html").read_text()
        assert written == "mine" if text else "<html" in written


def test_flags_win_over_environment_over_file(pictures, tmp_path, capsys, monkeypatch):
    (tmp_path / "c.yaml").write_text("seed: 3\ntrain: {epochs: 9, lr: 0.25}\n")
    monkeypatch.setenv("MIEN_TRAIN__LR", "0.125")
    train(pictures, "run", "--config", "c.yaml")
    text = (tmp_path / "run" / "recipe.yaml").read_text()
    assert "seed: 3" in text
    assert "epochs: 1\n" in text
    assert "lr: 0.125" in text


def test_a_run_is_repeated_from_its_recipe(pictures, tmp_path):
    train(pictures, "one", "--seed", "5")
    assert main(["run", "--config", "one/recipe.yaml", "--out", "two"]) == 0
    assert (tmp_path / "one" / "predictions.npz").read_bytes() == (tmp_path / "two" / "predictions.npz").read_bytes()


def test_colour_is_a_flag(pictures, tmp_path):
    assert main(["data", "prepare", str(pictures), "--data.channels", "3", "--out", "store"]) == 0
    assert np.load(tmp_path / "store" / "images.npy").shape == (70, 3, 48, 48)
    assert main(["data", "prepare", str(pictures), "--data.channels", "2"]) == 2


def test_mean_and_std_are_one_number_or_one_for_each_colour(pictures, tmp_path, capsys):
    def stored(*flags):
        colour = ["--data.size", "16", "--data.channels", "3", "--out", "store"]
        assert main(["data", "prepare", str(pictures), *colour, *flags]) == 0
        return json.loads((tmp_path / "store" / "store.json").read_text())["preprocessing"]

    given = stored("--data.mean", "0.485,0.456,0.406", "--data.std", "[0.2, 0.3, 0.4]")
    assert (given["mean"], given["std"]) == ([0.485, 0.456, 0.406], [0.2, 0.3, 0.4])
    shutil.rmtree(tmp_path / "store")
    assert stored("--data.mean", "0.25")["mean"] == 0.25
    for wrong in ("0.1,0.2", "grey"):
        assert main(["data", "prepare", str(pictures), "--data.mean", wrong]) == 2
        assert "--data.mean: give one number, or one for each of three colours" in capsys.readouterr().err
    assert main(["data", "prepare", str(pictures), "--data.mean", "0.1,0.2,0.3"]) == 2
    assert "mean [0.1, 0.2, 0.3] needs one number." in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["8,16,24"], ["[8, 16, 24]"], ["8", "16,24"], ["8", "16", "24"]])
def test_several_sizes_are_one_flag_with_commas_or_one_for_each(flags, monkeypatch):
    started = []

    def run(recipe, *_, **__):
        started.append(recipe)
        raise UsageError("far enough")

    monkeypatch.setattr("mien.train.run.run", run)
    given = [part for flag in flags for part in ("--model.widths", flag)]
    main(["run", "folder_cnn", *given, "--data.path", "."])
    assert started[0].model.widths == (8, 16, 24)


def test_recipes(capsys):
    assert main(["recipes"]) == 0
    assert "fer2013_resnet" in capsys.readouterr().out
    assert main(["recipes", "fer2013_lenet"]) == 0
    assert "61,451 parameters" in capsys.readouterr().out
    assert main(["recipes", "fer2013_lenet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recipe"]["model"]["name"] == "lenet"
    assert main(["recipes", "--json"]) == 0
    assert "quickstart" in json.loads(capsys.readouterr().out)


def test_data_commands(pictures, tmp_path, capsys):
    assert main(["data", "prepare", str(pictures), "--data.size", "16", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"] == {"train": 70, "validation": 0, "test": 0}
    assert main(["data", "prepare", str(pictures), "--data.size", "16", "--out", "store"]) == 0
    assert "70 train images\n7 classes: angry, " in capsys.readouterr().out
    assert (tmp_path / "store" / "images.npy").exists()
    assert main(["data", "show", str(pictures), "--out", "picture.png"]) == 0
    assert (tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")


def test_audit_reports_and_fails_on_request(pictures, tmp_path, capsys):
    (tmp_path / "bad" / "a").mkdir(parents=True)
    (tmp_path / "bad" / "b").mkdir()
    original = next((pictures / "happy").iterdir())
    for name in ("a/1.png", "a/2.png", "b/3.png"):
        (tmp_path / "bad" / name).write_bytes(original.read_bytes())
    (tmp_path / "bad" / "b" / "4.jpg").write_text("not a picture")
    assert main(["data", "audit", "bad", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["repeats"]["train"] == 2
    assert found["conflicts"] == 1
    assert len(found["unreadable"]) == 1
    assert main(["data", "audit", "bad"]) == 0
    assert "4.jpg" in capsys.readouterr().out
    assert main(["data", "audit", "bad", "--fail-on", "unreadable,copies"]) == 1
    assert main(["data", "audit", "bad", "--fail-on", "copys"]) == 2
    assert "Did you mean 'copies'" in capsys.readouterr().err
    assert main(["data", "audit", "bad", "--near", "off", "--sheet", "near.png"]) == 2
    assert "--near off: without near copies there are none to draw" in capsys.readouterr().err.replace("\n", " ")
    assert main(["data", "audit", "bad", "--near", "off", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["near_copies"] == {}
    assert main(["data", "audit", "bad", "--out", "clean.txt"]) == 2
    assert "bad has neither test nor validation images" in capsys.readouterr().err.replace("\n", " ")
    assert not (tmp_path / "clean.txt").exists()
    assert main(["data", "prepare", "bad", "--data.skip_bad"]) == 0
    assert "left out: 1 unreadable" in capsys.readouterr().out
    assert main(["data", "prepare", "bad", "--data.skip_bad", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["unreadable"] == ["b/4.jpg"]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["run", "folder_vit", "--data.path", "nowhere"], 3, "--data.path"),
        (["run", "fer2013_lenet"], 3, "--data.path"),
        (["sweep", "folder_vit", "--data.path", "nowhere", "--seed", "0,1"], 3, "--data.path"),
        (["run", "begun", "--resume"], 3, "--data.path"),
        (["run", "drawn_faces_vit", "--out", "begun"], 2, "begun exists. Choose another --out"),
    ],
)
def test_what_is_wrong_with_names_is_said_before_torch_is_imported(arguments, code, text, tmp_path):
    """Importing torch takes seconds, on a slow machine a minute."""
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "recipe.yaml").write_text("data: {path: nowhere}")
    done = without_torch(f"from mien.cli import main\nsys.exit(main({arguments}))", tmp_path)
    assert done.returncode == code
    assert text in done.stderr


def fails(arguments, code, text, capsys):
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert text in err


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["run"], 2, "Which recipe?"),
        (["run", "fer2013_lenett"], 2, "Did you mean 'fer2013_lenet'?"),
        (["run", "folder_vit", "--train.epochz", "3"], 2, "Did you mean --train.epochs?"),
        (["run", "folder_vit", "--train.epochs", "three"], 2, "given 'three'"),
        (["run", "folder_vit", "--lr", "1e-3"], 2, "Unknown option: --lr. Did you mean --train.lr?"),
        (["run", "folder_vit", "--batch_size=8"], 2, "Did you mean --train.batch-size?"),
        (["run", "folder_vit", "PICTURES"], 2, "Pictures to learn from are named so: --data.path "),
        (["run", "folder_vit", "often"], 2, "What is 'often'? It belongs to no flag."),
        (["run", "folder_vit", "--train.compile", "false"], 2, "A switch takes no value: --train.compile turns it on"),
        (["run", "folder_cnn", "--model.widths", "8,x"], 2, "--model.widths.1: Input should be a valid integer"),
        (["run", "folder_vit", "--train.unfreeze", "2=3"], 2, "such as '{2: 11, 4: [9, 10]}', given '2=3'"),
        (["run", "folder_vit", "--model.name", "vitt", "--data.path", "PICTURES"], 2, "Did you mean 'vit'?"),
        (["run", "folder_vit", "--model.widths", "3", "--data.path", "PICTURES"], 2, "has no size 'widths'"),
        (["run", "folder_vit"], 3, "Give --data.path"),
        (["run", "folder_vit", "--data.path", "nowhere"], 3, "nowhere: there is no such file or folder"),
        (["run", "folder_vit", "--data.path", "PICTURES", "--device", "cuda"], 3, "no such device here"),
        (["run", "nothing", "--resume"], 2, "Unknown recipe 'nothing'"),
        (["run", "folder_vit", "--resume"], 3, "no unfinished run of folder_vit"),
        (["run", "folder_vit", "--resume", "--seed", "3"], 3, "no unfinished run of folder_vit with seed 3"),
        (["run", "folder_vit", "--resume", "--train.epochs", "3"], 2, "takes no others"),
        (["run", "folder_vit", "--resume", "--overwrite"], 2, "takes no others"),
        (["run", "PICTURES", "--resume", "--config", "c.yaml"], 2, "takes no others"),
        (["run", "PICTURES", "--resume", "--seed", "3"], 2, "takes no others"),
        (["run", "PICTURES", "--resume", "--train.epochs", "3"], 2, "takes no others"),
        (["run", "--config", "none.yaml"], 3, "there is no such file"),
        (["evaluate", "nowhere"], 3, "nowhere"),
        (["explain", "mien:tiny", "nowhere.jpg"], 3, "nowhere.jpg: there is no such file."),
        (["compare"], 2, "two"),
        (["compare", "a", "b", "--out", "page"], 2, "ends in .html"),
        (["compare", "nowhere", "elsewhere"], 3, "nowhere"),
        (["report", "nowhere"], 3, "nowhere"),
        (["data", "audit", "nowhere"], 3, "there is no such file or folder"),
        (["recipess"], 2, "Did you mean 'recipes'?"),
        (["train"], 2, "quickstart, recipes, report, run, serve, "),
        (["data", "look"], 2, "There are audit, forecast, prepare, review, show."),
        (["recipes", "lenet"], 2, "Did you mean 'fer2013_lenet'?"),
    ],
)
def test_bad_requests(arguments, code, text, capsys, pictures):
    if "cuda" in arguments:
        import torch

        if torch.cuda.is_available():
            pytest.skip("this machine has the device")
    fails([str(pictures) if word == "PICTURES" else word for word in arguments], code, text, capsys)


@pytest.mark.parametrize("damage", ["a text file", "a truncated picture", "an empty class"])
def test_bad_data_exits_4_and_names_the_file(damage, pictures, tmp_path, capsys):
    shutil.copytree(pictures, tmp_path / "bad")
    place = tmp_path / "bad" / "sad" / "bad.jpg"
    if damage == "a text file":
        place.write_text("not a picture")
    elif damage == "a truncated picture":
        original = next((pictures / "sad").iterdir()).read_bytes()
        place.with_suffix(".png").write_bytes(original[: len(original) // 2])
    else:
        shutil.rmtree(place.parent)
        place.parent.mkdir()
    fails(["data", "prepare", "bad"], 4, "sad" if damage == "an empty class" else "bad.", capsys)
    assert not list((tmp_path / "cache").glob("*"))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("model: vit", "valid dictionary or instance of Model, given 'vit'"),
        ("model: {name: 5}", "valid string, given 5"),
    ],
)
@pytest.mark.parametrize("verb", ["run", "sweep"])
def test_a_network_that_is_no_name_in_a_file(tmp_path, capsys, verb, content, problem):
    (tmp_path / "c.yaml").write_text(content)
    fails([verb, "folder_vit", "--config", "c.yaml", "--seed", "0,1"[: 1 if verb == "run" else 3]], 2, problem, capsys)


def test_an_unknown_key_in_a_file_or_the_environment(tmp_path, capsys, monkeypatch):
    (tmp_path / "c.yaml").write_text("train: {epoch: 3}")
    fails(["run", "folder_vit", "--config", "c.yaml"], 2, "Did you mean 'epochs'?", capsys)
    monkeypatch.setenv("MIEN_TRIAN__EPOCHS", "3")
    fails(["run", "folder_vit"], 2, "Did you mean 'train'?", capsys)


def without_torch(code, folder):
    """Run code as on a machine where only `pip install mien` was run."""
    hide = "import sys\nfor name in ('torch', 'torchmetrics', 'lightning', 'matplotlib'): sys.modules[name] = None\n"
    return subprocess.run([sys.executable, "-c", hide + code], capture_output=True, text=True, cwd=folder)


@pytest.mark.parametrize("arguments", [["quickstart"], ["evaluate", "mien:tiny", "--data.source", "drawn_faces"]])
def test_a_missing_extra_names_the_pip_line(arguments, tmp_path):
    done = without_torch(f"from mien.cli import main\nsys.exit(main({arguments}))", tmp_path)
    assert done.returncode == 3, done.stderr
    assert done.stderr.strip() == "mien: this needs the 'train' extra: pip install 'mien[train]'"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", ["from_pretrained", "explain"])
def test_a_verb_whose_extra_is_missing(verb, tmp_path):
    done = without_torch(f"import mien\nmien.{verb}('run')", tmp_path)
    assert "mien.errors.MissingError: this needs the 'train' extra: pip install 'mien[train]'" in done.stderr


def test_a_recipe_is_shown_without_torch(tmp_path):
    done = without_torch("from mien.cli import main\nsys.exit(main(['recipes', 'folder_vit']))", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "embed_dim" in done.stdout
    assert "pip install 'mien[train]'" in done.stderr


def test_version_and_help(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == "0.2.0"
    assert main(["run", "--help"]) == 0
    out = capsys.readouterr().out
    assert "--train.label-smoothing" in out
    assert "runs/RECIPE-DATE-SEED" in out  # <recipe> would be taken for markup and vanish
    assert "--allow-code MODULE:NAME" in out
    words = " ".join(out.replace("│", " ").split())
    listed = words.partition("One of ")[2].partition(";")[0].split(", ")
    assert sorted(listed) == list_models()


def test_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m mien recipes | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
