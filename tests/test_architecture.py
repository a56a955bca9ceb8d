"""Rules of the tree: what imports what, what is light, what is documented."""

from __future__ import annotations

import ast
import importlib
import os
import re
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
    "engine/fsengine": set(),
    "data/fsdata": {"fsengine"},
    "export/fsexport": {"fsdata", "fsengine"},
    "training/fstraining": {"fsexport", "fsdata", "fsengine"},
    "client/fsclient": {"fsdata", "fsengine", "fsexport"},
    "gateway/fsgateway": {"fsclient", "fsdata", "fsengine"},
    "analysis/fsanalysis": {"fsclient", "fsdata", "fsengine"},
}
"""Package to the others that it may import."""

PACKS_ON_REQUEST = ROOT / "client" / "fsclient" / "models" / "build_on_request.py"
"""The one module of the client that imports the exporter: it makes packs that are asked for by name."""

MOST_ENTRIES = 14
MOST_LINES = 400
COMMAND_FOLDER = ROOT / "client" / "fsclient" / "commands"
SHARED_STEMS = {"__init__", "cli", "commands", "model"}
"""File names that mean the same wherever they stand: a package, its program, a room's commands, Triton's own name."""

OURS = {"fsclient", "fsengine", "fsexport", "fstraining", "fsdata", "fsgateway", "fsanalysis"}
HEAVY = (
    "torch",
    "tensorrt",
    "onnx",
    "onnxruntime",
    "nvidia.dali",
    "lightgbm",
    "treelite",
    "tritonclient",
    "cv2",
    "rich",
    "scipy",
    "sklearn",
    "matplotlib",
    "fastapi",
    "uvicorn",
    "duckdb",
)
BUILT_ON = {"gateway/fsgateway": ("fastapi", "uvicorn")}
"""Package to the heavy libraries that it is built on; only its command must do without them."""


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
            # `from package import module` names a module too.
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            yield name, node in tree.body


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_go_one_way(package: str) -> None:
    own = Path(package).name
    for path in modules(package):
        for name, _ in imported(path):
            top = name.split(".")[0]
            assert top not in OURS - {own} or top in MAY_IMPORT[package], f"{path} imports {name}"


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_rooms_do_not_import_each_other_in_a_circle(package: str) -> None:
    arrows = rooms(package)
    order: list[str] = []
    while arrows:
        bottom = sorted(room for room, below in arrows.items() if not below & arrows.keys())
        assert bottom, f"these rooms import each other in a circle: {arrows}"
        order += bottom
        for room in bottom:
            del arrows[room]
    assert len(order) == len(rooms(package))


def rooms(package: str) -> dict[str, set[str]]:
    """Return each room of a package, a folder or a loose module, and the rooms that it imports, lazily or not."""
    folder = ROOT / package
    found: dict[str, set[str]] = {}
    for path in modules(package):
        parts = path.relative_to(folder).parts
        room = parts[0] if len(parts) > 1 else path.stem
        names = [name.split(".") for name, _ in imported(path)]
        found.setdefault(room, set()).update(
            name[1] for name in names if name[0] == folder.name and len(name) > 1 and name[1] != room
        )
    return found


def test_the_client_imports_the_exporter_in_one_named_place() -> None:
    for path in modules("client/fsclient"):
        for name, at_top in imported(path):
            assert not name.startswith("fsexport") or (path == PACKS_ON_REQUEST and not at_top), path


def test_nothing_but_the_store_knows_the_format_of_results() -> None:
    for package in MAY_IMPORT:
        for path in modules(package):
            if path.parent != ROOT / "data" / "fsdata" / "results":
                text = path.read_text()
                assert "part-*.parquet" not in text, path
                assert "METADATA_KEY" not in text, path


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_every_folder_fits_on_one_screen(package: str) -> None:
    for folder in [ROOT / package, *(path for path in (ROOT / package).rglob("*") if path.is_dir())]:
        entries = {path.name for path in folder.iterdir()} - {"__init__.py", "py.typed", "__pycache__"}
        if folder.name not in {"photos", "__pycache__"}:
            assert len(entries) <= MOST_ENTRIES, f"{folder} has {len(entries)} entries: which idea wants a room?"


def test_no_name_stands_for_two_things() -> None:
    stems: dict[str, Path] = {}
    for package in MAY_IMPORT:
        for path in modules(package):
            if path.stem not in SHARED_STEMS and path.parent != COMMAND_FOLDER:
                assert path.stem not in stems, f"{path} and {stems[path.stem]}"
                stems[path.stem] = path


def test_the_transport_does_not_import_what_uses_it() -> None:
    for path in modules("client/fsclient/backend"):
        for name, _ in imported(path):
            assert not name.startswith(("fsclient.bench", "fsclient.commands")), f"{path} imports {name}"


@pytest.mark.parametrize("package", [p for p in MAY_IMPORT if p != "export/fsexport"])
def test_no_module_imports_a_heavy_library_at_its_top(package: str) -> None:
    for path in modules(package):
        usual = () if path.stem == "commands" else BUILT_ON.get(package, ())
        for name, at_top in imported(path):
            assert not (at_top and name.startswith(HEAVY)) or name.startswith(usual), f"{path} imports {name}"


def test_the_command_line_loads_no_heavy_library() -> None:
    program = (
        "import sys, fsclient.cli\n"
        f"print([name for name in {HEAVY + ('numpy', 'pyarrow', 'PIL')!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_scoring_a_photo_waits_for_no_library_of_other_commands() -> None:
    others = ("requests", "pandas", "PIL", "rich", "pyarrow.compute", "fsclient.ingest_run")
    program = f"import sys, fsclient.commands.score\nprint([name for name in {others!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_modules_are_small_and_say_what_they_are(package: str) -> None:
    for path in modules(package):
        text = path.read_text()
        assert len(text.splitlines()) <= MOST_LINES, path
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
        assert name in (ROOT / "docs" / "reference" / "cli.md").read_text()


def test_the_repository_names_no_path_of_a_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is not a git checkout")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.suffix in {".py", ".md", ".toml", ".txt", ".json", ".pbtxt", ".tsv"} and path.is_file():
            assert os.fspath(Path.home()) + "/" not in path.read_text() or Path.home() == Path("/"), name


@pytest.mark.parametrize(
    "page",
    sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "docker" / "README.md"]),
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_what_the_docs_name_of_the_tree_is_there(page: Path) -> None:
    text = page.read_text()
    for name in re.findall(r"`(fs(?:client|engine|data|export|training)(?:\.\w+)+)`", text):
        parts = name.split(".")
        while parts:
            try:
                found: object = importlib.import_module(".".join(parts))
                break
            except ModuleNotFoundError:
                parts.pop()
        for attribute in name.split(".")[len(parts) :]:
            found = getattr(found, attribute)
    for name in re.findall(r"`((?:tests|benchmarks|tools|docker|model_repository)/[\w./]+)`", text):
        assert (ROOT / name).exists(), name
