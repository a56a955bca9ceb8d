"""The documentation site: it is built, no link of it leads nowhere, and what its pages show runs."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from column_page import column_page
from fsclient import Client
from fsdata.results.master_table import build_table
from fsdata.sample_photos import sample_folder
from fsengine.server.embedded import EmbeddedServer

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"

_PYTHON = re.compile(r"```python\n(.*?)```", re.DOTALL)


def test_every_link_of_the_site_leads_somewhere(tmp_path: Path) -> None:
    if importlib.util.find_spec("zensical") is None:
        pytest.skip("zensical is missing: pip install -c constraints.txt -e '.[docs]'")
    command = [sys.executable, str(ROOT / "tools" / "build_site.py"), str(tmp_path / "site")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    ingest = (tmp_path / "site" / "reference" / "commands" / "fsclient" / "index.html").read_text()
    assert "--runner" in ingest
    assert "score_many" in (tmp_path / "site" / "reference" / "names" / "index.html").read_text()


def test_the_dictionary_of_columns_is_what_the_contracts_say() -> None:
    expected = column_page(REFERENCE / "contract.json")
    assert (REFERENCE / "columns.md").read_text() == expected, "python tools/column_page.py > docs/reference/columns.md"


@pytest.fixture
def _results(lite_server: EmbeddedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder `results` as the pages have it, in the current one."""
    with Client(lite_server.url) as client:
        client.ingest(sample_folder(), tmp_path / "results")
    build_table(tmp_path / "results")
    monkeypatch.chdir(tmp_path)


@pytest.mark.triton
@pytest.mark.usefixtures("_results")
@pytest.mark.parametrize("page", ["docs/reference/queries.md", "docs/tutorial.md"])
def test_the_queries_run(page: str) -> None:
    names: dict[str, Any] = {}
    num_answers = 0
    for block in _PYTHON.findall((ROOT / page).read_text()):
        for statement in ast.parse(block).body:
            if isinstance(statement, ast.Expr):
                answer = eval(compile(ast.Expression(statement.value), page, "eval"), names)
                num_answers += answer is None or len(answer) >= 0
            else:
                exec(compile(ast.Module([statement], []), page, "exec"), names)
    assert num_answers > 0
