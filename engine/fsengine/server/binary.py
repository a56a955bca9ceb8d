"""The tritonserver binary of `nvidia-pytriton`, and a backend folder made around it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from importlib.resources import files
from pathlib import Path

from fsengine.errors import MissingDependencyError
from fsengine.server.listening import LOOPBACK, Listening, access_arguments

BACKENDS = ("dali", "fil", "onnxruntime", "tensorrt")

EXIT_TIMEOUT_S = 5
"""Shorter than the supervisor waits for a server that it told to stop."""

_ENVIRONMENT_FOLDERS = "python_env_*"
"""What each Python-based backend makes in /tmp, for packed environments, and a killed server leaves there."""


def triton_folder() -> Path:
    """Return the folder of the pip package's server.

    Raises:
        MissingDependencyError: The package is not installed.
    """
    try:
        root = Path(str(distribution("nvidia-pytriton").locate_file("pytriton"))) / "tritonserver"
    except PackageNotFoundError as exc:
        raise MissingDependencyError("nvidia-pytriton is missing: pip install 'facestats[server]'") from exc
    if not (root / "bin" / "tritonserver").is_file():
        raise MissingDependencyError(f"{root} holds no server binary: pip install --force-reinstall nvidia-pytriton")
    return root


def libraries_folder() -> Path:
    """Return the folder of the libraries that the pip package's server links."""
    return triton_folder().parents[1] / "nvidia_pytriton.libs"


def make_backend_folder(folder: Path) -> None:
    """Lay out a backend directory: Triton's Python backend, and a folder for each stand-in.

    Raises:
        MissingDependencyError: The package has no stub for this interpreter.
    """
    root = triton_folder()
    minor = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = root / "python_backend_stubs" / minor / "triton_python_backend_stub"
    if not stub.is_file():
        raise MissingDependencyError(f"nvidia-pytriton has no Python stub for {minor}; use CPython 3.10 to 3.12")
    python = folder / "python"
    python.mkdir(parents=True)
    for source in (root / "backends" / "python").iterdir():
        if source.is_file():
            # Triton refuses libraries that a link takes out of the backend directory.
            shutil.copy2(source, python / source.name)
    shutil.copy2(stub, python / stub.name)
    for name in BACKENDS:
        shutil.copytree(
            Path(str(files("fsengine.backends"))) / "folders" / name,
            folder / name,
            ignore=shutil.ignore_patterns("__pycache__"),
        )


def server_command(
    repository: Path, backends: Path, listening: Listening, shm_prefix: str, region_bytes: int
) -> Sequence[str]:
    """Return the command line of a server; every port of `listening` is named."""
    root = triton_folder()
    http, metrics = listening.http_port, listening.metrics_port
    return [
        str(root / "bin" / "tritonserver"),
        f"--model-repository={repository}",
        f"--backend-directory={backends}",
        f"--cache-directory={root / 'caches'}",
        "--disable-auto-complete-config",
        "--strict-readiness=true",
        "--exit-on-error=true",
        f"--exit-timeout-secs={EXIT_TIMEOUT_S}",
        "--model-load-thread-count=8",
        *(["--allow-http=false"] if http is None else [f"--http-address={LOOPBACK}", f"--http-port={http}"]),
        *(["--allow-metrics=false"] if metrics is None else [f"--metrics-address={LOOPBACK}"]),
        *([] if metrics is None else [f"--metrics-port={metrics}"]),
        "--allow-gpu-metrics=false",
        f"--grpc-address={LOOPBACK}",
        f"--grpc-port={listening.grpc_port}",
        *access_arguments(token=listening.token, closed_key=listening.closed_key),
        f"--backend-config=python,shm-region-prefix-name={shm_prefix}",
        f"--backend-config=python,shm-default-byte-size={region_bytes}",
    ]


def remove_environment_folders(since: float, folder: Path = Path("/tmp")) -> None:
    """Remove the folders for packed environments, which none of our models has, that a server made.

    Args:
        since: When the server was started, in seconds since the epoch.
        folder: Where its backends make them; Triton has /tmp written in.
    """
    for made in folder.glob(_ENVIRONMENT_FOLDERS):
        with contextlib.suppress(OSError):
            status = made.lstat()
            if status.st_uid == os.getuid() and status.st_mtime >= since:
                made.rmdir()  # which spares a folder that holds something
