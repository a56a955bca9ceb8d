"""Keep two processes from writing the same thing at once."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fsengine.errors import FetchError


@contextmanager
def locked(lock: Path, what: str) -> Iterator[None]:
    """Hold a lock file, made if it is not there, for as long as the context lasts.

    Args:
        lock: The file.
        what: What is held, for the message.

    Raises:
        FetchError: Another process holds it, or it cannot be made.
    """
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
    except OSError as exc:
        raise FetchError(f"{lock.parent} cannot be written to: {exc.strerror}; set FACESTATS_MODELS") from exc
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise FetchError(f"another process is busy with {what}; wait for it and run this again") from exc
        yield
