"""Photos in tar shards, as WebDataset writes them.

A shard on disk is read for its headers alone, and its photos where they lie. One in a store, or a compressed one, is
read once from its beginning to its end, and its photos come with their bytes.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import BinaryIO, cast

from fsclient.photos.entry import CUT_OFF, InsideEntry
from fsclient.photos.finding.container import container_source, opened_container
from fsclient.photos.finding.seen import SeenTexts
from fsclient.photos.finding.tally import Tally
from fsclient.photos.finding.tar_members import tar_members
from fsclient.photos.source_rules import SourceRules
from fsdata.results.source import inside_text
from fsengine.contracts.preprocessing import MAX_PHOTO_FILE_BYTES
from fsengine.errors import StoreError, StoreUnavailableError
from fsengine.files.stores.object_state import ObjectState

_AT_A_TIME = 1 << 20
_LONGEST_NAME = 4096
_GZIP = b"\x1f\x8b"

_SECOND = "second photo of a name in a shard"
_NO_FILE = "link, device or sparse file in a shard"
_LONG_NAME = f"name of more than {_LONGEST_NAME} bytes in a shard"

_DAMAGE = (OSError, EOFError, zlib.error, StoreError)


def photos_of_shard(shard: bytes | str, rules: SourceRules, tally: Tally) -> Iterator[InsideEntry]:
    """Yield the photos of a shard, in their order.

    What is damaged ends the shard and is noted; what was found before it counts.

    Args:
        shard: Path, or URL.
        rules: Which of its members are photos.
        tally: Counts the others.

    Raises:
        StoreUnavailableError: It lies in a store that cannot be had.
    """
    source = container_source(shard)
    try:
        with ExitStack() as stack:
            state, file = opened_container(shard)
            stack.enter_context(file)
            is_plain = file.read(len(_GZIP)) != _GZIP
            file.seek(0)
            if not is_plain:
                file = stack.enter_context(cast("BinaryIO", gzip.GzipFile(fileobj=file)))
            yield from _photos(shard if is_plain else None, source, file, state, rules, tally)
    except StoreUnavailableError:
        raise
    except _DAMAGE as exc:
        reason = getattr(exc, "strerror", None) or str(exc) or type(exc).__name__
        tally.note_unreadable(source, f"the shard cannot be read (to its end): {reason}")


def _photos(
    plain: bytes | str | None, source: str, file: BinaryIO, state: ObjectState, rules: SourceRules, tally: Tally
) -> Iterator[InsideEntry]:
    """Yield the photos of an open shard.

    Args:
        plain: Where it is, as long as its bytes are those of the tar file.
        source: What it is called.
        file: Its content, uncompressed.
        state: Its state.
        rules: Which of its members are photos.
        tally: Counts the others.
    """
    rules = replace(rules, column=None, id_column=None)
    names = SeenTexts()
    for member in tar_members(file):
        if member.is_folder:
            continue
        if (why := _why_skip(member.name, is_file=member.is_file, rules=rules)) is not None:
            tally.skipped_files[why] += 1
            continue
        name = inside_text(source, member.name.decode("utf-8", "surrogateescape"))
        if not names.add(name.encode()):
            tally.skipped_files[_SECOND] += 1
            continue
        entry = InsideEntry(
            source=name,
            container=state,
            num_bytes=member.num_bytes,
            place=None if plain is None else (plain, member.start),
        )
        if not isinstance(plain, bytes) and member.num_bytes <= MAX_PHOTO_FILE_BYTES:
            try:
                entry = replace(entry, data=_read(file, member.num_bytes))
            except (EOFError, OSError, zlib.error):
                yield replace(entry, problem=CUT_OFF)
                raise
        yield entry


def _why_skip(name: bytes, *, is_file: bool, rules: SourceRules) -> str | None:
    """Return why a member is left out, in words; None where it is taken."""
    if not is_file:
        return _NO_FILE
    return _LONG_NAME if len(name) > _LONGEST_NAME else rules.why_skip_by_name(name)


def _read(file: BinaryIO, num_bytes: int) -> bytes:
    """Return so many bytes, fewer at the end; what is announced takes no memory before it is there."""
    data = bytearray()
    while len(data) < num_bytes and (piece := file.read(min(_AT_A_TIME, num_bytes - len(data)))):
        data += piece
    return bytes(data)
