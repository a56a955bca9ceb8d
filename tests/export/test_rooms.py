"""The rooms of the exporter: which may import which, how full they are, and that the arrows have no cycle."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "export" / "fsexport"

MAY_IMPORT = {
    "graphs": set[str](),
    "artifact": {"graphs"},
    "sources": {"artifact", "graphs"},
    "align": {"artifact", "graphs"},
    "inputs": {"align", "artifact"},
    "detect": {"inputs", "sources", "artifact", "graphs"},
    "embed": {"inputs", "sources", "artifact", "graphs"},
    "heads": {"inputs", "sources", "artifact", "graphs"},
    "packs": {"align", "artifact", "detect", "embed", "heads", "inputs", "sources"},
}


def imported_rooms(path: Path) -> set[str]:
    """Return the rooms that a module imports, anywhere in it."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    parts = [name.split(".") for name in names]
    return {part[1] for part in parts if part[0] == "fsexport" and len(part) > 1}


def test_every_folder_is_a_room() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == set(MAY_IMPORT)
    assert {path.name for path in PACKAGE.glob("*.py")} == {"__init__.py", "cli.py"}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    modules = [path for path in (PACKAGE / room).glob("*.py") if path.name != "__init__.py"]
    assert 1 < len(modules) <= 14
    imported = set[str]()
    for path in modules:
        found = imported_rooms(path) - {room}
        assert found <= MAY_IMPORT[room], f"{path} imports {sorted(found - MAY_IMPORT[room])}"
        imported |= found
    assert imported == MAY_IMPORT[room], "an arrow that nothing needs"


def test_the_arrows_have_no_cycle() -> None:
    assert len(list(TopologicalSorter(MAY_IMPORT).static_order())) == len(MAY_IMPORT)
