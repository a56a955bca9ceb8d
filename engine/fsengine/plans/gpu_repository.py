"""A repository for the GPUs of one machine: their instances and batches, and plans in place of graphs."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Mapping
from pathlib import Path

from fsengine.contracts.served import PLAN_TAG
from fsengine.errors import InvalidInputError, PackError
from fsengine.files.atomic import atomic_folder
from fsengine.files.writing_errors import unwritable
from fsengine.gpu import Gpu
from fsengine.plans.built_plans import ONNX_FILE, PLAN_FILE, PLANS_FILE, PlansRecord, write_plans
from fsengine.plans.served_config import adapt_to_plan, has_static_shapes, hold_shape, tune
from fsengine.repository.assemble import MANIFEST_FILE, link_or_copy
from fsengine.repository.model_config import CONFIG_FILE, config_text, read_config


def graphs_of(repository: Path) -> dict[str, Path]:
    """Return the graphs of a repository by their steps."""
    return {path.parents[1].name: path for path in sorted(repository.glob(f"*/1/{ONNX_FILE}"))}


def write_gpu_repository(
    source: Path, out: Path, gpu: Gpu, record: PlansRecord, plans: Mapping[str, Path] | None = None
) -> None:
    """Write the repository that GPUs serve, whole or not at all; one that was there is replaced.

    Args:
        source: The repository with graphs, assembled for a GPU.
        out: Folder of the result.
        gpu: One of the GPUs.
        record: What becomes of each step.
        plans: Step to its plan.

    Raises:
        InvalidInputError: `out` holds something else.
        PackError: It cannot be written.
    """
    if out.exists() and not (out / PLANS_FILE).is_file() and any(out.iterdir()):
        raise InvalidInputError(f"{out} holds something other than a repository for a GPU; choose another folder")
    try:
        for left in out.parent.glob(f".{glob.escape(out.name)}-gpu-*"):
            shutil.rmtree(left, ignore_errors=True)  # of a run that was killed
        with atomic_folder(out, f".{out.name}-gpu-") as temporary:
            shutil.copytree(
                source,
                temporary,
                dirs_exist_ok=True,
                copy_function=lambda one, other: link_or_copy(Path(one), Path(other)),
                ignore=shutil.ignore_patterns(CONFIG_FILE, MANIFEST_FILE),
            )
            for path in sorted(source.glob(f"*/{CONFIG_FILE}")):
                _write_step(path, temporary / path.parent.name, gpu, record, plans or {})
            write_plans(temporary, record)
            shutil.copyfile(source / MANIFEST_FILE, temporary / MANIFEST_FILE)
    except OSError as exc:
        raise PackError(unwritable(out, exc, "choose another folder")) from exc


def _write_step(config_file: Path, folder: Path, gpu: Gpu, record: PlansRecord, plans: Mapping[str, Path]) -> None:
    """Write the configuration of a step, and its plan if it has one."""
    step, config, graph = config_file.parent.name, read_config(config_file), folder / "1" / ONNX_FILE
    tune(config, gpu, record.num_gpus)
    if step in plans:
        adapt_to_plan(config, static=has_static_shapes(graph))
        graph.unlink()
        link_or_copy(plans[step], folder / "1" / PLAN_FILE)
    elif graph.is_file():
        hold_shape(config, graph)
    if step in record.steps:
        config.metric_tags[PLAN_TAG] = record.steps[step].state
    (folder / CONFIG_FILE).write_text(config_text(config))
