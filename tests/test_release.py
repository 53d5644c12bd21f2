"""What outsiders see of a release is in step: version, dates, workflows, tools."""

import re
import tomllib
from pathlib import Path

import yaml

import mien

ROOT = Path(__file__).parent.parent
CHANGES = re.findall(r"^## (\d[\d.]*) \((.+)\)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_changelog_and_citation_name_the_version():
    newest, date = CHANGES[0]
    assert newest == mien.__version__ == CITATION["version"]
    assert date == str(CITATION["date-released"])


def test_workflows_run_what_a_contributor_runs():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    jobs = [job for path in WORKFLOWS for job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()]
    runs = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    assert sorted(runs) == ["bash .ci/run", "bash .ci/run docs", "bash .ci/run light"]
    for part in (word for run in runs for word in run.split()[2:]):
        assert f"\n{part}() {{" in script
    versions = [job["strategy"]["matrix"]["python"] for job in jobs if "strategy" in job]
    supported = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["requires-python"]
    assert versions == [["3.11", "3.13"]]
    assert supported == ">=3.11,<3.14"


def test_issue_forms_are_forms():
    forms = [path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"]
    assert len(forms) == 3
    for path in forms:
        form = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert form["name"]
        assert form["description"]
        assert all(field["attributes"]["label"] for field in form["body"])


def test_pre_commit_has_the_linter_of_ci():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    pinned = re.search(r"^ruff==(.+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE).group(1)
    assert hooks[0]["rev"] == f"v{pinned}"
