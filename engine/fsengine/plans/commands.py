"""`fsengine build`."""

from __future__ import annotations

import functools
import shutil
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fsengine.errors import MissingDependencyError, PackError
from fsengine.gpu import Gpu, same_gpus, show_only
from fsengine.plans.build_key import BuildSettings
from fsengine.plans.built_plans import PlansRecord, read_plans
from fsengine.plans.child_process import BY_SIGNAL
from fsengine.plans.toolchain import OnPhase, Toolchain
from fsengine.plans.trtexec import Trtexec, find_trtexec
from fsengine.repository.assemble import Target, check_gpu_repository, read_manifest
from fsengine.terminal.messages import say
from fsengine.terminal.path_types import LocalPath
from fsengine.terminal.progress_bar import progress_bar

if TYPE_CHECKING:
    from fsengine.plans.build import BuildRequest
    from fsengine.plans.trial import Serve

_DEFAULTS = BuildSettings()


def _step_names(_context: click.Context, _parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Return names of steps that were given one by one, or with commas."""
    return tuple(name for each in value for name in each.replace(",", " ").split())


keep_onnx_option = click.option(
    "--keep-onnx",
    metavar="STEP[,STEP]",
    multiple=True,
    envvar="FACESTATS_KEEP_ONNX",
    callback=_step_names,
    help="Leave steps to ONNX Runtime. Repeatable.",
)


@click.command()
@click.argument("repository", metavar="REPOSITORY", type=click.Path(path_type=Path, file_okay=False))
@click.option("--out", type=LocalPath(path_type=Path, file_okay=False), required=True, help="Folder of the result.")
@keep_onnx_option
@click.option(
    "--optimization-level",
    type=click.IntRange(0, 5),
    default=_DEFAULTS.optimization_level,
    show_default=True,
    help="Of TensorRT's builder: more time, faster plans.",
)
@click.option(
    "--workspace-mib",
    type=click.IntRange(64),
    default=_DEFAULTS.workspace_mib,
    show_default=True,
    help="The most memory that a kernel may use beside its tensors.",
)
@click.option("--no-tf32", is_flag=True, help="Keep fp32 products in fp32; slower, and nearer to the CPU.")
@click.option("--trtexec", metavar="PROGRAM", help="TensorRT's trtexec.  [default: that of Triton's image, or on PATH]")
@click.option("--program", default="tritonserver", show_default=True, help="The server that plans are tried on.")
@click.option("--untried", is_flag=True, help="Do not try the plans here: whoever serves them does.")
def build(
    repository: Path,
    out: Path,
    keep_onnx: tuple[str, ...],
    optimization_level: int,
    workspace_mib: int,
    no_tf32: bool,
    trtexec: str | None,
    program: str,
    untried: bool,
) -> None:
    r"""Compile the graphs of REPOSITORY to TensorRT plans for the GPUs at hand, and try them.

    REPOSITORY comes from `fsclient models build PACK --target gpu`. The plans
    are served on loopback and compared with golden answers; a step that
    TensorRT refuses, or whose plan differs, keeps its graph and is named. Plans
    that were built before with the same TensorRT, GPU and graph are taken from
    the store. The GPUs are those that CUDA_VISIBLE_DEVICES leaves.

    \b
    Example:
      fsclient models build lite --target gpu --out repository
      fsengine build repository --out planned
    """
    from fsengine.plans.build import BuildRequest
    from fsengine.plans.trial import try_plans

    signal.signal(signal.SIGTERM, _end)  # what was started ends with it
    check_gpu_repository(repository)
    _, target = read_manifest(repository)
    gpus = same_gpus() if target is Target.GPU else same_gpus()[:1]
    show_only(*gpus)
    settings = BuildSettings(optimization_level=optimization_level, workspace_mib=workspace_mib, tf32=not no_tf32)
    request = BuildRequest(repository=repository, out=out, settings=settings, keep_onnx=keep_onnx, num_gpus=len(gpus))
    record = _built(request, gpus[0], trtexec)
    if not (record.checked or untried):
        record = try_plans(repository, out, record, gpus[0], _serve(program, gpus, target), say)
    for step, plan in record.steps.items():
        say(f"{step}: {plan.state}{f', {plan.why}' if plan.why else ''}")
    click.echo(out)


def _built(request: BuildRequest, gpu: Gpu, trtexec: str | None) -> PlansRecord:
    """Return what became of each step: in an earlier build of the same, tried or not, or in one now."""
    from fsengine.plans.build import build_plans

    earlier = _earlier(request, gpu)
    program = find_trtexec(trtexec)
    if earlier is not None and not earlier.checked and program is None and trtexec is None:
        say(f"there is no trtexec here: the plans that were built with TensorRT {earlier.tensorrt} are tried")
        return earlier
    toolchain = _toolchain(program or trtexec, gpu)
    if earlier is not None and earlier.checked and earlier.built_with(toolchain.version, request.settings):
        say(f"{request.out} is there already, and was tried")
        return earlier
    say(f"TensorRT {toolchain.version} on {gpu.name} ({gpu.capability_text})")
    return build_plans(request, toolchain, say, _bar)


def _earlier(request: BuildRequest, gpu: Gpu) -> PlansRecord | None:
    """Return what an earlier build of the same left."""
    with suppress(PackError):  # damaged, or of another version: built anew
        record = read_plans(request.out)
        if record is not None and record.made_for(request.repository, gpu, request.num_gpus):
            return record if record.keeps(request.keep_onnx) else None
    return None


def _end(number: int, _frame: object) -> None:
    sys.exit(BY_SIGNAL + number)


def _serve(program: str, gpus: Sequence[Gpu], target: Target) -> Serve:
    """Return what serves plans for a trial."""
    from fsengine.plans.trial import native_server, stand_in_server

    if target is Target.PIP_GPU:
        return functools.partial(stand_in_server, gpu=gpus[0])
    return functools.partial(native_server, program=program, gpu=gpus[0], num_gpus=len(gpus))


def _toolchain(program: str | None, gpu: Gpu) -> Toolchain:
    """Return what compiles here: a trtexec, else TensorRT's Python package.

    Raises:
        MissingDependencyError: Neither is there.
    """
    from fsengine.plans.tensorrt.python_package import PythonTensorRT

    if program is None:
        return PythonTensorRT(gpu)
    if shutil.which(program) is None:
        raise MissingDependencyError(f"{program} is no program; expected TensorRT's trtexec")
    return Trtexec(program, gpu)


@contextmanager
def _bar(step: str) -> Iterator[OnPhase]:
    """Show how far the plan of a step is, on stderr."""
    with progress_bar(step, 1, "step") as bar:

        def on_phase(phase: str, done: int, total: int) -> bool:
            bar.note = phase
            bar.reach(done, max(total, 1))
            return True

        yield on_phase
