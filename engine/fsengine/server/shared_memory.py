"""Room in /dev/shm, through which every tensor of a Python backend passes, and what dead servers left there."""

from __future__ import annotations

import logging
import os
import re
import secrets
from pathlib import Path

from fsengine.contracts.preprocessing import DETECTOR_SIDE_PX, MAX_SIDE_PX
from fsengine.errors import ServerError

logger = logging.getLogger(__name__)

SHARED_MEMORY = Path("/dev/shm")

REGION_BYTES = 1 << 20
"""What one model instance takes at first; Triton grows it in steps of the same size."""

MAX_PHOTO_BYTES = 3 * (MAX_SIDE_PX**2 + DETECTOR_SIDE_PX**2)
"""Pixels of the largest photo and of the detector's view of it."""

COPIES = 2
"""Each tensor lies in the region of the step that made it and in the region of the step that reads it."""

BASE_BYTES = 112 << 20
"""Regions of all steps, a photo decoded alone, and the crops of one crowd: 256 faces of 224 x 224 x 3 bytes, twice."""

MAX_PHOTOS_IN_FLIGHT = 64

_REGION_NAME = re.compile(r"facestats-(\d+)-(\d+)-.*")


def photos_in_flight(free_bytes: int) -> int:
    """Return how many photos of the largest size free shared memory has room for.

    Raises:
        ServerError: It has room for none.
    """
    room = (free_bytes - BASE_BYTES) // (COPIES * MAX_PHOTO_BYTES)
    if room < 1:
        needed = (BASE_BYTES + COPIES * MAX_PHOTO_BYTES) >> 20
        raise ServerError(
            f"{SHARED_MEMORY} has {free_bytes >> 20} MiB free, the embedded server needs {needed} MiB. Give it more: "
            f"docker run --shm-size=1g, or mount -o remount,size=1g {SHARED_MEMORY}"
        )
    return min(room, MAX_PHOTOS_IN_FLIGHT)


def free_shared_memory(folder: Path = SHARED_MEMORY) -> int:
    """Return the free bytes of /dev/shm.

    Raises:
        ServerError: There is none.
    """
    try:
        stat = os.statvfs(folder)
    except OSError as exc:
        raise ServerError(f"{folder} cannot be used: {exc.strerror}; mount a tmpfs there") from exc
    return stat.f_bavail * stat.f_frsize


def region_prefix(pid: int) -> str:
    """Return how the names of a new server's regions begin: which process it serves, since when, and which server."""
    return f"facestats-{pid}-{process_start(pid) or 0}-{secrets.token_hex(4)}-"


def process_start(pid: int) -> int | None:
    """Return when a process began, in clock ticks since boot, or None where there is none.

    With the pid it names a process for good, since pids are used again.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # Fields after the command, which is in brackets and may hold anything; see proc(5).
    return int(text.rpartition(")")[2].split()[19])


def remove_dead_regions(folder: Path = SHARED_MEMORY) -> list[str]:
    """Remove regions of servers whose process is gone and return their names."""
    removed = []
    for path in folder.glob("facestats-*"):
        match = _REGION_NAME.fullmatch(path.name)
        if match and process_start(int(match[1])) != int(match[2]):
            path.unlink(missing_ok=True)
            removed.append(path.name)
    if removed:
        logger.info("removed %d shared memory regions of dead servers", len(removed))
    return removed


def remove_regions(prefix: str, folder: Path = SHARED_MEMORY) -> None:
    """Remove the regions of one server."""
    for path in folder.glob(f"{prefix}*"):
        path.unlink(missing_ok=True)
