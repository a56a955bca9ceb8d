"""Keep two processes from writing the same thing at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fsengine.errors import FaceStatsError


@contextmanager
def file_lock(lock: Path, *, busy: FaceStatsError, unwritable: Callable[[OSError], FaceStatsError]) -> Iterator[None]:
    """Hold a lock file, made if it is not there, for as long as the context lasts.

    The kernel lets go of it when the process ends, however it ends; the file stays.

    Args:
        lock: The file.
        busy: Raised where another process holds it.
        unwritable: Gives what is raised where it cannot be made.
    """
    from filelock import FileLock, Timeout

    held = FileLock(lock)
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        held.acquire(timeout=0)
    except Timeout as exc:  # an OSError too
        raise busy from exc
    except OSError as exc:
        raise unwritable(exc) from exc
    try:
        yield
    finally:
        held.release()
