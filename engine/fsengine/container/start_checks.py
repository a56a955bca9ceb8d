"""What is looked at before the server starts, so that a repository that cannot be served is refused with words."""

from __future__ import annotations

import re
from pathlib import Path

from fsengine.container.repository_state import RepositoryState, read_state
from fsengine.gpu import OLDEST_DRIVER, Gpu, same_gpus, show_only
from fsengine.server.shared_memory import free_shared_memory

SHARED_MEMORY_BYTES = 1 << 30
"""What a container should have in /dev/shm: Docker gives it 64 MiB where nothing is said."""

_DALI_PATH = re.compile(r"[A-Za-z0-9/._]+")
"""What the backend checks before it runs a `dali.py`; it says so only where it is verbose
(triton-inference-server/dali_backend, src/model_provider/model_provider.h, `ValidatePath`)."""


def check_repository(folder: Path) -> tuple[RepositoryState, list[Gpu], list[str]]:
    """Look at a repository and this container; the GPUs of one kind alone stay visible.

    Returns:
        What it is, the GPUs that serve it, and warnings.

    Raises:
        PackError: It is not whole.
        MissingDependencyError: It needs a GPU, and there is none.
        ServerError: The GPU is too old.
    """
    state = read_state(folder)
    gpus = same_gpus() if state.needs_gpu else []
    if gpus:
        show_only(*gpus)  # Triton puts instances of each step on every GPU that it sees
    return state, gpus, start_warnings(state, gpus, free_shared_memory())


def start_warnings(state: RepositoryState, gpus: list[Gpu], free_shared_memory: int) -> list[str]:
    """Return what does not keep the server from starting but should be known.

    Args:
        state: The repository.
        gpus: Those that serve it.
        free_shared_memory: Bytes in /dev/shm.
    """
    plans, warnings = state.plans, []
    if ".." in str(state.folder) or not _DALI_PATH.fullmatch(str(state.folder)):
        warnings.append(
            f"{state.folder}: Triton's native DALI backend takes paths of letters, digits, dots, underlines and "
            "slashes alone, and loads no decode step from another; move the repository if it says that it cannot"
        )
    if plans is not None and gpus and plans.gpu != gpus[0].name:
        warnings.append(
            f"the repository was made for {plans.gpu}, this is {gpus[0].name}: plans may not load, and are not the "
            "fastest if they do; build them here: fsengine build"
        )
    if gpus and gpus[0].driver.split(".")[0].isdigit() and int(gpus[0].driver.split(".")[0]) < OLDEST_DRIVER:
        warnings.append(
            f"the driver is {gpus[0].driver}, CUDA 13 needs R{OLDEST_DRIVER} or newer; forward compatibility does not "
            "work in a container whose root is read-only"
        )
    if free_shared_memory < SHARED_MEMORY_BYTES:
        warnings.append(
            f"/dev/shm has {free_shared_memory >> 20} MiB free, expected {SHARED_MEMORY_BYTES >> 20}: models of "
            "Triton's Python backend would run out of it. Give it more: shm_size in compose.yaml, "
            "docker run --shm-size=1g"
        )
    return warnings
