"""Where fetched weights, built packs and assembled repositories lie."""

from __future__ import annotations

import os
from pathlib import Path

from fsengine.errors import InvalidInputError


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
