"""Where model packs and assembled repositories lie, and how a name becomes something to serve."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from fsclient.models.build_on_request import BuildChoice, build_on_request, built_folder, changed_pack, packs_on_request
from fsengine.contracts.served import ServedModels
from fsengine.errors import InvalidInputError, PackError
from fsengine.packs.pack import PACK_FILE, Pack, read_pack
from fsengine.packs.shipped import RETIRED_PACKS, shipped_folder
from fsengine.registry.home import models_home
from fsengine.repository.assemble import Target, assemble, is_pack, is_repository, read_manifest, read_served
from fsengine.terminal.messages import Say


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


def list_packs() -> list[PackEntry]:
    """Return every pack that ships, was built, or can be built by name."""
    folders = {path.parent.name: path.parent for path in sorted(shipped_folder("packs").glob(f"*/{PACK_FILE}"))}
    on_request = packs_on_request()
    for name in on_request:
        folders.setdefault(name, built_folder(name))
    for path in sorted((models_home() / "packs").glob(f"*/{PACK_FILE}")):
        folders.setdefault(path.parent.name, path.parent)
    entries = []
    for name, folder in folders.items():
        pack, summary = None, on_request.get(name, "")
        if is_pack(folder):
            try:
                pack = read_pack(folder)
                summary = pack.description
            except PackError as exc:  # of another version, or damaged: one that is made on request is made again
                summary = summary or str(exc)
        entries.append(PackEntry(name=name, folder=folder, pack=pack, summary=summary))
    return entries


def given_folder(models: str) -> Path | None:
    """Return the folder of a pack that is given as a path; None where it is a name.

    Raises:
        InvalidInputError: The folder holds no pack.
    """
    if os.sep not in models and not models.startswith("."):
        return None
    folder = Path(models).expanduser()
    if not is_pack(folder):
        raise InvalidInputError(f"{folder} holds no {PACK_FILE}; expected a model pack")
    return folder


def refuse_retired(name: str) -> None:
    """Say which pack took the place of one that earlier versions shipped.

    Raises:
        InvalidInputError: The name is that of such a pack.
    """
    if (successor := RETIRED_PACKS.get(name)) is not None:
        raise InvalidInputError(
            f"the pack {name!r} is no longer there: {successor!r} replaces it. `fsclient ingest --out DIR --refresh "
            f"--models {successor}` brings results of {name!r} to it"
        )


def pack_folder(models: str, say: Say, choice: BuildChoice | None = None) -> Path:
    """Return the folder of a pack given by name or path, built if it is not there yet.

    Args:
        models: Name of a pack, or a pack's folder.
        say: Called with each line of progress.
        choice: How to build a pack that is made on request, even where it is there, or what to change in another one;
            None builds only what is not there.

    Raises:
        InvalidInputError: There is no such pack, or a choice does not suit it.
        MissingDependencyError: Building it needs libraries that are not installed.
        ExportError: Building it failed.
    """
    if (folder := given_folder(models)) is not None:
        return changed_pack(folder, read_pack(folder).name, choice or BuildChoice(), say)
    entries = {entry.name: entry for entry in list_packs()}
    if models not in entries:
        refuse_retired(models)
        raise InvalidInputError(
            f"there is no pack named {models!r}; known packs: {', '.join(sorted(entries))} (see `fsclient models list`)"
        )
    entry = entries[models]
    if models in packs_on_request() and (entry.pack is None or choice is not None):
        return build_on_request(models, choice or BuildChoice(), say)
    return changed_pack(entry.folder, models, choice or BuildChoice(), say)


def served_repository(
    models: str,
    say: Say,
    *,
    target: Target = Target.PIP,
    without: tuple[str, ...] = (),
    out: Path | None = None,
    choice: BuildChoice | None = None,
) -> Path:
    """Return an assembled repository for a pack's name, a pack's folder or a repository's folder.

    Args:
        models: What to serve.
        say: Called with each line of progress.
        target: Who serves it.
        without: Heads to switch off.
        out: Where to assemble it; by default below `models_home()`.
        choice: See `pack_folder`.

    Raises:
        InvalidInputError: `models` names nothing that can be served.
        PackError: The pack is incomplete, altered or does not fit its contracts.
    """
    if (folder := _given_repository(models, without)) is not None:
        _, made_for = read_manifest(folder)
        if made_for is not target:
            raise InvalidInputError(
                f"{folder} was assembled for the target {made_for.value}, expected {target.value} here; "
                f"fsclient models build PACK --target {target.value}, or serve it with what it is for"
            )
        return folder
    if choice is not None and models in packs_on_request():
        # Left out of the pack, a head is neither fetched nor checked for its licence.
        choice = replace(choice, use={**choice.use, **dict.fromkeys(without, "none")})
        without = ()
    source = pack_folder(models, say, choice)
    pack = _pack_without(source, without)
    if choice is not None and choice.licences.commercial_ok:
        _refuse_non_commercial(pack)
    if out is None:
        name = f"{pack.name}-{pack.served().model_set_id}-{target.value}"
        if not target.in_pip:
            name = name.replace("-", "_")  # Triton's DALI backend takes no hyphens
        out = models_home() / "repositories" / name
    if not is_repository(out):
        say(f"assembling the {pack.name} pack into {out}")
    golden = None
    if target.on_gpu:
        from fsengine.repository.golden.recording import golden_file

        golden = golden_file(source, say, without)
    assemble(source, out, target=target, without=without, golden=golden)
    return out


def asked_models(models: str, say: Say, *, without: tuple[str, ...] = ()) -> ServedModels:
    """Return what a server of `models` says that it serves, without a server; for arguments see `served_repository`.

    A pack that is made on request and is not there yet is built.

    Raises:
        InvalidInputError: `models` names nothing that can be served, or has no such head to switch off.
        PackError: What describes it is damaged.
    """
    if (folder := _given_repository(models, without)) is not None:
        return read_served(folder)
    return _pack_without(pack_folder(models, say), without).served()


def models_here(models: str) -> ServedModels:
    """Return what a server of `models` says that it serves; nothing is built for that.

    Args:
        models: Name of a pack, or the folder of a pack or of an assembled repository.

    Raises:
        InvalidInputError: `models` names nothing that is here.
        PackError: What describes it is damaged.
    """
    unbuilt = next((entry for entry in list_packs() if entry.name == models and entry.pack is None), None)
    if unbuilt is not None:
        raise InvalidInputError(
            f"the pack {models!r} is not built here, so that it cannot be compared with what the server serves: build "
            f"it (`fsclient models build {models}`), or leave --models out to use what the server serves"
        )
    return asked_models(models, lambda _: None)


def _given_repository(models: str, without: tuple[str, ...]) -> Path | None:
    """Return the folder of an assembled repository that is given as a path; None where it is something else.

    Raises:
        InvalidInputError: Heads are to be switched off in it.
    """
    folder = Path(models).expanduser()
    if os.sep not in models or not is_repository(folder):
        return None
    if without:
        raise InvalidInputError(f"{folder} is assembled already; heads are switched off when it is: name the pack")
    return folder


def _pack_without(folder: Path, without: tuple[str, ...]) -> Pack:
    """Return the description of a pack with some heads switched off.

    Raises:
        InvalidInputError: It has no such head, or is none.
    """
    try:
        return read_pack(folder).without(without)
    except PackError as exc:
        raise InvalidInputError(str(exc)) from exc


def _refuse_non_commercial(pack: Pack) -> None:
    if refused := [f"{step} ({model.licence})" for step, model in pack.models.items() if not model.commercial_use]:
        raise InvalidInputError(
            f"--commercial-ok refuses the {pack.name} pack for {', '.join(refused)}: their licences allow no "
            "commercial use, or none was stated. Switch heads off with --without, or build a pack of other models"
        )
