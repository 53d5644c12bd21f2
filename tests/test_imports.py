"""Importing costs nothing, and each room knows only the rooms before it."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mien
from mien.cli.app import app

SOURCE = Path(mien.__file__).parent
HEAVY = {"fastapi", "uvicorn", "torch", "lightning", "matplotlib", "kornia", "torchmetrics", "cv2", "scipy"}
HEAVY |= {"jinja2", "markupsafe", "safetensors", "onnx"}  # which the package without extras lacks
LIBRARIES = {"numpy", "pydantic", "cyclopts", "rich", "yaml", "PIL", "onnxruntime"}  # which it brings

# folder -> what of ours it may import
ALLOWED = {
    folder: {folder, *names.split()}
    for folder, names in {
        "models": "errors operators plugins",
        "data": "cache config drafts errors atomic hub intervals labels media packed pictures plugins "
        "preprocessing progress words",
        "runtime": "assets atomic cells drafts errors hub labels locks media packed pictures preprocessing progress "
        "words",
        "serve": "mien errors labels page pictures preprocessing progress runtime",
        "scale": "addresses atomic cluster data errors pictures progress runtime",
        "pretrained": "drafts mien assets errors atomic hub models plugins preprocessing progress runs runtime words",
        "runs": "cells drafts atomic config data errors labels locks progress",
        "train": "cache cluster drafts config data errors evaluate atomic hardware intervals labels locks models "
        "operators plugins preprocessing pretrained progress runs runtime words",
        "evaluate": "cache cells config data errors atomic hardware intervals labels models pictures preprocessing "
        "pretrained progress runs runtime words",
        "explain": "data errors evaluate hardware hub intervals labels models pictures pretrained progress runs "
        "runtime words",
        "review": "atomic cells config data errors evaluate intervals labels page preprocessing pretrained progress "
        "runs runtime serve",
        "web": "assets atomic drafts errors labels page runtime serve",
        "report": "config data errors evaluate explain atomic labels pretrained progress recipes runs runtime words",
    }.items()
}


def modules_after(code: str) -> set[str]:
    printed = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in printed.stdout.splitlines()[-1].split()}


def test_import_and_help_load_nothing_heavy():
    help_ = "import contextlib, io\nfrom mien.cli import main\nwith contextlib.redirect_stdout(io.StringIO()):\n    "
    assert not modules_after("import mien") & (HEAVY | LIBRARIES)
    for flag in ("--help", "--version"):
        assert not modules_after(f"{help_}assert main(['{flag}']) == 0") & (HEAVY | LIBRARIES)
    assert not modules_after(help_ + "main(['predict', '--help'])") & (HEAVY | {"numpy", "pydantic", "yaml"})
    assert not modules_after(help_ + "assert main(['recipes']) == 0") & HEAVY


def test_reading_data_needs_no_torch():
    assert "torch" not in modules_after("import mien.data, mien.data.sources.folder, mien.data.audit")


def imports(source: str) -> set[str]:
    """The modules of ours next below `mien` that a source imports; 'mien' for what is in none of them."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    parts = [name.split(".") for name in found if name.partition(".")[0] == "mien"]
    return {name[1] if len(name) > 1 and is_module(name[1]) else "mien" for name in parts}


def is_module(name: str) -> bool:
    return (SOURCE / name).is_dir() or (SOURCE / f"{name}.py").is_file()


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from mien import config, labels", {"config", "labels"}),
        ("from mien import __version__", {"mien"}),
        ("import mien", {"mien"}),
        ("import mien.data.sources.folder, numpy", {"data"}),
        ("def f():\n    from mien.train.run import run", {"train"}),
        ("from torch import nn", set()),
    ],
)
def test_every_way_to_import_is_seen(source, found):
    assert imports(source) == found


def test_data_flows_one_way():
    for folder, allowed in ALLOWED.items():
        for path in (SOURCE / folder).rglob("*.py"):
            others = imports(path.read_text(encoding="utf-8")) - allowed
            assert not others, f"{path.relative_to(SOURCE)} imports {', '.join(sorted(others))}"


def test_every_verb_is_the_file_of_its_name():
    files = {path.stem for path in (SOURCE / "cli").glob("*.py")} - {
        "__init__",
        "app",
        "data_settings",
        "dispatch",
        "forecast",  # a verb of `mien data`
        "front",
        "output",
        "review",  # another
        "setting_flags",
        "sources",
        "wording",
    }
    assert files == {name for name in app if not name.startswith("-")}


def test_no_module_imports_torchvision():
    assert not [path for path in SOURCE.rglob("*.py") if "torchvision" in " ".join(_imported(path))]


def _imported(path: Path) -> set[str]:
    tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name
            for node in tree if isinstance(node, ast.Import | ast.ImportFrom)}  # fmt: skip


def test_one_name_is_one_thing():
    names = [
        node.name
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    ]
    assert not {name for name in names if names.count(name) > 1}


def test_one_module_sets_up_lightnings_trainer():
    found = [path.name for path in SOURCE.rglob("*.py") if "L.Trainer(" in path.read_text(encoding="utf-8")]
    assert found == ["trainer.py"]


def test_a_run_folder_is_read_without_torch():
    assert "torch" not in modules_after("import mien.runs, mien.runs.writing, mien.runs.history")


def test_no_network_is_known_outside_models():
    """What explaining and freezing need, models/protocol.py asks of any network."""
    networks = re.compile(r"mien\.models\.(vit|resnet|vtff|shallow_vit|lenet|cnn_v1|cnn_v2)(_sizes)?\b")
    for folder in ("config", "explain", "report", "evaluate"):
        for path in (SOURCE / folder).rglob("*.py"):
            assert not networks.search(path.read_text(encoding="utf-8")), path
