"""Where fetched weights, built packs and assembled repositories lie, held by one process at a time."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path

from fsengine.errors import FetchError, InvalidInputError
from fsengine.files.lock import file_lock


def models_home() -> Path:
    """Return the folder of all of them: `FACESTATS_MODELS`, or `facestats` in the XDG cache.

    Raises:
        InvalidInputError: The variable names the home of a user who is not there.
    """
    override = os.environ.get("FACESTATS_MODELS")
    folder = Path(override) if override else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "facestats"
    try:
        return folder.expanduser()
    except RuntimeError as exc:
        raise InvalidInputError(f"{folder} is in nobody's home folder; set FACESTATS_MODELS to another one") from exc


def hold_models_home(lock: Path, what: str) -> AbstractContextManager[None]:
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
