"""Keep two processes from writing the same thing at once."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fsengine.errors import FaceStatsError


@contextmanager
def file_lock(lock: Path, *, busy: FaceStatsError, unwritable: Callable[[OSError], FaceStatsError]) -> Iterator[None]:
    """Hold a lock file, made if it is not there, for as long as the context lasts.

    Args:
        lock: The file.
        busy: Raised where another process holds it.
        unwritable: Gives what is raised where it cannot be made.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
    except OSError as exc:
        raise unwritable(exc) from exc
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise busy from exc
        yield
