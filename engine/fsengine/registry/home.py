"""Where fetched weights, built packs and assembled repositories lie."""

from __future__ import annotations

import os
from pathlib import Path


def models_home() -> Path:
    """Return the folder of all of them: `FACESTATS_MODELS`, or `facestats` in the XDG cache."""
    if override := os.environ.get("FACESTATS_MODELS"):
        return Path(override).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "facestats"
