"""Files that tools outside of Python read: workflow, citation, justfile, and what they say of the project."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("file", "schema"),
    [(".github/workflows/ci.yml", "vendor.github-workflows"), ("CITATION.cff", "vendor.citation-file-format")],
)
def test_it_is_what_its_schema_says(file: str, schema: str) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(ROOT / file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_says_the_same_version() -> None:
    version = importlib.metadata.version("facestats")
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    assert re.search(rf"^## .*{re.escape(version)}", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


def test_the_recipes_that_are_named_are_there() -> None:
    recipes = set(re.findall(r"^([a-z]+)(?: \*arguments)?:$", (ROOT / "justfile").read_text(), re.MULTILINE))
    assert {"setup", "lint", "types", "test", "docs", "build", "images"} <= recipes
    for page in ("CONTRIBUTING.md", ".github/workflows/ci.yml", ".ci/run", ".pre-commit-config.yaml"):
        named = set(re.findall(r"(?:`|run: |bin/)(?:\.venv/bin/)?just ([a-z]+)", (ROOT / page).read_text()))
        assert named <= recipes, page
        assert named, page


def test_every_extra_that_is_named_is_there() -> None:
    extras = set(importlib.metadata.metadata("facestats").get_all("Provides-Extra") or [])
    pages = [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "justfile"]
    for page in pages:
        for named in re.findall(r"(?:facestats|'\.)\[([a-z,]+)\]", page.read_text()):
            assert set(named.split(",")) <= extras, page
