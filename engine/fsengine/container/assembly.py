"""What a container serves: the repository or pack that it was given, or else the demo pack."""

from __future__ import annotations

import shutil
from pathlib import Path

from fsengine.container.repository_state import RepositoryState, read_state
from fsengine.errors import PackError
from fsengine.packs import PACK_FILE
from fsengine.repository import MANIFEST_FILE, Target, assemble, is_pack, is_repository
from fsengine.shipped import shipped_folder

DEFAULT_PACK = "demo"


def place_repository(given: Path, out: Path, target: Target) -> RepositoryState:
    """Make `out` the repository to serve.

    Args:
        given: Folder of an assembled repository, which `out` then links to, or of a pack, which is assembled into it;
            where it is no folder, the demo pack is.
        out: Where the repository, or a link to it, is to lie.
        target: Who is to serve it.

    Raises:
        PackError: `given` is a folder of something else, or assembled for another target.
    """
    if is_repository(given):
        state = read_state(given)
        if state.target is not target:
            raise PackError(
                f"{given} was assembled for the target {state.target.value}, expected {target.value}: "
                f"fsclient models build {state.pack} --target {target.value} --out DIR"
            )
        _link(out, given)
        return state
    if given.is_dir() and not is_pack(given):
        raise PackError(
            f"{given} holds neither {MANIFEST_FILE} nor {PACK_FILE}; expected the folder of an assembled repository or "
            "of a pack. In compose, FACESTATS_PACK names it by an absolute path"
        )
    if out.is_symlink():
        out.unlink()
    assemble(given if is_pack(given) else shipped_folder("packs") / DEFAULT_PACK, out, target=target)
    return read_state(out)


def _link(out: Path, given: Path) -> None:
    """Let `out` be a link to `given`, which is never written to."""
    if out.is_symlink():
        out.unlink()
    elif out.exists():
        if not is_repository(out):
            raise PackError(f"{out} holds something other than an assembled repository; remove it")
        shutil.rmtree(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.symlink_to(given, target_is_directory=True)
