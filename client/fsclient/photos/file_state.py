"""What is kept of a file to tell whether it was changed since."""

from __future__ import annotations

import os

_INT64_MIN, _INT64_MAX = -(1 << 63), (1 << 63) - 1


def file_state(info: os.stat_result) -> tuple[int, int]:
    """Return the size of a file in bytes and the time of its last change in nanoseconds since 1970.

    A file may say that it was changed in 2400, or in 1600. Both numbers are cut to what int64, and so a part, holds;
    whoever stores or compares them takes them from here.

    Args:
        info: Of the file.
    """
    return _as_int64(info.st_size), _as_int64(info.st_mtime_ns)


def _as_int64(number: int) -> int:
    return min(max(number, _INT64_MIN), _INT64_MAX)
