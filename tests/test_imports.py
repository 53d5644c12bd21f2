"""Importing costs nothing, and each room knows only the rooms before it."""

import ast
import subprocess
import sys
from pathlib import Path

import mien

SOURCE = Path(mien.__file__).parent
HEAVY = {"fastapi", "uvicorn", "torch", "lightning", "matplotlib", "kornia", "torchmetrics", "cv2", "scipy"}

# folder -> what of ours it may import
ALLOWED = {
    "models": {"mien.errors", "mien.models"},
    "data": {
        f"mien.{name}"
        for name in ["config", "data", "errors", "files", "labels", "picture_files", "preprocessing", "progress"]
    }
    | {"mien"},
    "runtime": {
        f"mien.{name}" for name in ["assets", "errors", "picture_files", "preprocessing", "progress", "runtime"]
    },
    "pretrained": {
        f"mien.{name}" for name in ["assets", "errors", "files", "models", "preprocessing", "pretrained", "progress"]
    }
    | {"mien"},
}


def modules_after(code: str) -> set[str]:
    printed = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in printed.stdout.splitlines()[-1].split()}


def test_import_and_help_load_nothing_heavy():
    help_ = "import contextlib, io\nfrom mien.cli import main\nwith contextlib.redirect_stdout(io.StringIO()):\n    "
    assert not modules_after("import mien") & (HEAVY | {"numpy", "pydantic"})
    assert not modules_after(help_ + "assert main(['--help']) == 0") & HEAVY
    assert not modules_after(help_ + "assert main(['recipes']) == 0") & HEAVY


def test_reading_data_needs_no_torch():
    assert "torch" not in modules_after("import mien.data, mien.data.folder, mien.data.audit")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return {name for name in found if name.partition(".")[0] == "mien"}


def test_data_flows_one_way():
    for folder, allowed in ALLOWED.items():
        for path in (SOURCE / folder).glob("*.py"):
            for name in imports(path):
                parents = {name, ".".join(name.split(".")[:2])}
                assert parents & allowed, f"{path.relative_to(SOURCE)} imports {name}"


def test_no_module_imports_torchvision():
    assert not [path for path in SOURCE.rglob("*.py") if "torchvision" in " ".join(_imported(path))]


def _imported(path: Path) -> set[str]:
    tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return {node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name
            for node in tree if isinstance(node, ast.Import | ast.ImportFrom)}  # fmt: skip
