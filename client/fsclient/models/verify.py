"""Compare what is here with its hashes: packs and model sources."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fsclient.models.name_to_repository import given_folder, list_packs, refuse_retired
from fsengine.errors import InvalidInputError
from fsengine.packs.pack import verify_pack
from fsengine.registry.model_source import ModelSource, read_registry
from fsengine.registry.store import read_record, source_path, verify_source
from fsengine.terminal.messages import counted


def verify_everything() -> Iterator[str]:
    """Verify every pack and every source that is here; yield a line for each.

    Raises:
        PackError: A pack's file is missing or altered.
        FetchError: A source's file was altered.
    """
    for entry in list_packs():
        if entry.pack is not None:
            yield _pack_line(entry.folder)
    for source in read_registry().values():
        if read_record(source) is not None and source_path(source).exists():
            yield _source_line(source)


def verify_named(name: str) -> str:
    """Verify a pack by name or folder, or a source by name, and return a line for people.

    Raises:
        InvalidInputError: There is none of that name here.
        PackError: A pack's file is missing or altered.
        FetchError: A source's file was altered.
    """
    if (folder := given_folder(name)) is not None:
        return _pack_line(folder)
    entries = {entry.name: entry for entry in list_packs()}
    table = read_registry()
    if name in entries:
        if entries[name].pack is None:
            raise InvalidInputError(f"the {name} pack is not built yet: fsclient models build {name}")
        return _pack_line(entries[name].folder)
    if name in table:
        return _source_line(table[name])
    refuse_retired(name)
    raise InvalidInputError(
        f"there is neither a pack nor a source named {name!r}; known packs: {', '.join(sorted(entries))}; "
        "`fsclient models list` shows the sources too"
    )


def _pack_line(folder: Path) -> str:
    pack = verify_pack(folder)
    return f"{pack.name}: {counted(len(pack.models), 'file')} as {pack.served().model_set_id} says"


def _source_line(source: ModelSource) -> str:
    record = verify_source(source)
    pinned = "pinned when it first came" if record.pinned_here else f"known from {source.hash_source or 'the table'}"
    return f"{source.name}: sha256 {record.sha256}, {pinned}"
