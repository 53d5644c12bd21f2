"""The documentation names commands that exist, and its examples of adding something run."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from mien.cli import main
from mien.cli.app import app

DOCS = Path(__file__).parent.parent / "docs"
PAGES = sorted(DOCS.glob("*.md"))


def blocks(page: Path, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_exist_with_their_options(page):
    lines = [line for block in blocks(page, "bash") for line in block.splitlines() if line.startswith("mien ")]
    for line in lines:
        words = shlex.split(line.rstrip("\\"))[1:]
        _, _, unused, _ = app.parse_known_args(words)
        assert not unused, f"{line}: {unused}"


def test_every_page_is_in_the_navigation():
    listed = [
        page for entry in yaml.safe_load((DOCS.parent / "mkdocs.yml").read_text())["nav"] for page in entry.values()
    ]
    assert sorted(listed) == [page.name for page in PAGES]


def test_a_model_and_a_recipe_of_ones_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIEN_CACHE", str(tmp_path / "cache"))
    for source in blocks(DOCS / "extend.md", "python"):
        name = re.match(r"# (\w+\.py)\n", source).group(1)
        (tmp_path / name).write_text(source)
    assert main(["run", "my_recipe.py", "--out", "run"]) == 0, capsys.readouterr().err
    assert "linear: mine:Linear, 4,039 parameters" in capsys.readouterr().err
    assert (tmp_path / "run" / "report.html").exists()
