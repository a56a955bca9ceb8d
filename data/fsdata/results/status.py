"""What became of a photo, in one word."""

from __future__ import annotations

from enum import Enum


class Status(str, Enum):
    """What became of a photo.

    OK: Faces were found. NO_FACE: None was. CORRUPT: It fails to decode, alone, on a healthy server.
    UNSUPPORTED: It is not a photo in a format that is read. TOO_LARGE: It has too many pixels or bytes.
    FAILED: The server, healthy, refused it for another reason, or the file could not be read.
    """

    OK = "ok"
    NO_FACE = "no_face"
    CORRUPT = "corrupt"
    UNSUPPORTED = "unsupported"
    TOO_LARGE = "too_large"
    FAILED = "failed"


SCORED = frozenset({Status.OK, Status.NO_FACE})
"""Of photos that the models saw."""
