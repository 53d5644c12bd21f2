"""The documentation names commands that exist, and its examples of adding something run."""

import json
import pkgutil
import re
import shlex
import shutil
from dataclasses import fields
from pathlib import Path

import pytest
import yaml
from PIL import Image

import mien
from mien.assets import asset
from mien.cli import main, run
from mien.cli.app import app
from mien.data.sources import drawn_faces
from mien.errors import MienError
from mien.explain import Explanation
from mien.models import count_parameters, create_model

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


def blocks(page: Path, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_exist_with_their_options(page):
    lines = [line for block in blocks(page, "bash") for line in block.splitlines() if line.startswith("mien ")]
    for line in lines:
        words = shlex.split(line.rstrip("\\"))[1:]
        _, _, unused, _ = app.parse_known_args(words)
        if "--model.name mine:" in line or "--model.name timm:" in line:  # whose own sizes other tests try
            unused = []
        assert not unused, f"{line}: {unused}"


def test_the_answer_that_the_server_is_said_to_give():
    shown = json.loads(blocks(DOCS / "how-to" / "serve.md", "json")[0])
    reader = mien.load("mien:base", threads=1)
    assert reader.network.card["fingerprint"].startswith(shown["model"].rstrip("…"))
    (face,) = reader.read(DOCS / "pictures" / "astronaut.jpg")
    (example,) = shown["images"][0]["faces"]
    assert face.to_dict() == example | {
        "confidence": pytest.approx(example["confidence"], abs=2e-3),
        "probabilities": pytest.approx(example["probabilities"], abs=2e-3),
    }


def test_the_kubernetes_example_asks_for_what_there_is():
    from mien.serve.server import DRAIN, FINISH

    deployment, service, scaler = yaml.safe_load_all(blocks(DOCS / "how-to" / "serve.md", "yaml")[0])
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    entry = re.search(r"ENTRYPOINT (\[.*\])", (DOCS.parent / "Dockerfile").read_text(encoding="utf-8"))
    words = [*json.loads(entry[1]), *container["args"]]
    assert not app.parse_known_args(words[1:])[2]
    assert words[words.index("--port") + 1] == str(container["ports"][0]["containerPort"])
    assert service["spec"]["ports"][0]["targetPort"] == 8000
    source = Path(mien.__file__).with_name("serve").joinpath("app.py").read_text(encoding="utf-8")
    for probe in ("livenessProbe", "readinessProbe"):
        assert f'@app.get("{container[probe]["httpGet"]["path"]}"' in source
    waits = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] >= waits + DRAIN + 2 * FINISH
    assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"]


def test_the_lines_without_mien_give_the_answers_of_mien(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(asset("base", "model.onnx"), "model.onnx")
    with Image.open(DOCS / "pictures" / "astronaut.jpg") as photo:
        photo.crop((177, 66, 272, 151)).save("face.png")  # not square, and larger than the network's input
    names: dict[str, object] = {}
    exec(compile(blocks(DOCS / "how-to" / "onnx.md", "python")[0], "onnx.md", "exec"), names)
    (face,) = mien.load("model.onnx", threads=1).read("face.png", detect=False)
    assert capsys.readouterr().out.strip() == face.label == "happy"
    assert names["probabilities"] == pytest.approx(list(face.probabilities.values()), abs=1e-4)


def test_the_docs_vtff_is_the_published_one(tmp_path, monkeypatch):
    """Its commands are run up to the point where data would be looked for."""
    page, asked, recipe_of = DOCS / "understanding" / "rebuilds.md", [], run._recipe

    def caught(*words):
        asked.append(recipe_of(*words))
        raise MienError("enough")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run, "_recipe", caught)
    Path("vtff-224.yaml").write_text(blocks(page, "yaml")[0])
    for line in (line for block in blocks(page, "bash") for line in block.splitlines() if "vtff" in line):
        assert main(shlex.split(line)[1:]) == 1
    assert [recipe.data.source for recipe in asked] == ["ferplus", "raf_db", "affectnet"]
    assert len({recipe.model for recipe in asked}) == 1
    assert all((recipe.data.size, recipe.data.channels) == (224, 3) for recipe in asked)
    model = create_model("vtff", img_size=224, in_chans=3, **asked[0].model.sizes())
    assert count_parameters(model) / 1e6 == pytest.approx(51.8, abs=0.05)


def pages_of(nav: list | str) -> list[str]:
    """The paths in a navigation, shelf by shelf."""
    if isinstance(nav, str):
        return [nav]
    return [path for entry in nav for below in entry.values() for path in pages_of(below)]


def test_every_page_is_in_the_navigation():
    nav = yaml.safe_load((DOCS.parent / "mkdocs.yml").read_text())["nav"]
    assert sorted(pages_of(nav)) == sorted(page.relative_to(DOCS).as_posix() for page in PAGES)


def anchors(page: Path) -> set[str]:
    """What a link into the page may name: its headings, in lower case, with hyphens for spaces."""
    headings = re.findall(
        r"^#+ (.*)$", re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL), re.M
    )
    return {re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip()) for heading in headings}


@pytest.mark.parametrize("page", [*sorted(DOCS.parent.glob("*.md")), *PAGES], ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        place, _, anchor = link.removeprefix("https://github.com/mien-toolkit/mien/blob/main/").partition("#")
        if place.startswith(("http:", "https:", "mailto:")):
            continue
        target = (DOCS.parent if place != link.partition("#")[0] else page.parent) / place if place else page
        assert target.exists(), link
        assert not anchor or target.suffix != ".md" or anchor in anchors(target), link


REFERENCE = re.findall(r"^::: (\S+)", (DOCS / "reference" / "python.md").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("name", REFERENCE)
def test_what_the_reference_names_is_there(name):
    assert pkgutil.resolve_name(name).__doc__


def test_the_reference_shows_every_field_of_an_explanation():
    assert "mien.explain.Explanation" in REFERENCE
    for field in fields(Explanation):
        assert f"        {field.name}: " in Explanation.__doc__


@pytest.mark.timeout(900)  # trains twice, explains, exports
def test_the_examples_from_python_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    faces = drawn_faces.read(70, 48, seed=0)
    for i in range(70):
        path = tmp_path / "pictures" / faces.classes[faces.labels[i]] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        faces.read(i).save(path)
    shutil.copy(path, "photo.jpg")
    source = "".join(blocks(DOCS / "start" / "python.md", "python"))
    names: dict[str, object] = {}
    exec(compile(source.replace('"epochs": 5', '"epochs": 1, "warmup_epochs": 0'), "python.md", "exec"), names)
    assert names["why"].label in faces.classes
    assert set(names["trained"].labels) == set(faces.classes)


@pytest.fixture
def extended(tmp_path, monkeypatch):
    """The folder one starts in, with the files of docs/how-to/extend.md."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    for source in blocks(DOCS / "how-to" / "extend.md", "python"):
        name = re.match(r"# (\w+\.py)\n", source).group(1)
        (tmp_path / name).write_text(source)
    return tmp_path


def test_a_model_and_a_recipe_of_ones_own(extended, capsys):
    assert main(["run", "my_recipe.py", "--out", "run"]) == 0, capsys.readouterr().err
    assert "own: mine:Net, 271 parameters" in capsys.readouterr().err
    assert (extended / "run" / "report.html").exists()


def test_a_reader_of_ones_own(extended, capsys):
    faces = drawn_faces.read(70, 16, seed=0)
    (extended / "pictures").mkdir()
    for i in range(70):
        faces.read(i).save(extended / "pictures" / f"{faces.classes[faces.labels[i]]}-{i}.png")
    prepare = ["data", "prepare", "pictures", "--data.source", "my_reader:read", "--data.size", "16", "--json"]
    assert main(prepare) == 0, capsys.readouterr().err
    found = json.loads(capsys.readouterr().out)
    assert found["images"] == {"train": 70, "validation": 0, "test": 0}
    assert found["classes"] == sorted(faces.classes)
    assert main(["data", "audit", "pictures", "--data.source", "my_reader:read", "--data.size", "16"]) == 0
    assert "train 70, validation 0" in capsys.readouterr().out
