"""What `score_many` of both clients takes beside the photos."""

from __future__ import annotations

from collections.abc import Callable

from fsclient.photos.given import GivenPhoto
from fsengine.errors import InferenceError, InvalidInputError

OnUnanswered = Callable[[GivenPhoto, InferenceError], None]
"""Called with a photo that the server did not answer, and why."""

SCORE_CONCURRENCY = 16
"""Photos in flight."""


def checked_concurrency(concurrency: int) -> int:
    """Return a number of photos in flight.

    Raises:
        InvalidInputError: It is below 1.
    """
    if not isinstance(concurrency, int) or concurrency < 1:
        raise InvalidInputError(f"concurrency is {concurrency!r}, expected a whole number, 1 or more")
    return concurrency
