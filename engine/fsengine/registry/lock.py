"""Keep two processes from fetching or installing the same thing at once."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from fsengine.errors import FetchError
from fsengine.files.lock import file_lock


def locked(lock: Path, what: str) -> AbstractContextManager[None]:
    """Hold a lock file, made if it is not there, for as long as the context lasts.

    Args:
        lock: The file.
        what: What is held, for the message.

    Raises:
        FetchError: Another process holds it, or it cannot be made.
    """
    return file_lock(
        lock,
        busy=FetchError(f"another process is busy with {what}; wait for it and run this again"),
        unwritable=lambda exc: FetchError(f"{lock.parent} cannot be written to: {exc.strerror}; set FACESTATS_MODELS"),
    )
