"""Commands of packages above the client join it through an entry point, and say what installs them where they lack."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fsclient.commands.extensions import EXTENSIONS

MODULE = '''
import click

@click.command()
def dashboard():
    """Show a folder of results."""
    click.echo("this is the dashboard")

@click.command()
def mine():
    """Do what the project does not."""
    import no_such_library

@click.command()
def ingest():
    """Take the name of another."""
    click.echo("stolen")

not_a_command = "text"
'''


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder for `sys.path` with a module of commands that no distribution offers yet."""
    (tmp_path / "offered_commands.py").write_text(MODULE)
    return tmp_path


def install(site: Path, name: str, *, metadata: str = "", entries: str = "") -> None:
    """Write what an installed distribution leaves."""
    folder = site / f"{name}-9.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9\n{metadata}")
    if entries:
        (folder / "entry_points.txt").write_text(f"[fsclient.commands]\n{entries}")


def declare_extra(site: Path, *libraries: str) -> None:
    """Let the distribution that is found first have the extra."""
    needs = "".join(f"Requires-Dist: {library}>=1; extra == 'analysis'\n" for library in libraries)
    install(site, "facestats", metadata=f"Requires-Dist: click\nProvides-Extra: analysis\n{needs}")


def run(site: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = "from fsclient.cli import main; main(prog_name='fsclient')"
    path = os.pathsep.join([str(site), *filter(None, sys.path)])
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        timeout=60,
        check=False,
    )


def test_a_command_that_a_package_offers_is_in_the_help_and_runs(site: Path) -> None:
    declare_extra(site, "click")
    install(site, "offered", entries="dashboard = offered_commands:dashboard\nmine = offered_commands:mine\n")
    shown = run(site, "--help")
    assert EXTENSIONS["dashboard"].summary in shown.stdout
    assert "Do what the project does not." in shown.stdout
    assert shown.stdout.index("table") < shown.stdout.index("dashboard")
    done = run(site, "dashboard")
    assert (done.returncode, done.stdout) == (0, "this is the dashboard\n"), done.stderr


def test_without_the_package_the_command_says_what_installs_it(site: Path) -> None:
    declare_extra(site, "click")
    done = run(site, "dashboard", "results")
    assert done.returncode == 1
    assert "pip install 'facestats[analysis]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert "dashboard" not in run(site, "--help").stdout


def test_without_a_library_of_the_extra_the_command_says_what_installs_it(site: Path) -> None:
    declare_extra(site, "click", "no-such-library")
    install(site, "offered", entries="dashboard = offered_commands:dashboard\n")
    done = run(site, "dashboard")
    assert (done.returncode, done.stdout) == (1, "")
    assert "pip install 'facestats[analysis]'" in done.stderr
    assert "dashboard" not in run(site, "--help").stdout


def test_a_command_of_an_extra_that_does_not_exist_is_unknown_as_any_word(site: Path) -> None:
    install(site, "facestats")
    for name in ("dashboard", "nosuch"):
        done = run(site, name)
        assert done.returncode == 2
        assert f"No such command '{name}'" in done.stderr
    assert "dashboard" not in run(site, "--help").stdout


def test_the_clients_own_commands_cannot_be_replaced(site: Path) -> None:
    install(site, "offered", entries="ingest = offered_commands:ingest\n")
    assert "stolen" not in run(site, "ingest", "--help").stdout
    assert run(site, "--help").stdout.count("  ingest") == 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("no_such_module:dashboard", "cannot be loaded: No module named 'no_such_module'"),
        ("offered_commands:no_such", "cannot be loaded"),
        ("offered_commands:not_a_command", "expected a click command"),
    ],
)
def test_an_entry_point_that_leads_nowhere_is_explained(site: Path, value: str, message: str) -> None:
    install(site, "offered", entries=f"other = {value}\n")
    done = run(site, "other")
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    shown = run(site, "--help")
    assert (shown.returncode, "other" in shown.stdout) == (0, False)


def test_a_library_that_lacks_when_the_command_runs_is_explained(site: Path) -> None:
    declare_extra(site, "click")
    install(site, "offered", entries="dashboard = offered_commands:mine\n")
    done = run(site, "dashboard")
    assert done.returncode == 1
    assert "no_such_library is not installed" in done.stderr
    assert "pip install 'facestats[analysis]'" in done.stderr


def test_help_looks_up_nothing_where_nothing_is_offered(site: Path) -> None:
    program = (
        "import sys; from fsclient.commands.extensions import available_extensions\n"
        "sys.path.clear()\n"  # this environment offers some
        "assert available_extensions() == {}\nsys.stdout.write(str('importlib.metadata' in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=os.environ, timeout=60, check=True
    )
    assert done.stdout == "False"
