"""Plans that were built, by their key: a second build of the same thing takes none of the time."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fsengine.errors import PackError
from fsengine.files.atomic import atomic_folder
from fsengine.files.hashing import file_sha256
from fsengine.files.json_record import read_json, write_json
from fsengine.files.writing_errors import unwritable
from fsengine.gpu import Gpu
from fsengine.plans.build_key import PlanKey
from fsengine.plans.built_plans import PLAN_FILE
from fsengine.plans.output_parity import OutputParity
from fsengine.registry.home import models_home

RECORD_FILE = "plan.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPlan:
    """A plan that is whole and was checked.

    Attributes:
        path: Its file.
        key: See `PlanKey.key`.
        sha256: Of the file.
        parity: Largest relative error of each output.
        work_mib: Memory that one execution takes on top of weights, inputs and outputs.
    """

    path: Path
    key: str
    sha256: str
    parity: dict[str, float]
    work_mib: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _PlanRecord:
    """What `plan.json` says; see `StoredPlan`. `made_of` is there for people and for a check by hand."""

    key: str
    sha256: str
    parity: Mapping[str, float]
    work_mib: float
    made_of: PlanKey


def plans_folder() -> Path:
    """Return the folder of all plans."""
    return models_home() / "plans"


def timing_cache_path(tensorrt: str, gpu: Gpu) -> Path:
    """Return the file of kernel timings of a TensorRT on a GPU; others' timings would not hold."""
    name = "".join(letter if letter.isalnum() else "-" for letter in gpu.name.lower())
    return plans_folder() / f"timing-{tensorrt}-{name}-{gpu.capability_text}.cache"


def find_plan(key: PlanKey) -> StoredPlan | None:
    """Return a stored plan, or None where there is none, or it was altered."""
    folder = plans_folder() / key.key
    try:
        record = read_json(folder / RECORD_FILE, _PlanRecord, PackError)
        if file_sha256(folder / PLAN_FILE) != record.sha256:
            return None
    except (OSError, PackError):
        return None
    return StoredPlan(
        path=folder / PLAN_FILE,
        key=key.key,
        sha256=record.sha256,
        parity=dict(record.parity),
        work_mib=record.work_mib,
    )


def install_plan(key: PlanKey, plan: Path, parity: Sequence[OutputParity], work_mib: float) -> StoredPlan:
    """Put a checked plan into the store, complete or not at all.

    Args:
        key: What it was made of.
        plan: Its file, which is moved.
        parity: What the check measured.
        work_mib: See `StoredPlan`.

    Raises:
        PackError: The folder cannot be written.
    """
    folder = plans_folder() / key.key
    worst: dict[str, float] = {}
    for item in parity:
        worst[item.output] = max(worst.get(item.output, 0.0), item.relative_error)
    try:
        with atomic_folder(folder, f".{key.key}-") as temporary:
            shutil.move(plan, temporary / PLAN_FILE)
            sha256 = file_sha256(temporary / PLAN_FILE)
            record = _PlanRecord(key=key.key, sha256=sha256, parity=worst, work_mib=work_mib, made_of=key)
            write_json(temporary / RECORD_FILE, record)
    except OSError as exc:
        raise PackError(unwritable(folder, exc, "set FACESTATS_MODELS")) from exc
    return StoredPlan(path=folder / PLAN_FILE, key=key.key, sha256=sha256, parity=worst, work_mib=work_mib)
