"""Rules of the tree: what imports what, what is light, what is documented."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fsclient.cli import main as fsclient
from fsdata.cli import main as fsdata
from fsengine.cli import main as fsengine
from fsexport.cli import main as fsexport
from fstraining.cli import main as fstrain

ROOT = Path(__file__).resolve().parents[1]

MAY_IMPORT = {
    "client/fsclient": {"fsclient", "fsengine", "fsdata", "fsexport"},
    "engine/fsengine": {"fsengine"},
    "export/fsexport": {"fsexport", "fsengine", "fsdata"},
    "training/fstraining": {"fstraining", "fsexport", "fsengine", "fsdata"},
    "data/fsdata": {"fsdata", "fsengine"},
}
OURS = {"fsclient", "fsengine", "fsexport", "fstraining", "fsdata"}
# Makers' modules that fit what they export; they are to leave the package for tools/.
MAKERS = {"demo_figures", "demo_pack", "parity_tables", "test_pack"}
HEAVY = ("torch", "tensorrt", "onnx", "onnxruntime", "nvidia.dali", "lightgbm", "treelite", "tritonclient", "cv2")


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield each imported module and whether the import stands at the top level."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for name in names:
            yield name, node in tree.body


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_go_one_way(package: str) -> None:
    for path in modules(package):
        if package == "export/fsexport" and path.stem in MAKERS:
            continue
        for name, _ in imported(path):
            top = name.split(".")[0]
            assert top not in OURS or top in MAY_IMPORT[package], f"{path} imports {name}"


def test_the_client_imports_the_exporter_only_where_it_builds_a_pack() -> None:
    for path in modules("client/fsclient"):
        for name, at_top in imported(path):
            assert not (name.startswith("fsexport") and at_top), path


@pytest.mark.parametrize("package", [p for p in MAY_IMPORT if p != "export/fsexport"])
def test_no_module_imports_a_heavy_library_at_its_top(package: str) -> None:
    for path in modules(package):
        for name, at_top in imported(path):
            assert not (at_top and name.startswith(HEAVY)), f"{path} imports {name}"


def test_the_command_line_loads_no_heavy_library() -> None:
    program = (
        "import sys, fsclient.cli\n"
        f"print([name for name in {HEAVY + ('numpy', 'pyarrow', 'PIL')!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_modules_are_small_and_say_what_they_are(package: str) -> None:
    for path in modules(package):
        text = path.read_text()
        assert len(text.splitlines()) <= 400, path
        assert path.stem not in {"utils", "helpers", "common", "misc"}, path
        assert ast.get_docstring(ast.parse(text)), path


def commands(group: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    yield name, group
    if isinstance(group, click.Group):
        with click.Context(group) as context:
            for sub in group.list_commands(context):
                command = group.get_command(context, sub)
                assert command is not None
                yield from commands(command, f"{name} {sub}")


ROOTS = {"fsclient": fsclient, "fsengine": fsengine, "fsexport": fsexport, "fstrain": fstrain, "fsdata": fsdata}
ALL_COMMANDS = dict(pair for name, group in ROOTS.items() for pair in commands(group, name))


@pytest.mark.parametrize("name", ALL_COMMANDS)
def test_every_command_has_help_with_an_example_and_is_documented(name: str) -> None:
    command = ALL_COMMANDS[name]
    shown = CliRunner().invoke(command, ["--help"])
    assert shown.exit_code == 0
    assert "Example" in shown.output
    for parameter in command.params:
        assert not isinstance(parameter, click.Option) or parameter.help, f"{name} {parameter.name}"
    if not isinstance(command, click.Group):
        assert name in (ROOT / "docs" / "cli.md").read_text()


def test_the_repository_names_no_path_of_a_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is not a git checkout")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".txt", ".json", ".pbtxt", ".tsv"} and path.is_file():
            assert os.fspath(Path.home()) + "/" not in path.read_text() or Path.home() == Path("/"), name
