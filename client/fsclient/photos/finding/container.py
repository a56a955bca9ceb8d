"""Files that hold photos, tar shards and tables, opened wherever they lie."""

from __future__ import annotations

import io
import os
from typing import BinaryIO

from fsclient.photos.file_state import file_state
from fsdata.results.source import source_text
from fsengine.files.regular_file import open_regular
from fsengine.files.stores.object_state import ObjectState
from fsengine.files.stores.objects import object_state
from fsengine.files.stores.range_file import RangeFile
from fsengine.files.stores.store_urls import public_url

_READ_AHEAD_BYTES = 8 << 20


def container_source(place: bytes | str) -> str:
    """Return what a path or a URL is called in sources."""
    return public_url(place) if isinstance(place, str) else source_text(place)


def opened_container(place: bytes | str) -> tuple[ObjectState, BinaryIO]:
    """Return the state of a file by its path, or of an object by its URL, and its bytes, which whoever asks closes.

    Raises:
        OSError: The file cannot be read, or is no regular file.
        StoreError: The object is not there, or the store cannot be had.
    """
    if isinstance(place, str):
        state = object_state(place)
        return state, io.BufferedReader(RangeFile(place, state), _READ_AHEAD_BYTES)
    file = open_regular(place)
    return file_state(os.fstat(file.fileno())), file
