"""From what a user names, a source of the table or a file, to the files and where they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fsengine.errors import InvalidInputError
from fsengine.registry.model_source import ModelSource, read_registry
from fsengine.registry.store import require_unaltered
from fsexport.artifact.exported import Origin, file_hashes

LICENCE_NOT_STATED = "not stated"


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedLicence:
    """What the user says of a file that no table knows.

    Attributes:
        text: SPDX identifier or the licence's own name.
        commercial_use: Whether it allows commercial use.
    """

    text: str = LICENCE_NOT_STATED
    commercial_use: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A model's files and where they come from.

    Attributes:
        files: The files.
        origin: Their source, for an export.
        known: Whether every file has a hash that the table states.
        settings: What the table says of them to an exporter.
    """

    files: tuple[Path, ...]
    origin: Origin
    known: bool
    settings: Mapping[str, Any] = field(default_factory=dict)


def resolve(names: Sequence[str], stated: StatedLicence) -> Given:
    """Find the files that a user names, and what the table of sources knows of them.

    A file is looked up by its hash, so that a known one brings its licence with it whatever it is called.

    Args:
        names: Names of sources, or paths of files.
        stated: Licence of files that the table does not know.

    Raises:
        InvalidInputError: A name is neither, or its file is not here.
        FetchError: A source's file was altered.
    """
    table = read_registry()
    by_hash = {source.sha256: source for source in table.values() if source.sha256}
    files: list[Path] = []
    sources: list[ModelSource | None] = []
    hashes: dict[str, str] = {}
    for name in names:
        source = table.get(name)
        if source is not None:
            path, digest = require_unaltered(source)
        else:
            path = Path(name).expanduser()
            if not path.is_file():
                raise InvalidInputError(
                    f"{name!r} is neither a file nor a model source; `fsclient models list` shows the sources"
                )
            digest = file_hashes(path)[path.name]
        hashes[path.name] = digest
        files.append(path)
        sources.append(source or by_hash.get(digest))
    known = [source for source in sources if source is not None]
    licences = [source.licence if source else stated.text for source in sources]
    origin = Origin(
        source=", ".join(source.about if source else path.name for source, path in zip(sources, files, strict=True)),
        licence=" and ".join(dict.fromkeys(licences)),
        commercial_use=all(source.commercial_use if source else stated.commercial_use for source in sources),
        sources=hashes,
        marks=tuple(dict.fromkeys(mark for source in known for mark in source.marks)),
    )
    settings: dict[str, Any] = {}
    for source in known:
        settings.update(source.settings)
    return Given(
        files=tuple(files),
        origin=origin,
        known=len(known) == len(names) and all(source.sha256 for source in known),
        settings=settings,
    )
