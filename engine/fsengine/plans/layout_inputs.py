"""What a layout is chosen from: the steps of a repository, and times that a benchmark measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from fsengine.contracts import steps
from fsengine.contracts.bench_report import BenchReport
from fsengine.contracts.preprocessing import MAX_SIDE_PX
from fsengine.contracts.tensors import DYNAMIC, DType
from fsengine.errors import InvalidInputError, PackError
from fsengine.files.json_record import read_json
from fsengine.plans.built_plans import PLAN_FILE, PLANS_FILE, BuiltPlans
from fsengine.plans.layout import StepNeeds, decode_work_mib
from fsengine.repository.model_config import CONFIG_FILE, read_config

GRAPH_WORK_FACTOR = 8
"""Memory of a graph without a plan, in sizes of its inputs and outputs: a guess, until a plan says it."""

_MIB = 1 << 20


def read_stage_times(path: Path) -> dict[str, float]:
    """Return the microseconds that one photo takes of each step, from a benchmark report.

    Of each step, the time that its instances worked over the photos that the first step was asked for.

    Args:
        path: Of a `BenchReport` as JSON.

    Raises:
        InvalidInputError: The file is something else, or holds no stages.
    """
    try:
        report = msgspec.json.decode(path.read_bytes(), type=BenchReport)
        times = {
            stage.name: 1e6 * stage.busy_share * stage.instances * report.seconds / report.stages[0].requests
            for stage in report.stages
        }
        if not all(math.isfinite(time) and time >= 0 for time in times.values()):
            raise ValueError(f"times of {times}")
    except (OSError, msgspec.DecodeError, ValueError, ArithmeticError, RecursionError) as exc:
        raise InvalidInputError(
            f"{path} holds no stage times ({type(exc).__name__}: {exc}); expected a benchmark report (JSON) of a "
            "server with these models"
        ) from exc
    if not times:
        raise InvalidInputError(f"{path} has no stages: the server kept its statistics from the benchmark")
    return times


def step_needs(repository: Path, times: Mapping[str, float]) -> list[StepNeeds]:
    """Return what every step on the GPU needs, in the order of the ensemble.

    Args:
        repository: An assembled one, with plans or with graphs.
        times: Step to the microseconds of one photo; steps may lack.

    Raises:
        InvalidInputError: There are times of steps that it lacks.
        PackError: A file of it is missing or damaged.
    """
    ensemble = read_config(repository / steps.ENSEMBLE / CONFIG_FILE).ensemble_scheduling
    names = [step.model_name for step in ensemble.step]
    if unknown := set(times) - {*names, steps.DECODE_ISOLATED}:
        raise InvalidInputError(
            f"there are times of {sorted(unknown)}, and the repository has {names}: of another pack?"
        )
    if (repository / steps.DECODE_ISOLATED).is_dir():
        names.insert(1, steps.DECODE_ISOLATED)
    work = _plans_work(repository)
    needs = []
    for name in names:
        config = read_config(repository / name / CONFIG_FILE)
        try:
            artifact = max((repository / name / "1").iterdir(), key=lambda path: path.stat().st_size)
        except (OSError, ValueError) as exc:
            raise PackError(f"{repository / name / '1'} holds no artifact; assemble the repository again") from exc
        if name in (steps.DECODE, steps.DECODE_ISOLATED):
            work_mib = decode_work_mib()
        elif artifact.name == PLAN_FILE and name in work:
            work_mib = work[name] + _tensors_mib(config)
        else:
            work_mib = GRAPH_WORK_FACTOR * _tensors_mib(config)
        needs.append(
            StepNeeds(
                name=name,
                max_batch_size=config.max_batch_size,
                weights_mib=artifact.stat().st_size / _MIB,
                work_mib=work_mib,
                us_per_photo=times.get(name),
            )
        )
    return needs


def _plans_work(repository: Path) -> dict[str, float]:
    """Return the memory of each plan's execution, as its build found it."""
    path = repository / PLANS_FILE
    if not path.exists():
        return {}
    record = read_json(path, BuiltPlans, lambda text: PackError(f"{text}; build the plans again"))
    return {step: plan.work_mib for step, plan in record.models.items()}


def _tensors_mib(config: Any) -> float:
    """Return the size of the inputs and outputs of a full execution; a photo has its largest size."""
    total = 0
    for tensor in (*config.input, *config.output):
        elements = max(config.max_batch_size, 1)
        for axis, size in enumerate(tensor.dims):
            if size != DYNAMIC:
                elements *= size
            else:
                elements *= MAX_SIDE_PX if tensor.name == steps.IMAGE.name and axis else steps.FACE_BATCH_LIMIT
        dtype = DType.from_triton(_type_name(tensor.data_type))
        total += elements * (dtype or DType.FP32).num_bytes
    return total / _MIB


def _type_name(data_type: int) -> str:
    from tritonclient.grpc import model_config_pb2 as pb

    return str(pb.DataType.Name(data_type))
