"""Which TensorRT an image serves with, told without TensorRT's Python package, which the server image lacks."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from fsengine.errors import MissingDependencyError, ServerError

SYSTEM_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/local/tensorrt/lib",
    "/usr/local/lib",
    "/usr/lib",
)

_LIBRARY = re.compile(r"libnvinfer\.so\.(\d+\.\d+\.\d+)")
_PACKAGE = re.compile(r"libnvinfer\d+ (\d+(?:\.\d+){2,3})\b")
_COMPARED_PARTS = 3
_DPKG_TIMEOUT_S = 30.0


def image_tensorrt() -> str:
    """Return the version of this image's TensorRT, for example `11.4.0.106`.

    Raises:
        MissingDependencyError: There is none.
        ServerError: There are two.
    """
    search = os.environ.get("LD_LIBRARY_PATH", "").split(":")
    return pick_version([Path(folder) for folder in dict.fromkeys([*search, *SYSTEM_FOLDERS]) if folder], _packages())


def pick_version(folders: Iterable[Path], packages: str) -> str:
    """Return the version of TensorRT that library files and installed packages tell.

    The file is what the server loads, and names three numbers; the package names four. The fourth is taken where both
    agree in the first three.

    Args:
        folders: Where libraries lie.
        packages: A line `NAME VERSION` for each installed package of TensorRT.

    Raises:
        MissingDependencyError: Neither tells one.
        ServerError: The files are of several versions.
    """
    looked = list(folders)
    names = [path.name for folder in looked for path in folder.glob("libnvinfer.so.*")]
    files = {match[1] for name in names if (match := _LIBRARY.fullmatch(name))}
    if len(files) > 1:
        raise ServerError(
            f"this image has TensorRT {' and '.join(sorted(files))} (libnvinfer), expected one; use an unchanged image"
        )
    installed = {match[1] for line in packages.splitlines() if (match := _PACKAGE.match(line.strip()))}
    for file in files:
        return next((version for version in installed if same_tensorrt(version, file)), file)
    if installed:
        return max(installed, key=_parts)
    raise MissingDependencyError(
        f"this image has no TensorRT: no libnvinfer.so in {', '.join(map(str, looked))}, no package libnvinfer. "
        "Plans are served by nvcr.io/nvidia/tritonserver:YY.MM-py3; see docker/README.md"
    )


def same_tensorrt(one: str, other: str) -> bool:
    """Return whether two versions name the same TensorRT, as far as both tell: `11.4.0` is the same as `11.4.0.106`."""
    first, second = _parts(one), _parts(other)
    length = min(len(first), len(second))
    return length >= _COMPARED_PARTS and first[:length] == second[:length]


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _packages() -> str:
    """Return the installed packages of TensorRT as dpkg lists them; nothing where there is no dpkg."""
    try:
        done = subprocess.run(
            ["dpkg-query", "-W", "-f=${Package} ${Version}\\n", "libnvinfer*"],
            capture_output=True,
            text=True,
            timeout=_DPKG_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout
