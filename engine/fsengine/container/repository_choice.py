"""What a container serves: the repository or pack that it was given, or else the pack that ships."""

from __future__ import annotations

import shutil
from pathlib import Path

from fsengine.container.repository_state import RepositoryState, read_state
from fsengine.errors import Action, InvalidInputError, PackError, Remedy
from fsengine.packs.pack import PACK_FILE
from fsengine.packs.shipped import SHIPPED_PACK, shipped_folder
from fsengine.repository.assemble import MANIFEST_FILE, Target, assemble, is_pack, is_repository

GIVEN = Path("/given")
"""Where compose mounts what is to be served, or a device where that is nothing."""


def given_folder(given: Path) -> Path | None:
    """Return the folder that a container was given; None where it was given none: a device is mounted there.

    Raises:
        InvalidInputError: It is a file, or not there.
    """
    if given.is_char_device() or (given == GIVEN and not given.exists()):
        return None
    if not given.is_dir():
        raise InvalidInputError(f"{given} is no folder; expected that of an assembled repository or of a pack")
    return given.resolve()


def place_repository(given: Path | None, out: Path, target: Target) -> RepositoryState:
    """Make `out` the repository to serve.

    Args:
        given: Folder of an assembled repository, which `out` then links to, or of a pack, which is assembled into it;
            None for the pack that ships.
        out: Where the repository, or a link to it, is to lie.
        target: Who is to serve it.

    Raises:
        InvalidInputError: `out` is `given`, or one of them lies in the other.
        PackError: `given` is a folder of something else, or assembled for another target, or `out` cannot be written.
    """
    if given is not None:
        _refuse_inside(given, out)
    try:
        return _place(given, out, target)
    except OSError as exc:
        raise PackError(f"{out} cannot be written: {exc.strerror or exc}; choose another folder") from exc


def _refuse_inside(given: Path, out: Path) -> None:
    source, place = given.resolve(), out.parent.resolve() / out.name  # a link there is replaced, not followed
    if place == source or place in source.parents or source in place.parents:
        raise InvalidInputError(
            f"{out} and {given} lie in each other; what is given is never written to: choose another --out"
        )


def _place(given: Path | None, out: Path, target: Target) -> RepositoryState:
    if given is not None and is_repository(given):
        state = read_state(given)
        if state.target is not target:
            raise PackError(
                f"{given} was assembled for the target {state.target.value}, expected {target.value}; "
                f"assemble the pack {state.pack} for that target",
                remedy=Remedy(Action.ASSEMBLE, target.value),
            )
        _link(out, given)
        return state
    if given is not None and not is_pack(given):
        raise PackError(
            f"{given} holds neither {MANIFEST_FILE} nor {PACK_FILE}; expected the folder of an assembled repository or "
            "of a pack. In compose, FACESTATS_PACK names it by an absolute path"
        )
    if out.is_symlink():
        out.unlink()
    assemble(given or shipped_folder("packs") / SHIPPED_PACK, out, target=target)
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
    out.symlink_to(given.resolve(), target_is_directory=True)
