"""Photos as an option of an export: their hash, since they decide what was compared and calibrated."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from fsexport.artifact.exported import file_hashes


def photo_digest(photos: Sequence[Path]) -> str:
    """Return 16 hex digits of a hash over photos, whatever their names.

    Raises:
        InvalidInputError: One cannot be read.
    """
    hashes = sorted(file_hashes(photo)[photo.name] for photo in photos)
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]
