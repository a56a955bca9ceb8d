"""Where the embedded server and its Python stubs run: a folder of ours, and an environment without the user's Python.

Triton's Python backend starts each stub through `bash -c`, with the paths of the stub, the backend and the model in one
unquoted line, and a stub imports from its current folder. So the server is given paths of ours alone, links to the
user's where need be, and an empty current folder.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fsengine.errors import ServerError
from fsengine.server import binary
from fsengine.server.threads import THREADS_VARIABLE

_SAFE = re.compile(r"[A-Za-z0-9_./-]+")
"""Paths that a shell and the dynamic linker take as they are."""

_SYSTEM_FOLDERS = ("/tmp", "/var/tmp")

_PYTHON_LIBRARY, _TRITON_LIBRARIES = "python-lib", "triton-libs"
_CUT_VARIABLES = ("PYTHON", "BASH")
_SHELL_VARIABLES = ("ENV", "SHELLOPTS", "CDPATH")
"""With `BASH...`, what changes the way in which bash runs a command line, or has it run something first."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one running server; every path below it is safe in a command line.

    Attributes:
        root: The folder.
    """

    root: Path

    @property
    def backends(self) -> Path:
        """Return the backend directory."""
        return self.root / "backends"

    @property
    def repository(self) -> Path:
        """Return the link to the repository that is served."""
        return self.root / "models"

    @property
    def current(self) -> Path:
        """Return the empty folder that is the current one of the server and its stubs."""
        return self.root / "empty"

    @property
    def temporary(self) -> Path:
        """Return the folder for temporary files of the server and its stubs."""
        return self.root / "tmp"


def make_run_folder(place: Path | None = None) -> RunFolder:
    """Make a new folder for one server, in the folder for temporary files or, where its path is unsafe, in /tmp.

    Args:
        place: The folder for temporary files; by default the one that TMPDIR names.

    Raises:
        ServerError: It cannot be made.
    """
    try:
        preferred = place or Path(tempfile.gettempdir()).absolute()
        places = [str(preferred), *_SYSTEM_FOLDERS]
        chosen = next(folder for folder in places if _SAFE.fullmatch(folder))
        root = Path(tempfile.mkdtemp(prefix="facestats-", dir=chosen))
    except OSError as exc:
        raise ServerError(
            f"no folder for the embedded server can be made: {exc}; "
            "set TMPDIR to a folder that can be written to, whose path has only letters, digits, '_', '-' and '.'"
        ) from exc
    run = RunFolder(root)
    for folder in (run.current, run.temporary):
        folder.mkdir()
    return run


def furnish(run: RunFolder, repository: Path, library_folder: Path) -> None:
    """Put the backends and the links to what the user has into a run folder.

    Args:
        run: The folder.
        repository: The repository that is served.
        library_folder: The folder of this interpreter's shared library.

    Raises:
        MissingDependencyError: The server's package has no stub for this interpreter.
        ServerError: A name inside the repository is unsafe in a command line.
    """
    check_names(repository)
    binary.make_backend_folder(run.backends)
    run.repository.symlink_to(repository.absolute(), target_is_directory=True)
    (run.root / _PYTHON_LIBRARY).symlink_to(library_folder.absolute(), target_is_directory=True)
    (run.root / _TRITON_LIBRARIES).symlink_to(binary.libraries_folder(), target_is_directory=True)


def check_names(repository: Path) -> None:
    """Check that every name inside a repository is safe in a command line.

    Raises:
        ServerError: One is not, for example that of a copy that a file manager made.
    """
    for path in sorted(repository.rglob("*")):
        if not _SAFE.fullmatch(path.name):
            raise ServerError(
                f"the repository {repository} holds {str(path.relative_to(repository))!r}; Triton takes names of "
                "letters, digits, '_', '-' and '.' alone: rename or remove it"
            )


def environment(run: RunFolder, step_threads: int) -> dict[str, str]:
    """Return the environment of the server, whose stubs embed this interpreter.

    They find the interpreter through PATH and their libraries through LD_LIBRARY_PATH. Variables that would have
    Python or the shell do something else first are left out.

    Raises:
        ServerError: PATH cannot name the interpreter's folder.
    """
    programs = Path(sys.executable).absolute().parent
    if ":" in str(programs):
        raise ServerError(
            f"the interpreter lies in {programs}, and PATH cannot name a folder with a colon; "
            "make the virtual environment in a folder without one"
        )
    variables = {name: value for name, value in os.environ.items() if not _is_cut(name)}
    variables["PATH"] = ":".join([str(programs), *_absolute(os.environ.get("PATH", os.defpath), ":")])
    libraries = [str(run.root / name) for name in (_PYTHON_LIBRARY, _TRITON_LIBRARIES)]
    variables["LD_LIBRARY_PATH"] = ":".join([*libraries, *_absolute(os.environ.get("LD_LIBRARY_PATH", ""), ":;")])
    variables["TMPDIR"] = str(run.temporary)
    variables[THREADS_VARIABLE] = str(step_threads)
    variables["OMP_NUM_THREADS"] = str(step_threads)
    # OpenMP's threads spin for milliseconds after their work, which took 50 times as long as a forest of a few rows.
    variables["OMP_WAIT_POLICY"] = "passive"
    variables["OPENBLAS_NUM_THREADS"] = "1"
    return variables


def _is_cut(name: str) -> bool:
    return name.startswith(_CUT_VARIABLES) or name in _SHELL_VARIABLES


def _absolute(folders: str, separators: str) -> list[str]:
    """Return the folders of a search path; an empty entry, which means the current folder, is left out."""
    return [os.path.abspath(folder) for folder in re.split(f"[{separators}]", folders) if folder]
