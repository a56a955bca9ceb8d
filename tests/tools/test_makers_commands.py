"""The makers' commands: help with an example, errors that say what is missing, nothing of them for users."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from fsclient.models.build_on_request import packs_on_request

TOOLS = Path(__file__).resolve().parents[2] / "tools"
COMMANDS = ("full_size_pack", "build_lite_pack", "parity_tables")


def tool(name: str, *args: object) -> subprocess.CompletedProcess[str]:
    """Run a tool as its help says, in an own interpreter."""
    return subprocess.run(
        [sys.executable, str(TOOLS / f"{name}.py"), *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_tool_has_help_with_an_example_as_it_is_typed(name: str) -> None:
    pytest.importorskip("onnx")
    done = tool(name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"python tools/{name}.py --" in done.stdout
    assert "\\b" not in done.stdout


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("full_size_pack", "weights/insightface/det_500m.onnx and 2 other files in it"),
        ("parity_tables", "weights/insightface/det_500m.onnx and 8 other files in it"),
    ],
)
def test_missing_assets_are_named(name: str, file: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    out = ("--out", tmp_path / "pack") if name == "full_size_pack" else ("--artifacts", tmp_path / "artifacts")
    done = tool(name, "--assets", tmp_path, *out)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert f"{tmp_path} is not a complete folder of test assets: expected {file}" in done.stderr
    assert "--assets" in done.stderr
    assert not list(tmp_path.iterdir())


def test_users_are_not_offered_the_packs_of_makers() -> None:
    assert not {"test", "full-size"} & set(packs_on_request())


def test_the_packages_do_not_import_the_tools() -> None:
    root = TOOLS.parent
    names = {path.stem for path in TOOLS.iterdir()}
    for package in ("client", "engine", "export", "training", "data"):
        for path in (root / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module:
                    assert node.module.split(".")[0] not in names, path
                elif isinstance(node, ast.Import):
                    assert not {alias.name.split(".")[0] for alias in node.names} & names, path
