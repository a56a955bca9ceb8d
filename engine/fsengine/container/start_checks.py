"""What is compared before the server starts, so that a repository that cannot be served is refused with words."""

from __future__ import annotations

import re
from pathlib import Path

from fsengine.container.image_tensorrt import image_tensorrt, same_tensorrt
from fsengine.container.repository_state import Plans, RepositoryState, read_state
from fsengine.errors import ServerError
from fsengine.gpu import OLDEST_DRIVER, Gpu, find_gpu, show_only
from fsengine.server.shared_memory import free_shared_memory

SHARED_MEMORY_BYTES = 1 << 30
"""What a container should have in /dev/shm: Docker gives it 64 MiB where nothing is said."""

_DALI_PATH = re.compile(r"[A-Za-z0-9/._]+")
"""What the backend checks before it runs a `dali.py`; it says so only where it is verbose
(triton-inference-server/dali_backend, src/model_provider/model_provider.h, `ValidatePath`)."""

_AGAIN = "`docker compose up` builds plans that fit; or build them here: fsengine build"


def check_repository(folder: Path) -> tuple[RepositoryState, list[str]]:
    """Compare a repository with this container; the first GPU alone stays visible.

    Returns:
        What it is, and warnings.

    Raises:
        PackError: It is not whole.
        MissingDependencyError: It needs a GPU or TensorRT, and there is none.
        ServerError: Its plans are for something else.
    """
    state = read_state(folder)
    gpu = find_gpu() if state.needs_gpu else None
    if gpu is not None:
        show_only(gpu)  # Triton would put an instance of each step on every GPU that it sees
    if state.plans is not None and gpu is not None:
        check_plans(state.plans, tensorrt=image_tensorrt(), gpu=gpu)
    return state, start_warnings(state, gpu, free_shared_memory())


def check_plans(plans: Plans, *, tensorrt: str, gpu: Gpu) -> None:
    """Compare what plans were built for with what is here.

    Raises:
        ServerError: They were built with another TensorRT, or for another kind of GPU.
    """
    if not same_tensorrt(plans.tensorrt, tensorrt):
        raise ServerError(
            f"the plans were built with TensorRT {plans.tensorrt}, this image serves with {tensorrt}, and a plan loads "
            f"in the version that built it alone. {_AGAIN}"
        )
    if plans.compute_capability != gpu.capability_text:
        raise ServerError(
            f"the plans were built for compute capability {plans.compute_capability} ({plans.gpu}), this GPU has "
            f"{gpu.capability_text} ({gpu.name}). {_AGAIN}"
        )


def start_warnings(state: RepositoryState, gpu: Gpu | None, free_shared_memory: int) -> list[str]:
    """Return what does not keep the server from starting but should be known.

    Args:
        state: The repository.
        gpu: That serves them.
        free_shared_memory: Bytes in /dev/shm.
    """
    plans, warnings = state.plans, []
    if ".." in str(state.folder) or not _DALI_PATH.fullmatch(str(state.folder)):
        warnings.append(
            f"{state.folder}: Triton's native DALI backend takes paths of letters, digits, dots, underlines and "
            "slashes alone, and loads no decode step from another; move the repository if it says that it cannot"
        )
    if plans is not None and gpu is not None and plans.gpu != gpu.name:
        warnings.append(
            f"the plans were timed on {plans.gpu}, this is {gpu.name}: they run, but may not be the fastest"
        )
    if gpu is not None and gpu.driver.split(".")[0].isdigit() and int(gpu.driver.split(".")[0]) < OLDEST_DRIVER:
        warnings.append(
            f"the driver is {gpu.driver}, CUDA 13 needs R{OLDEST_DRIVER} or newer, or NVIDIA's package for forward "
            "compatibility"
        )
    if free_shared_memory < SHARED_MEMORY_BYTES:
        warnings.append(
            f"/dev/shm has {free_shared_memory >> 20} MiB free, expected {SHARED_MEMORY_BYTES >> 20}: models of "
            "Triton's Python backend would run out of it. Give it more: shm_size in compose.yaml, "
            "docker run --shm-size=1g"
        )
    return warnings
