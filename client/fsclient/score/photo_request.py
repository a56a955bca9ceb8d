"""One photo's request: read, asked for, and asked for again alone where the photo may not be to blame."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from fsclient.backend.protocol import InferenceBackend
from fsclient.backend.server_retries import RetryPolicy, with_retries
from fsclient.photos.photo_file import Photo, made_ready
from fsclient.photos.room import Room
from fsdata.results.rows import PER_PHOTO_OUTPUTS, PhotoRow, split_outputs
from fsdata.results.status import Status
from fsengine.backends.dali_errors import decoding_cause
from fsengine.contracts.steps import DECODE_FAILED, LARGE_PHOTO_PIXELS, PHOTO_TOO_LARGE, PHOTO_UNSUPPORTED
from fsengine.errors import PhotoRejectedError

_MARKS = {
    DECODE_FAILED: Status.CORRUPT,
    PHOTO_TOO_LARGE: Status.TOO_LARGE,
    PHOTO_UNSUPPORTED: Status.UNSUPPORTED,
}


async def score_with_retries(
    read: Callable[[], Photo],
    backend: InferenceBackend,
    outputs: Sequence[str],
    *,
    retry: RetryPolicy,
    expected_model_set_id: str,
    room: Room,
) -> PhotoRow:
    """Read and score one photo.

    Args:
        read: Reads it; called in a thread.
        backend: What runs the models.
        outputs: Per-face outputs of the ensemble to ask for.
        retry: What to do when the server is unavailable.
        expected_model_set_id: What the server must still serve after a broken connection.
        room: For its pixels, which all photos in flight share.

    Returns:
        Its row, whatever is wrong with the file.

    Raises:
        ServerUnavailableError: The server was unavailable in all attempts; the photo stays unfinished.
        DeadlineError: The server never answered this photo in time; likewise.
        InferenceError: The server serves another model set than before.
    """
    started = time.perf_counter()
    photo = await asyncio.to_thread(read)
    return await score_photo(
        photo,
        backend,
        outputs,
        read_s=time.perf_counter() - started,
        retry=retry,
        expected_model_set_id=expected_model_set_id,
        room=room,
    )


async def score_photo(
    photo: Photo,
    backend: InferenceBackend,
    outputs: Sequence[str],
    *,
    read_s: float,
    retry: RetryPolicy,
    expected_model_set_id: str,
    room: Room,
) -> PhotoRow:
    """Score a photo that was read; see `score_with_retries`.

    Args:
        photo: As it was read.
        backend: What runs the models.
        outputs: Per-face outputs of the ensemble to ask for.
        read_s: Seconds that reading it took.
        retry: What to do when the server is unavailable.
        expected_model_set_id: What the server must still serve after a broken connection.
        room: For its pixels, which all photos in flight share.
    """
    async with room.hold(photo.num_pixels if photo.refusal is None else 0):
        started = time.perf_counter()
        if photo.refusal is None and photo.gate is not None and not photo.gate.is_plain:
            photo = await asyncio.to_thread(made_ready, photo)
        read_ms = 1e3 * (read_s + time.perf_counter() - started)
        if photo.refusal is not None:
            status, reason = photo.refusal
            return PhotoRow(photo=photo.file, status=status, reason=reason, read_ms=read_ms)
        request = _PhotoRequest(photo, backend, outputs, read_ms)
        return await with_retries(request.row, retry, backend, expected_model_set_id)


async def score_once(photo: Photo, backend: InferenceBackend, outputs: Sequence[str], room: Room) -> PhotoRow:
    """Score a photo that was made ready, without asking again where the server is unavailable.

    Args:
        photo: With its bytes.
        backend: What runs the models.
        outputs: As for `score_photo`.
        room: For its pixels, which all photos in flight share.

    Raises:
        ServerUnavailableError: The server was unavailable.
        DeadlineError: It did not answer in time.
    """
    async with room.hold(photo.num_pixels):
        return await _PhotoRequest(photo, backend, outputs, read_ms=0.0).row()


def goes_alone(photo: Photo, backend: InferenceBackend) -> bool:
    """Return whether a photo is decoded alone from the start, because it is too large for the server's batches."""
    return photo.num_pixels > LARGE_PHOTO_PIXELS and backend.capacity.large_alone


class _PhotoRequest:
    """One photo's way through a server, asked for again alone where others may be to blame."""

    def __init__(self, photo: Photo, backend: InferenceBackend, outputs: Sequence[str], read_ms: float) -> None:
        assert photo.data is not None
        self._photo, self._data = photo, photo.data
        self._backend = backend
        self._outputs = [*PER_PHOTO_OUTPUTS, *outputs]
        self._read_ms = read_ms
        self._attempts = 0

    async def row(self) -> PhotoRow:
        """Ask for the photo and turn the answer, or the refusal, into a row.

        A refusal may be another photo's fault: Triton's DALI backend answers one error to all photos of an
        execution. Where the server can, a refused photo is decoded alone, and only that answer counts.
        """
        started = time.perf_counter()
        alone = goes_alone(self._photo, self._backend)
        answer = await self._ask(alone=alone)
        refused = isinstance(answer, tuple) and answer[0] is not Status.TOO_LARGE
        if refused and not alone and self._backend.isolates:
            answer = await self._ask(alone=True)
        infer_ms = 1e3 * (time.perf_counter() - started)
        if isinstance(answer, tuple):
            status, reason = answer
            return PhotoRow(
                photo=self._photo.file,
                status=status,
                reason=reason,
                converted=self._photo.converted,
                attempts=self._attempts,
                read_ms=self._read_ms,
                infer_ms=infer_ms,
            )
        width, height = (int(side) for side in answer["image_size"].reshape(-1))
        faces = split_outputs(answer)
        return PhotoRow(
            photo=self._photo.file,
            status=Status.OK if len(faces["face_score"]) else Status.NO_FACE,
            converted=self._photo.converted,
            width=width,
            height=height,
            faces_truncated=bool(answer["faces_truncated"].reshape(-1)[0]),
            faces=faces,
            attempts=self._attempts,
            read_ms=self._read_ms,
            infer_ms=infer_ms,
        )

    async def _ask(self, *, alone: bool) -> dict[str, NDArray[Any]] | tuple[Status, str]:
        """Make one request; return the outputs, or status and reason of a refusal."""
        self._attempts += 1
        try:
            return await self._backend.infer(
                self._data, self._outputs, orientation=self._photo.orientation, alone=alone
            )
        except PhotoRejectedError as exc:
            return refusal(str(exc), alone=alone)


def refusal(message: str, *, alone: bool = False) -> tuple[Status, str]:
    """Return the status and the reason that a server's refusal of a photo means.

    The stand-in for the decode backend starts its messages with a mark and speaks of one photo; the ensemble may
    write something before it. The native backend hands on DALI's own text, which speaks of some photo of the
    execution.

    Args:
        message: The server's.
        alone: Whether the photo shared its decoding with no other.
    """
    for mark, status in _MARKS.items():
        if mark in message:
            return status, message[message.index(mark) :]
    if alone and (cause := decoding_cause(message)) is not None:
        return Status.CORRUPT, f"{DECODE_FAILED}: DALI: {cause}"
    return Status.FAILED, message
