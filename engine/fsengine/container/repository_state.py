"""What lies in the folder of a repository: whether it is whole, for whom it was assembled, and which plans it has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fsengine.contracts.steps import ALIGN, DECODE, DETECT, EMBED, ENSEMBLES
from fsengine.errors import Action, PackError, Remedy
from fsengine.plans.built_plans import BUILT, PlansRecord, read_plans
from fsengine.repository.assemble import MANIFEST_FILE, Target, read_manifest
from fsengine.repository.model_config import CONFIG_FILE


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryState:
    """A whole repository.

    Attributes:
        folder: Its folder.
        pack: Name of the pack that it serves.
        target: Who it was assembled for.
        plans: What it was made for, where it is one for the GPUs of a machine.
    """

    folder: Path
    pack: str
    target: Target
    plans: PlansRecord | None

    @property
    def needs_gpu(self) -> bool:
        """Return whether the server cannot load it without a GPU."""
        return self.target.on_gpu

    @property
    def text(self) -> str:
        """Return what it is, for people."""
        steps = [] if self.plans is None else self.plans.of(BUILT)
        built = f"plans of {', '.join(steps)}" if steps else "no plans"
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
    _check_artifacts(folder)
    return RepositoryState(folder=folder, pack=pack, target=target, plans=read_plans(folder))


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
