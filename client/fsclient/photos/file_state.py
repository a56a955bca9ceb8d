"""What is kept of a file to tell whether it was changed since."""

from __future__ import annotations

import os

from fsengine.files.stores.object_state import ObjectState

_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1


def file_state(info: os.stat_result) -> ObjectState:
    """Return the state of a file, which has no ETag.

    A file may say that it was changed in 2400, or in 1600. Both numbers are cut to what int64, and so a part, holds;
    whoever stores or compares them takes them from here.

    Args:
        info: Of the file.
    """
    return ObjectState(num_bytes=_as_int64(info.st_size), mtime_ns=_as_int64(info.st_mtime_ns), etag=None)


def _as_int64(number: int) -> int:
    return min(max(number, _INT64_MIN), _INT64_MAX)
