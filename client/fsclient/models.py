"""Where model packs and assembled repositories lie, and how a name becomes something to serve."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fsengine.errors import InvalidInputError, MissingDependencyError, PackError
from fsengine.packs import PACK_FILE, Pack, read_pack, verify_pack
from fsengine.repository import Target, assemble, is_pack, is_repository
from fsengine.shipped import shipped_folder

DEFAULT_PACK = "demo"

BUILT_PACKS = {"test": "full-size graphs for tests: SCRFD, seeded CLIP, every head; needs the test assets and torch"}
"""Packs that are made on first use, each with what it is."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PackEntry:
    """One pack that a command may name.

    Attributes:
        name: Its name.
        folder: Where it lies, or would lie.
        pack: Its description; None where it is not built yet.
        summary: One line for people.
    """

    name: str
    folder: Path
    pack: Pack | None
    summary: str


def models_home() -> Path:
    """Return the folder of built packs and repositories: `FACESTATS_MODELS`, or `facestats` in the XDG cache."""
    if override := os.environ.get("FACESTATS_MODELS"):
        return Path(override).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "facestats"


def list_packs() -> list[PackEntry]:
    """Return every pack that ships, was built, or can be built by name."""
    folders = {path.parent.name: path.parent for path in sorted(shipped_folder("packs").glob(f"*/{PACK_FILE}"))}
    built = models_home() / "packs"
    for name in BUILT_PACKS:
        folders.setdefault(name, built / name)
    for path in sorted(built.glob(f"*/{PACK_FILE}")):
        folders.setdefault(path.parent.name, path.parent)
    entries = []
    for name, folder in folders.items():
        pack = read_pack(folder) if is_pack(folder) else None
        summary = pack.description if pack else BUILT_PACKS[name]
        entries.append(PackEntry(name=name, folder=folder, pack=pack, summary=summary))
    return entries


def pack_folder(models: str, say: Say) -> Path:
    """Return the folder of a pack given by name or path, built if it is not there yet.

    Args:
        models: Name of a pack, or a pack's folder.
        say: Called with each line of progress.

    Raises:
        InvalidInputError: There is no such pack.
        MissingDependencyError: Building it needs libraries that are not installed.
        ExportError: Building it failed.
    """
    if os.sep in models or models.startswith("."):
        folder = Path(models).expanduser()
        if not is_pack(folder):
            raise InvalidInputError(f"{folder} holds no {PACK_FILE}; expected a model pack")
        return folder
    entries = {entry.name: entry for entry in list_packs()}
    if models not in entries:
        raise InvalidInputError(
            f"there is no pack named {models!r}; known packs: {', '.join(sorted(entries))} (see `fsclient models list`)"
        )
    entry = entries[models]
    if entry.pack is None:
        _build_pack(entry, say)
    return entry.folder


def served_repository(
    models: str,
    say: Say,
    *,
    target: Target = Target.PIP,
    without: tuple[str, ...] = (),
    out: Path | None = None,
) -> Path:
    """Return an assembled repository for a pack's name, a pack's folder or a repository's folder.

    Args:
        models: What to serve.
        say: Called with each line of progress.
        target: Who serves it.
        without: Heads to switch off.
        out: Where to assemble it; by default below `models_home()`.

    Raises:
        InvalidInputError: `models` names nothing that can be served.
        PackError: The pack is incomplete, altered or does not fit its contracts.
    """
    folder = Path(models).expanduser()
    if os.sep in models and is_repository(folder):
        if without:
            raise InvalidInputError(f"{folder} is assembled already; heads are switched off when it is: name the pack")
        return folder
    source = pack_folder(models, say)
    try:
        pack = read_pack(source).without(without)
    except PackError as exc:
        raise InvalidInputError(str(exc)) from exc
    if out is None:
        name = f"{pack.name}-{pack.served().model_set_id}-{target.value}"
        out = models_home() / "repositories" / name
    if not is_repository(out):
        say(f"assembling the {pack.name} pack into {out}")
    assemble(source, out, target=target, without=without)
    return out


def verify(models: str, say: Say) -> Pack:
    """Compare every file of a pack with its hash and return the pack.

    Raises:
        PackError: A file is missing or altered.
    """
    return verify_pack(pack_folder(models, say))


def _build_pack(entry: PackEntry, say: Say) -> None:
    """Build a pack that is made on first use."""
    try:
        from fsexport.test_pack import build_test_pack
    except ImportError as exc:
        raise MissingDependencyError(
            f"building the {entry.name} pack needs {exc.name}: pip install 'facestats[export]'"
        ) from exc
    say(f"building the {entry.name} pack in {entry.folder} (once)")
    build_test_pack(entry.folder, say)
