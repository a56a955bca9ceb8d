"""A served repository with plans in place of its graphs: every plan checked, all of them or none installed."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from fsengine.contracts import steps
from fsengine.errors import ExportError, InvalidInputError, PackError
from fsengine.files.atomic import atomic_folder
from fsengine.files.hashing import file_sha256
from fsengine.files.json_record import write_json
from fsengine.files.lock import file_lock
from fsengine.files.writing_errors import unwritable
from fsengine.plans.build_key import BuildSettings, PlanKey
from fsengine.plans.built_plans import ONNX_FILE, PLAN_FILE, PLANS_FILE, BuiltPlan, BuiltPlans
from fsengine.plans.layout import GpuLayout, choose_layout
from fsengine.plans.layout_inputs import step_needs
from fsengine.plans.output_parity import TOLERANCES, OutputParity, compare
from fsengine.plans.profile import profile_of
from fsengine.plans.sample_run import StepRun, run_samples
from fsengine.plans.served_config import adapt_to_plan, apply_layout, has_static_shapes, precision_of
from fsengine.plans.stored_plans import StoredPlan, find_plan, install_plan, plans_folder, timing_cache_path
from fsengine.plans.tensorrt.builder import OnPhase
from fsengine.plans.toolchain import Toolchain
from fsengine.repository.assemble import MANIFEST_FILE, check_gpu_repository, link_or_copy
from fsengine.repository.model_config import CONFIG_FILE, config_text, read_config, spec_of
from fsengine.terminal.messages import Say

_UNFINISHED = "unfinished-"
"""How the names of folders begin in which a plan is checked."""

Progress = Callable[[str], AbstractContextManager[OnPhase]]
"""Called with a step before it is compiled; what the context gives is told of the phases."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What to build.

    Attributes:
        repository: An assembled repository with graphs.
        out: Folder of the one with plans; it may hold an earlier one.
        photos: What plans are checked on.
        settings: How to build.
        keep_onnx: Steps that stay with ONNX Runtime.
        times: Measured microseconds of each step for one photo; they decide the instances, see `choose_layout`.
    """

    repository: Path
    out: Path
    photos: Sequence[Path]
    settings: BuildSettings
    keep_onnx: tuple[str, ...] = ()
    times: Mapping[str, float] = field(default_factory=dict)


def build_repository(request: BuildRequest, toolchain: Toolchain, say: Say, progress: Progress) -> GpuLayout:
    """Build every plan of a repository, check it, and write the repository with plans.

    Args:
        request: What to build.
        toolchain: What compiles and runs.
        say: Called with each line for people.
        progress: See `Progress`.

    Returns:
        How the steps share the GPU; the repository's configurations say so.

    Raises:
        ServerError: The steps do not fit the GPU.
        InvalidInputError: `repository` or `out` is not what it should be, or a photo cannot be used.
        ExportError: A graph cannot be compiled, or its plan gives something else than the graph.
        PackError: A folder cannot be written.
    """
    graphs = _graphs(request)
    with _alone():
        for left in (*plans_folder().glob(f"{_UNFINISHED}*"), *plans_folder().glob(".plan-*")):
            shutil.rmtree(left, ignore_errors=True)  # of a build that was killed
        return _write(request, toolchain, _plans(request, graphs, toolchain, say, progress))


def _plans(
    request: BuildRequest, graphs: dict[str, Path], toolchain: Toolchain, say: Say, progress: Progress
) -> dict[str, StoredPlan]:
    """Return every plan, from the store or built."""
    plans: dict[str, StoredPlan] = {}
    samples: dict[str, list[StepRun]] = {}
    for step, graph in graphs.items():
        key = PlanKey(
            onnx_sha256=file_sha256(graph),
            tensorrt=toolchain.version,
            compute_capability=toolchain.gpu.capability_text,
            gpu=toolchain.gpu.name,
            profile=profile_of(spec_of(read_config(request.repository / step / CONFIG_FILE))),
            settings=request.settings,
        )
        plan = find_plan(key)
        if plan is None:
            if not samples:
                say(f"running the graphs on {len(request.photos)} photos in ONNX Runtime, to compare plans with")
                samples = run_samples(request.repository, request.photos)
            plan = _build(step, graph, key, toolchain, samples[step], precision_of(request.repository, step), progress)
            say(f"{step}: built and checked, {plan.path.stat().st_size >> 20} MiB ({_parity_text(plan.parity)})")
        else:
            say(f"{step}: {plan.key} is there already")
        plans[step] = plan
    return plans


def _alone() -> AbstractContextManager[None]:
    """Hold the store: two builds at once would time their kernels on a busy GPU."""
    return file_lock(
        plans_folder() / "build.lock",
        busy=PackError("another fsengine build is running; wait for it and run this again"),
        unwritable=lambda exc: PackError(f"{plans_folder()} cannot be written: {exc.strerror}; set FACESTATS_MODELS"),
    )


def _graphs(request: BuildRequest) -> dict[str, Path]:
    """Return the graphs to compile, by step."""
    root = request.repository
    check_gpu_repository(root)
    if (root / PLANS_FILE).exists():
        raise InvalidInputError(f"{root} has plans already; give the repository with graphs that it was built from")
    if root.resolve() in (request.out.resolve(), *request.out.resolve().parents):
        raise InvalidInputError(f"--out is the repository itself, or inside it ({root}); give another folder")
    found = {path.parents[1].name: path for path in sorted(root.glob(f"*/1/{ONNX_FILE}"))}
    if unknown := set(request.keep_onnx) - set(found):
        raise InvalidInputError(f"there is no graph of {sorted(unknown)} to keep; the repository has {sorted(found)}")
    graphs = {step: path for step, path in found.items() if step not in request.keep_onnx}
    if not graphs:
        raise InvalidInputError(f"{root} has no graph to compile")
    for step in graphs:
        if (precision := precision_of(root, step)) not in TOLERANCES:
            raise InvalidInputError(
                f"the graph of {step} is {precision}, which TensorRT does not import (uint8); expected "
                f"{', '.join(TOLERANCES)}: build the pack with --precision int8-symmetric, or give --keep-onnx {step}"
            )
    return graphs


def _build(
    step: str,
    graph: Path,
    key: PlanKey,
    toolchain: Toolchain,
    samples: Sequence[StepRun],
    precision: str,
    progress: Progress,
) -> StoredPlan:
    """Compile one graph, check the plan and store it."""
    cache = timing_cache_path(key.tensorrt, toolchain.gpu)
    with progress(step) as on_phase:
        plan = toolchain.compile(graph, key.profile, key.settings, cache, on_phase)
    with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=cache.parent) as folder:
        path = Path(folder) / PLAN_FILE
        try:
            path.write_bytes(plan)
        except OSError as exc:
            what = f"the plan of {step} ({len(plan) >> 20} MiB)"
            raise PackError(unwritable(what, exc, "set FACESTATS_MODELS")) from exc
        engine = toolchain.load(path)
        try:
            parities = [
                parity
                for sample in samples
                for parity in compare(step, sample.outputs, engine.run(sample.feed), precision)
            ]
        finally:
            engine.close()
        if worse := [parity for parity in parities if not parity.within]:
            raise ExportError(
                f"the plan of {step} differs from its graph and is not installed: {_worst_text(worse)}; "
                f"leave the step to ONNX Runtime with --keep-onnx {step}, or report it with the versions"
            )
        return install_plan(key, path, parities, engine.work_mib)


def _write(request: BuildRequest, toolchain: Toolchain, plans: dict[str, StoredPlan]) -> GpuLayout:
    """Write the repository with plans and return its layout, complete or not at all."""
    out = request.out
    if out.exists() and not (out / PLANS_FILE).is_file() and any(out.iterdir()):
        raise InvalidInputError(f"{out} holds something other than a repository with plans; choose another --out")
    record = BuiltPlans(
        tensorrt=toolchain.version,
        compute_capability=toolchain.gpu.capability_text,
        gpu=toolchain.gpu.name,
        models={
            step: BuiltPlan(key=plan.key, sha256=plan.sha256, work_mib=plan.work_mib, parity=plan.parity)
            for step, plan in plans.items()
        },
    )
    try:
        for left in out.parent.glob(f".{glob.escape(out.name)}-plans-*"):
            shutil.rmtree(left, ignore_errors=True)  # of a build that was killed
        with atomic_folder(out, f".{out.name}-plans-") as temporary:
            shutil.copytree(
                request.repository,
                temporary,
                dirs_exist_ok=True,
                copy_function=lambda source, target: link_or_copy(Path(source), Path(target)),
                ignore=shutil.ignore_patterns(CONFIG_FILE, MANIFEST_FILE),
            )
            for path in sorted(request.repository.glob(f"*/{CONFIG_FILE}")):
                step = path.parent.name
                config = read_config(path)
                if step in plans:
                    adapt_to_plan(config, static=has_static_shapes(request.repository / step / "1" / ONNX_FILE))
                    (temporary / step / "1" / ONNX_FILE).unlink()
                    link_or_copy(plans[step].path, temporary / step / "1" / PLAN_FILE)
                (temporary / step / CONFIG_FILE).write_text(config_text(config))
            write_json(temporary / PLANS_FILE, record)
            layout = choose_layout(
                toolchain.gpu.memory_mib, step_needs(temporary, request.times), len(os.sched_getaffinity(0))
            )
            for name in (*(step.name for step in layout.steps), *steps.ENSEMBLES):
                path = temporary / name / CONFIG_FILE
                config = read_config(path)
                apply_layout(config, layout)
                path.write_text(config_text(config))
            shutil.copyfile(request.repository / MANIFEST_FILE, temporary / MANIFEST_FILE)
        return layout
    except OSError as exc:
        raise PackError(unwritable(out, exc, "choose another --out")) from exc


def _parity_text(parity: dict[str, float]) -> str:
    return "relative errors " + ", ".join(f"{name} {error:.1e}" for name, error in parity.items())


def _worst_text(parities: Sequence[OutputParity]) -> str:
    return ", ".join(
        f"{parity.output} by {parity.relative_error:.2g} (at most {parity.tolerance:.2g} is accepted)"
        for parity in parities
    )
