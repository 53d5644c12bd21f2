"""log/: one experiment a file, cited by its file; the index is complete."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ENTRIES = sorted(path for path in (ROOT / "log").glob("*.md") if path.name != "README.md")
READ = ("src", "docs", "tests", "benchmarks", "log", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "RELEASING.md")
SOURCES = [
    path
    for name in READ
    for path in ([ROOT / name] if (ROOT / name).is_file() else (ROOT / name).rglob("*"))
    if path.suffix in (".py", ".md", ".ipynb") and path != Path(__file__)
]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.stem)
def test_an_entry_says_what_was_asked_and_what_was_decided(entry):
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-[a-z0-9.-]+\.md", entry.name)
    found = re.findall(r"^#+ .*", entry.read_text(encoding="utf-8"), re.MULTILINE)
    assert found[0].startswith("# ")
    assert found[1:] == ["## Question", "## Setup", "## Result", "## Decision"]


def test_the_index_lists_every_entry_newest_first():
    listed = re.findall(r"^- \[.+\]\((.+)\)$", (ROOT / "log" / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(listed) == [entry.name for entry in ENTRIES]
    dates = [name[:10] for name in listed]
    assert dates == sorted(dates, reverse=True)


def test_every_citation_is_an_entry():
    cited = {name for path in SOURCES for name in re.findall(r"\blog/(\d{4}-[\w.-]+\.md)", path.read_text("utf-8"))}
    cited |= {name for path in ENTRIES for name in re.findall(r"\]\((\d{4}-[\w.-]+\.md)\)", path.read_text("utf-8"))}
    assert len(cited) >= 15
    assert cited <= {entry.name for entry in ENTRIES}


def test_nothing_cites_the_log_as_a_whole():
    assert [path for path in SOURCES if re.search(r"\bLOG\.md", path.read_text("utf-8"))] == []
