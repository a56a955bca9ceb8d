"""`fsengine build` and `fsengine plan`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from fsengine.gpu import find_gpu
from fsengine.packs.shipped import shipped_photos
from fsengine.plans.build import BuildRequest, build_repository
from fsengine.plans.build_key import BuildSettings
from fsengine.plans.layout import choose_layout, layout_blocks
from fsengine.plans.layout_inputs import read_stage_times, step_needs
from fsengine.plans.tensorrt.builder import OnPhase
from fsengine.plans.toolchain import TensorRT
from fsengine.repository.assemble import check_gpu_repository
from fsengine.terminal.messages import say
from fsengine.terminal.progress_bar import progress_bar
from fsengine.terminal.tables import show

_DEFAULTS = BuildSettings()

_TIMES_HELP = "What `fsclient bench --json` wrote: the slowest steps get two instances."


@click.command()
@click.argument("repository", metavar="REPOSITORY", type=click.Path(path_type=Path, file_okay=False))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the result.")
@click.option("--gpu", type=click.IntRange(0), default=0, show_default=True, help="Which one, as nvidia-smi counts.")
@click.option(
    "--photos",
    "photo_folder",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Photos with faces to check the plans on.  [default: those that ship]",
)
@click.option("--keep-onnx", metavar="STEP", multiple=True, help="Leave a step to ONNX Runtime; may be given again.")
@click.option("--times", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE", help=_TIMES_HELP)
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
def build(
    repository: Path,
    out: Path,
    gpu: int,
    photo_folder: Path | None,
    keep_onnx: tuple[str, ...],
    times: Path | None,
    optimization_level: int,
    workspace_mib: int,
    no_tf32: bool,
) -> None:
    r"""Compile the graphs of REPOSITORY to TensorRT plans for the GPU at hand.

    REPOSITORY comes from `fsclient models build PACK --target gpu`. Each plan
    is compared with its graph in ONNX Runtime before it is installed, and the
    result appears whole or not at all. Plans that were built before with the
    same TensorRT, GPU and graph are taken from the store.

    Build with the TensorRT that serves: a server refuses plans of another.

    \b
    Example:
      fsclient models build lite --target gpu --out repository
      fsengine build repository --out planned
    """
    request = BuildRequest(
        repository=repository,
        out=out,
        photos=_photos(photo_folder),
        settings=BuildSettings(optimization_level=optimization_level, workspace_mib=workspace_mib, tf32=not no_tf32),
        keep_onnx=keep_onnx,
        times={} if times is None else read_stage_times(times),
    )
    check_gpu_repository(repository)
    toolchain = TensorRT(gpu)
    say(f"TensorRT {toolchain.version} on {toolchain.gpu.name} ({toolchain.gpu.capability_text})")
    layout = build_repository(request, toolchain, say, _bar)
    show(layout_blocks(layout, request.times), err=True)
    click.echo(out)


@click.command()
@click.argument("repository", metavar="REPOSITORY", type=click.Path(path_type=Path, file_okay=False))
@click.option("--gpu", type=click.IntRange(0), default=0, show_default=True, help="Which one, as nvidia-smi counts.")
@click.option("--memory-mib", type=click.IntRange(1, 1 << 30), help="Plan for a GPU with this memory that is not here.")
@click.option("--times", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE", help=_TIMES_HELP)
def plan(repository: Path, gpu: int, memory_mib: int | None, times: Path | None) -> None:
    r"""Print how the steps of REPOSITORY would share a GPU: instances, batches, memory.

    From the memory of the GPU, what the plans need (a guess for graphs), and
    the times of the steps where they were measured. `fsengine build` chooses
    the same and writes it into the configurations.

    \b
    Example:
      fsclient bench photos/ --server host:8001 --json > times.json
      fsengine plan planned --times times.json
    """
    check_gpu_repository(repository)
    measured = {} if times is None else read_stage_times(times)
    if memory_mib is None:
        found = find_gpu(gpu)
        memory_mib = found.memory_mib
        say(f"{found.name}, {memory_mib} MiB")
    layout = choose_layout(memory_mib, step_needs(repository, measured), len(os.sched_getaffinity(0)))
    show(layout_blocks(layout, measured))


def _photos(folder: Path | None) -> list[Path]:
    """Return the photos of a folder, by default those that ship with faces on them."""
    if folder is None:
        return shipped_photos()
    found = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    if not found:
        raise click.BadParameter(f"{folder} holds no file; expected photos with faces", param_hint="--photos")
    return found


@contextmanager
def _bar(step: str) -> Iterator[OnPhase]:
    """Show how far the plan of a step is, on stderr."""
    with progress_bar(step, 1, "step") as bar:

        def on_phase(phase: str, done: int, total: int) -> bool:
            bar.note = phase
            bar.reach(done, max(total, 1))
            return True

        yield on_phase
