"""A repository's graphs compiled to plans, step by step: one that TensorRT refuses stays with ONNX Runtime, loudly."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from fsengine.contracts.steps import ENSEMBLE
from fsengine.errors import ExportError, InvalidInputError, PackError
from fsengine.files.hashing import file_sha256
from fsengine.files.lock import file_lock
from fsengine.plans.build_key import BuildSettings, PlanKey
from fsengine.plans.built_plans import BUILT, KEPT, PLANS_FILE, REFUSED, PlansRecord, StepPlan, source_id
from fsengine.plans.gpu_repository import graphs_of, write_gpu_repository
from fsengine.plans.profile import profile_of
from fsengine.plans.served_config import tune
from fsengine.plans.stored_plans import find_plan, install_plan, plans_folder, timing_cache_path, unfinished_plan
from fsengine.plans.toolchain import OnPhase, Toolchain
from fsengine.repository.assemble import check_gpu_repository
from fsengine.repository.model_config import CONFIG_FILE, read_config, served_by, spec_of
from fsengine.terminal.messages import Say

COMPILED_PRECISIONS = ("fp32", "fp16", "int8-symmetric", "fp8")
"""Those whose graphs TensorRT imports; the CPU's int8 is in uint8."""

Progress = Callable[[str], AbstractContextManager[OnPhase]]
"""Called with a step before it is compiled; what the context gives is told of the phases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What to build.

    Attributes:
        repository: An assembled repository with graphs.
        out: Folder of the one with plans; it may hold an earlier one.
        settings: How to build.
        keep_onnx: Steps that stay with ONNX Runtime; names of steps that it lacks are said and passed over.
        num_gpus: GPUs that serve it, all of the toolchain's kind.
    """

    repository: Path
    out: Path
    settings: BuildSettings
    keep_onnx: tuple[str, ...] = ()
    num_gpus: int = 1


def build_plans(request: BuildRequest, toolchain: Toolchain, say: Say, progress: Progress) -> PlansRecord:
    """Compile the graphs of a repository and write the repository with plans, not yet checked.

    Args:
        request: What to build.
        toolchain: What compiles.
        say: Called with each line for people.
        progress: See `Progress`.

    Returns:
        What became of each step.

    Raises:
        InvalidInputError: `repository` or `out` is not what it should be.
        PackError: A folder cannot be written, or another build runs.
        ServerError: TensorRT cannot use the GPU.
    """
    graphs = _graphs(request, say)
    with _alone():
        for left in plans_folder().glob(".plan-*"):
            shutil.rmtree(left, ignore_errors=True)  # of a build that was killed
        plans: dict[str, Path] = {}
        states: dict[str, StepPlan] = {}
        for step, graph in graphs.items():
            if step in request.keep_onnx:
                states[step] = StepPlan(state=KEPT, why="it was asked to stay with ONNX Runtime")
                continue
            try:
                key, plans[step] = _plan(step, graph, request, toolchain, say, progress)
                states[step] = StepPlan(state=BUILT, key=key)
            except ExportError as exc:
                states[step] = StepPlan(state=REFUSED, why=str(exc))
                say(refusal(step, str(exc)))
        record = PlansRecord(
            source=source_id(request.repository),
            gpu=toolchain.gpu.name,
            num_gpus=request.num_gpus,
            tensorrt=toolchain.version,
            settings=request.settings,
            steps=states,
        )
        write_gpu_repository(request.repository, request.out, toolchain.gpu, record, plans)
    return record


def refusal(step: str, why: str) -> str:
    """Return the line about a step without a plan."""
    return f"WARNING: {step} STAYS WITH ONNX RUNTIME, without a TensorRT plan: {why}"


def _plan(
    step: str, graph: Path, request: BuildRequest, toolchain: Toolchain, say: Say, progress: Progress
) -> tuple[str, Path]:
    """Return the key and the file of a step's plan, from the store or built.

    Raises:
        ExportError: TensorRT does not compile it.
    """
    served = served_by(read_config(request.repository / ENSEMBLE / CONFIG_FILE))
    if (precision := served.precision(step)) not in COMPILED_PRECISIONS:
        raise ExportError(
            f"its graph is {precision}, which TensorRT does not import; expected {', '.join(COMPILED_PRECISIONS)}: "
            "build the pack with --precision int8-symmetric"
        )
    config = read_config(request.repository / step / CONFIG_FILE)
    tune(config, toolchain.gpu, request.num_gpus)
    key = PlanKey(
        onnx_sha256=file_sha256(graph),
        tensorrt=toolchain.version,
        compute_capability=toolchain.gpu.capability_text,
        gpu=toolchain.gpu.name,
        profile=profile_of(spec_of(config)),
        settings=request.settings,
    )
    if (stored := find_plan(key)) is not None:
        say(f"{step}: {key.key} is there already")
        return key.key, stored
    cache = timing_cache_path(toolchain.version, toolchain.gpu)
    with unfinished_plan() as path:
        with progress(step) as on_phase:
            toolchain.compile(graph, key.profile, key.settings, cache, path, on_phase)
        say(f"{step}: compiled, {path.stat().st_size >> 20} MiB")
        return key.key, install_plan(key, path)


def _alone() -> AbstractContextManager[None]:
    """Hold the store: two builds at once would time their kernels on a busy GPU."""
    return file_lock(
        plans_folder() / "build.lock",
        busy=PackError("another fsengine build is running; wait for it and run this again"),
        unwritable=lambda exc: PackError(f"{plans_folder()} cannot be written: {exc.strerror}; set FACESTATS_MODELS"),
    )


def _graphs(request: BuildRequest, say: Say) -> dict[str, Path]:
    """Return the graphs by step.

    Raises:
        InvalidInputError: The repository or the folder of the result is not what it should be.
    """
    root = request.repository
    check_gpu_repository(root)
    if (root / PLANS_FILE).exists():
        raise InvalidInputError(f"{root} has plans already; give the repository with graphs that it was built from")
    if root.resolve() in (request.out.resolve(), *request.out.resolve().parents):
        raise InvalidInputError(f"--out is the repository itself, or inside it ({root}); give another folder")
    graphs = graphs_of(root)
    if not graphs:
        raise InvalidInputError(f"{root} has no graph to compile")
    if unknown := sorted(set(request.keep_onnx) - set(graphs)):
        say(f"there is no graph of {', '.join(unknown)} to keep with ONNX Runtime; there are {', '.join(graphs)}")
    return graphs
