"""Plans that were built, by their key: a second build of the same thing takes none of the time."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
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
from fsengine.registry.home import models_home

RECORD_FILE = "plan.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class _StoredPlan:
    """What `plan.json` says; `made_of` is there for people.

    Attributes:
        key: See `PlanKey.key`.
        sha256: Of the plan.
        made_of: What it was made of.
    """

    key: str
    sha256: str
    made_of: PlanKey


def plans_folder() -> Path:
    """Return the folder of all plans."""
    return models_home() / "plans"


def timing_cache_path(tensorrt: str, gpu: Gpu) -> Path:
    """Return the file of kernel timings of a TensorRT on a GPU; others' timings would not hold."""
    name = "".join(letter if letter.isalnum() else "-" for letter in gpu.name.lower())
    return plans_folder() / f"timing-{tensorrt}-{name}-{gpu.capability_text}.cache"


@contextmanager
def unfinished_plan() -> Iterator[Path]:
    """Give a path for a plan that is being built; what is still there at the end is removed.

    Raises:
        PackError: The store cannot be written.
    """
    try:
        plans_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".plan-", dir=plans_folder()) as folder:
            yield Path(folder) / PLAN_FILE
    except OSError as exc:
        raise PackError(unwritable(plans_folder(), exc, "set FACESTATS_MODELS")) from exc


def find_plan(key: PlanKey) -> Path | None:
    """Return the file of a stored plan, or None where there is none, or it was altered."""
    folder = plans_folder() / key.key
    try:
        record = read_json(folder / RECORD_FILE, _StoredPlan, PackError)
        return folder / PLAN_FILE if file_sha256(folder / PLAN_FILE) == record.sha256 else None
    except (OSError, PackError):
        return None


def install_plan(key: PlanKey, plan: Path) -> Path:
    """Put a plan into the store, complete or not at all, and return its file there.

    Args:
        key: What it was made of.
        plan: Its file, which is moved.

    Raises:
        PackError: The folder cannot be written.
    """
    folder = plans_folder() / key.key
    try:
        with atomic_folder(folder, f".{key.key}-") as temporary:
            plan.replace(temporary / PLAN_FILE)
            sha256 = file_sha256(temporary / PLAN_FILE)
            write_json(temporary / RECORD_FILE, _StoredPlan(key=key.key, sha256=sha256, made_of=key))
    except OSError as exc:
        raise PackError(unwritable(folder, exc, "set FACESTATS_MODELS")) from exc
    return folder / PLAN_FILE
