"""What the embedded server needs of the machine, checked before anything is started."""

from __future__ import annotations

import ctypes.util
import os
import platform
import sys
import sysconfig
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fsengine.errors import MissingDependencyError, ServerError

OLDEST_GLIBC = (2, 35)
OLDEST_PYTHON = (3, 10)
NEWEST_PYTHON = (3, 12)

SERVER_PACKAGES = (("nvidia-pytriton",), ("nvidia-dali-cuda130",), ("onnxruntime", "onnxruntime-gpu"), ("treelite",))
"""Distributions of the `server` extra; any one of a group will do."""

_SYSTEM_FOLDERS = ("/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/local/lib", "/usr/lib")


def check_machine() -> None:
    """Check platform, glibc, interpreter and packages.

    Raises:
        ServerError: The machine cannot run the embedded server.
        MissingDependencyError: A package of the `server` extra is missing or of an unusable version.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise ServerError(
            f"the embedded server runs on Linux x86-64, this is {sys.platform} {platform.machine()}; "
            "give --server HOST:PORT of a server elsewhere"
        )
    libc, number = platform.libc_ver()
    if libc != "glibc" or tuple(int(part) for part in number.split(".")[:2]) < OLDEST_GLIBC:
        raise ServerError(
            f"the embedded server needs glibc {'.'.join(map(str, OLDEST_GLIBC))} or newer (Ubuntu 22.04, Debian 12, "
            f"RHEL 10), found {libc or 'another C library'} {number}"
        )
    if sys.implementation.name != "cpython" or not OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:
        raise ServerError(
            f"the embedded server needs CPython 3.10 to 3.12, this is {sys.implementation.name} "
            f"{platform.python_version()}"
        )
    check_packages()


def check_packages() -> None:
    """Check that the `server` extra is installed and that numpy is below 2.

    Raises:
        MissingDependencyError: One is missing, or numpy is too new for Triton 2.51's Python backend.
    """
    missing = [group[0] for group in SERVER_PACKAGES if not any(map(_is_installed, group))]
    if missing:
        raise MissingDependencyError(
            f"the embedded server needs {', '.join(missing)}: pip install 'facestats[server]', "
            "or give --server HOST:PORT"
        )
    if int(version("numpy").split(".")[0]) >= 2:
        raise MissingDependencyError(
            f"the embedded server needs numpy below 2, found {version('numpy')}: with numpy 2 every tensor of its "
            "Python backend comes back empty. pip install 'numpy<2' 'pyarrow<26'"
        )


def _is_installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def library_name() -> str:
    """Return the file name of this interpreter's shared library, for example `libpython3.11.so.1.0`."""
    return f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"


def library_folders() -> list[Path]:
    """Return where this interpreter's shared library may lie: its own lib folders first, then the system's."""
    own = [sysconfig.get_config_var("LIBDIR"), os.path.join(sys.base_prefix, "lib")]
    search = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    return [Path(folder) for folder in dict.fromkeys([*own, *search, *_SYSTEM_FOLDERS]) if folder]


def find_library(folders: Iterable[Path]) -> Path:
    """Return the folder that holds this interpreter's shared library, which Triton's Python stub links.

    Args:
        folders: Where to look, in order.

    Raises:
        ServerError: It is in none of them.
    """
    name = library_name()
    looked = list(folders)
    for folder in looked:
        if (folder / name).is_file():
            return folder
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    raise ServerError(
        f"{name} is missing; Triton's Python stub links it. Looked in {', '.join(map(str, looked)) or 'no folder'}. "
        f"It comes with: apt install libpython{minor} (Debian, Ubuntu), dnf install python{minor}-libs (Fedora, RHEL), "
        "a Python of uv or of the python container images, or pyenv with PYTHON_CONFIGURE_OPTS=--enable-shared"
    )


def default_library_folder() -> Path:
    """Return the folder of this interpreter's shared library.

    Raises:
        ServerError: See `find_library`.
    """
    try:
        return find_library(library_folders())
    except ServerError:
        found = ctypes.util.find_library(f"python{sys.version_info.major}.{sys.version_info.minor}")
        if found != library_name():
            raise
        # The dynamic linker knows it; where it lies does not matter then.
        return Path(sys.base_prefix) / "lib"
