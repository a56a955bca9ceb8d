"""What lies in the folder of a repository: whether it is whole, for whom it was assembled, and which plans it has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fsengine.contracts.steps import ALIGN, DECODE, DETECT, EMBED, ENSEMBLES
from fsengine.errors import Action, PackError, Remedy
from fsengine.files.hashing import file_sha256
from fsengine.files.json_record import read_object
from fsengine.plans.built_plans import PLAN_FILE, PLANS_FILE
from fsengine.repository.assemble import MANIFEST_FILE, Target, read_manifest
from fsengine.repository.model_config import CONFIG_FILE


@dataclass(frozen=True, slots=True, kw_only=True)
class Plans:
    """What the plans of a repository were built for.

    Attributes:
        tensorrt: Version, for example `11.4.0.106`.
        compute_capability: For example `9.0`.
        gpu: Name of the GPU that they were built on.
        steps: Steps that have a plan.
    """

    tensorrt: str
    compute_capability: str
    gpu: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryState:
    """A whole repository.

    Attributes:
        folder: Its folder.
        pack: Name of the pack that it serves.
        target: Who it was assembled for.
        plans: Its plans, or None where it has none.
    """

    folder: Path
    pack: str
    target: Target
    plans: Plans | None

    @property
    def needs_gpu(self) -> bool:
        """Return whether the server cannot load it without a GPU."""
        return self.target.on_gpu or self.plans is not None

    @property
    def text(self) -> str:
        """Return what it is, for people."""
        built = "no plans" if self.plans is None else f"plans of {', '.join(self.plans.steps)}"
        return f"the {self.pack} pack from {self.folder} ({self.target.value}; {built})"


def read_state(folder: Path) -> RepositoryState:
    """Read what a repository is.

    Raises:
        PackError: It is not there, or it or its plans were not finished.
    """
    if not (folder / MANIFEST_FILE).is_file():
        raise PackError(
            f"{folder} holds no {MANIFEST_FILE}, so there is no whole repository; expected one that "
            f"was assembled from a pack for the target container or gpu. {_listing(folder)}",
            remedy=Remedy(Action.ASSEMBLE, Target.CONTAINER.value),
        )
    pack, target = read_manifest(folder)
    plans = _read_plans(folder)
    _check_artifacts(folder)
    return RepositoryState(folder=folder, pack=pack, target=target, plans=plans)


def _read_plans(folder: Path) -> Plans | None:
    there = sorted(path.parents[1].name for path in folder.glob(f"*/1/{PLAN_FILE}"))
    manifest = folder / PLANS_FILE
    if not manifest.is_file():
        if there:
            raise PackError(
                f"{folder} has plans of {', '.join(there)} but no {PLANS_FILE}, so building them was broken off; "
                "build them again (docker compose up, or fsengine build)"
            )
        return None
    record = read_object(manifest, lambda text: PackError(f"{text}; build the plans again"))
    try:
        plans = Plans(
            tensorrt=str(record["tensorrt"]),
            compute_capability=str(record["compute_capability"]),
            gpu=str(record["gpu"]),
            steps=tuple(sorted(record["models"])),
        )
    except (KeyError, TypeError) as exc:
        raise PackError(f"{manifest} lacks {exc}; build the plans again") from exc
    if missing := set(plans.steps) - set(there):
        raise PackError(f"{manifest} names plans of {', '.join(sorted(missing))} that are not there; build them again")
    for step in plans.steps:
        if file_sha256(folder / step / "1" / PLAN_FILE) != record["models"][step].get("sha256"):
            raise PackError(f"the plan of {step} is not the one that {manifest} names; build the plans again")
    return plans


def _check_artifacts(folder: Path) -> None:
    """Check that every step has something to load.

    Raises:
        PackError: One has not.
    """
    for config in sorted(folder.glob(f"*/{CONFIG_FILE}")):
        step = config.parent.name
        if step not in ENSEMBLES and not any(path.stat().st_size for path in config.parent.glob("1/*")):
            raise PackError(f"{config.parent} holds no artifact to serve; make the repository again")
    if not all((folder / name / CONFIG_FILE).is_file() for name in (*ENSEMBLES, DECODE, DETECT, ALIGN, EMBED)):
        raise PackError(f"{folder} lacks steps of the ensemble; make the repository again")


def _listing(folder: Path) -> str:
    """Return what lies in a folder instead, for a message."""
    if not folder.is_dir():
        return "There is no such folder."
    names = sorted(path.name for path in folder.iterdir())
    return f"It holds {', '.join(names[:8])}{' ...' if len(names) > 8 else ''}." if names else "It is empty."
