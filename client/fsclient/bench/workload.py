"""The photos that a server is measured with: read once, held in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fsclient.photos.photo_file import Photo, made_ready, read_photo
from fsengine.errors import InvalidInputError
from fsengine.terminal.messages import counted

MAX_BYTES = 4 << 30
"""The most bytes of photos that are held in memory."""

UNAVAILABLE = "unavailable"
DEADLINE = "deadline"
"""Reasons in addition to those of `Status`: the server lives but had no room, or did not answer in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a photo failed.

    Attributes:
        reason: One word: a status of `fsdata.results.status.Status`, `unavailable` or `deadline`.
        message: All of it.
    """

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """The user's photos, in memory.

    Attributes:
        photos: Those that are sent.
        refused: Source to its failure, of those that are refused without being sent.
    """

    photos: list[Photo]
    refused: Mapping[str, Failure]

    @property
    def num_photos(self) -> int:
        """Return how many were given."""
        return len(self.photos) + len(self.refused)


def read_workload(paths: Sequence[bytes], on_photo: Callable[[], object]) -> Workload:
    """Read photos into memory and make them ready for a server.

    Args:
        paths: The files.
        on_photo: Called after each.

    Raises:
        InvalidInputError: There is none that can be sent, or they are too large for memory.
    """
    photos: list[Photo] = []
    refused: dict[str, Failure] = {}
    num_bytes = 0
    for path in paths:
        photo = made_ready(read_photo(path))
        if photo.refusal is None:
            assert photo.data is not None
            photos.append(photo)
            num_bytes += len(photo.data)
        else:
            status, message = photo.refusal
            refused[photo.file.source] = Failure(reason=status.value, message=message)
        if num_bytes > MAX_BYTES:
            raise InvalidInputError(
                f"the first {len(photos)} of {counted(len(paths), 'photo')} have more than {MAX_BYTES >> 30} GiB, "
                "the most that is held in memory while a server is measured; give fewer"
            )
        on_photo()
    if not photos:
        example = "".join(f", for example {source}: {failure.message}" for source, failure in [*refused.items()][:1])
        raise InvalidInputError(f"none of {len(paths)} files can be sent to a server{example}; expected photos")
    return Workload(photos=photos, refused=refused)
