"""Model files that are here: one folder a source, which holds file and record, hashes checked and pinned.

A record is written after its file, so a file without one is not there yet. It outlives a deleted file: what was
pinned once is expected again.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import IO

from fsengine.errors import Action, FaceStatsError, FetchError, InvalidInputError, Remedy
from fsengine.files.atomic import remove_temporary_files, temporary_file
from fsengine.files.hashing import BLOCK_BYTES, file_sha256
from fsengine.files.json_record import read_json, write_json
from fsengine.files.writing_errors import unwritable
from fsengine.registry.home import hold_models_home, models_home
from fsengine.registry.model_source import RECORD_FILE, ModelSource

LARGEST_FILE_BYTES = 16 << 30
"""No model of this field comes near it; a larger member of an archive is a bomb."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredModel:
    """A model file that is here.

    Attributes:
        name: Of its source.
        sha256: What it hashed to when it came.
        size_bytes: Its size.
        pinned_here: Whether the table did not know the hash, so that the first file to come set it.
        origin: Where it came from.
        date: When, in UTC, ISO 8601.
        licence: The licence that was accepted.
    """

    name: str
    sha256: str
    size_bytes: int
    pinned_here: bool
    origin: str
    date: str
    licence: str


def source_folder(source: ModelSource) -> Path:
    """Return the folder of a source's file and record."""
    return models_home() / "sources" / source.name


def source_path(source: ModelSource) -> Path:
    """Return where a source's file lies, or would lie."""
    return source_folder(source) / source.file


def read_record(source: ModelSource) -> StoredModel | None:
    """Return the record of a source, or None; its file may have been deleted since."""
    try:
        return read_json(source_folder(source) / RECORD_FILE, StoredModel, FetchError)
    except FaceStatsError:
        return None


def stored(source: ModelSource) -> StoredModel | None:
    """Return the record of a source whose file is here at its recorded size, or None; nothing is hashed."""
    record = read_record(source)
    path = source_path(source)
    if record is None or not path.is_file() or path.stat().st_size != record.size_bytes:
        return None
    return record if source.sha256 in (None, record.sha256) else None


def require(source: ModelSource) -> Path:
    """Return the path of a source's file.

    Raises:
        InvalidInputError: It is not here.
    """
    if stored(source) is None:
        raise _absent(source)
    return source_path(source)


def verify_source(source: ModelSource) -> StoredModel:
    """Hash a source's file again and return its record.

    Raises:
        InvalidInputError: It is not here.
        FetchError: It was altered.
    """
    path, record = source_path(source), read_record(source)
    if record is None or not path.is_file():
        raise _absent(source)
    _check_hash(source, path, file_sha256(path), source.sha256 or record.sha256)
    return record


def require_unaltered(source: ModelSource) -> tuple[Path, str]:
    """Return the path of a source's file and its sha256, which is what the table or the pin says.

    Raises:
        InvalidInputError: It is not here.
        FetchError: It was altered.
    """
    path, record = require(source), read_record(source)
    assert record is not None
    found = file_sha256(path)
    _check_hash(source, path, found, source.sha256 or record.sha256)
    return path, found


def import_file(source: ModelSource, file: Path) -> StoredModel:
    """Take a source's file from a file of the user's: the file itself, or the archive that holds it.

    Raises:
        InvalidInputError: The file cannot be read, or holds no such member.
        FetchError: It is not the file that the table, or the pin, says.
    """
    if not file.is_file():
        raise InvalidInputError(f"{file} is not a file; expected {source.file}, or the archive that holds it")
    with unpacked(source, file) as content:
        return install(source, content, origin=f"imported from {file.name}")


def install(source: ModelSource, content: IO[bytes], *, origin: str) -> StoredModel:
    """Copy a source's content into the store, checked against its hash, or pinned to it.

    Raises:
        FetchError: The content is another one, or the store cannot be written.
    """
    folder, path = source_folder(source), source_path(source)
    with hold_models_home(folder / ".lock", source.name):
        before = read_record(source)
        expected = source.sha256 or (before.sha256 if before else None)
        try:
            remove_temporary_files(folder)
            with temporary_file(path) as temporary:
                sha256, size = _copy(source, content, temporary)
                if expected is not None and sha256 != expected:
                    raise _unexpected_content(source, sha256, expected)
            record = StoredModel(
                name=source.name,
                sha256=sha256,
                size_bytes=size,
                pinned_here=source.sha256 is None,
                origin=origin,
                date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
                licence=source.licence,
            )
            write_json(folder / RECORD_FILE, record)
        except OSError as exc:
            raise FetchError(unwritable(path, exc, "set FACESTATS_MODELS")) from exc
    return record


def _copy(source: ModelSource, content: IO[bytes], target: Path) -> tuple[str, int]:
    """Copy content to a file, synced; return its sha256 and its size."""
    digest, size, most = hashlib.sha256(), 0, source.size_bytes or LARGEST_FILE_BYTES
    with target.open("wb") as file:
        while block := _read(source, content):
            size += len(block)
            if size > most:
                raise FetchError(
                    f"{source.name}: {source.file} is larger than the {most:,} bytes expected; it is another file"
                )
            digest.update(block)
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    if not size:
        raise FetchError(f"{source.name}: {source.file} is empty; it is another file")
    return digest.hexdigest(), size


def _read(source: ModelSource, content: IO[bytes]) -> bytes:
    """Return the next block of a file or of an archive's member."""
    try:
        return content.read(BLOCK_BYTES)
    except (OSError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError) as exc:
        raise FetchError(
            f"{source.name}: what it is taken from is damaged at {source.member or source.file}: {exc}; fetch it again"
        ) from exc


def _unexpected_content(source: ModelSource, found: str, expected: str) -> FetchError:
    if source.sha256:
        who = f"stated by {source.hash_source or 'the table'}"
        remedy = "list it under another name in your own table (FACESTATS_REGISTRY)"
    else:
        who, remedy = "pinned when it first came", f"delete {source_folder(source) / RECORD_FILE} and run this again"
    return FetchError(
        f"{source.name}: {source.file} has sha256 {found}, expected {expected} ({who}); nothing was installed. If "
        f"upstream changed the file and you trust it, {remedy}"
    )


@contextmanager
def unpacked(source: ModelSource, file: Path) -> Iterator[IO[bytes]]:
    """Open a source's content in a file: its member where the file is an archive and the source has one.

    Raises:
        InvalidInputError: It cannot be opened, or holds no such member.
    """
    with ExitStack() as stack:
        try:
            if source.member is None or file.name == source.file or not zipfile.is_zipfile(file):
                content: IO[bytes] = stack.enter_context(file.open("rb"))
            else:
                archive = stack.enter_context(zipfile.ZipFile(file))
                content = stack.enter_context(archive.open(_member(archive, source.member)))
        except (OSError, zipfile.BadZipFile, KeyError, RuntimeError, NotImplementedError) as exc:
            raise InvalidInputError(f"{file} gives no {source.member or source.file}: {exc}") from exc
        yield content


def _check_hash(source: ModelSource, path: Path, found: str, expected: str) -> None:
    if found != expected:
        raise FetchError(
            f"{source.name}: {path} has sha256 {found}, expected {expected}; the file was altered: delete it and fetch "
            "it again",
            remedy=Remedy(Action.FETCH_SOURCE, source.name),
        )


def _absent(source: ModelSource) -> InvalidInputError:
    return InvalidInputError(
        f"{source.name} is not here; fetch it, or import it from a file",
        remedy=Remedy(Action.IMPORT_SOURCE if source.origin_is_local else Action.FETCH_SOURCE, source.name),
    )


def free_bytes(folder: Path) -> int:
    """Return the free bytes of the disk that holds a folder, which need not be there yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _member(archive: zipfile.ZipFile, member: str) -> zipfile.ZipInfo:
    """Return a member by its path, or by its name alone where the archive has it in one folder."""
    names = [info for info in archive.infolist() if info.filename == member]
    names = names or [info for info in archive.infolist() if Path(info.filename).name == Path(member).name]
    if len(names) != 1:
        raise KeyError(f"the archive has {len(names)} members named {Path(member).name}")
    return names[0]
