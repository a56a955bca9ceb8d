"""Asks the pip package's Triton whether it knows options, without starting a server."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from fsengine.server.binary import libraries_folder, triton_folder
from fsengine.server.interpreter import default_library_folder

_NO_REPOSITORY = "/no/such/repository"


def refusal(options: Sequence[str]) -> str | None:
    """Return what Triton says against options; None where it takes all of them, and ends for want of a repository."""
    libraries = f"{libraries_folder()}:{default_library_folder()}"
    done = subprocess.run(
        [str(triton_folder() / "bin" / "tritonserver"), f"--model-repository={_NO_REPOSITORY}", *options],
        env={**os.environ, "LD_LIBRARY_PATH": libraries},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode != 0
    return None if f"failed to stat file {_NO_REPOSITORY}" in done.stdout else done.stdout
