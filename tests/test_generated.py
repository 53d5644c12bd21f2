"""docs/generate.py: the pages that it writes are not stale, and name every setting and verb."""

import re
import runpy
from pathlib import Path

import pytest

import mien
from mien import recipes
from mien.cli.app import app
from mien.config import Recipe
from mien.models import list_models, sizes_of
from mien.models.sizes import FROM_DATA

ROOT = Path(__file__).parent.parent
PAGES = runpy.run_path(str(ROOT / "docs" / "generate.py"))["pages"]()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_a_generated_page_is_not_stale(page):
    assert page.read_text(encoding="utf-8") == PAGES[page], "stale: run python docs/generate.py"


def test_every_setting_stands_on_the_page():
    page = PAGES[ROOT / "docs" / "reference" / "settings.md"]
    for name, field in Recipe.model_fields.items():
        below = getattr(field.annotation, "model_fields", None)
        for setting in [f"{name}.{key}" for key in below] if below else [name]:
            assert f"\n| `{setting}` |" in page, setting
    for network in list_models():
        rows = page.partition(f"\n### {network}\n")[2].partition("\n#")[0]
        assert all(f"\n| `model.{size}` |" in rows for size in sizes_of(network).model_fields if size not in FROM_DATA)


def test_every_verb_stands_on_the_page():
    page = PAGES[ROOT / "docs" / "reference" / "commands.md"]
    for name in (name for name in app if not name.startswith("-")):
        assert f"\n## mien {name}" in page


def test_every_recipe_stands_on_the_page():
    page = PAGES[ROOT / "docs" / "reference" / "recipes.md"]
    assert [name for name in recipes.names() if f"\n## {name}\n" not in page] == []


def test_every_public_name_stands_on_the_page():
    page = PAGES[ROOT / "docs" / "reference" / "python.md"]
    for name in mien.__all__:
        assert re.search(rf"^::: mien\.[\w.]+\.{name}$", page, re.MULTILINE), name


def test_every_recorded_run_stands_in_the_results():
    runs = {line.split(",")[0] for line in (ROOT / "results" / "runs.csv").read_text("utf-8").splitlines()[1:]}
    page = PAGES[ROOT / "docs" / "results.md"]
    assert all(f"| `{run}` |" in page for run in runs if run != "fer2013_mae"), "a pretraining has no accuracy"
