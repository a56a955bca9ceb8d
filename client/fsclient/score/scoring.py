"""Score one photo: read it, ask the server, ask again for what is not the photo's fault."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from numpy.typing import NDArray

from fsclient.backend.protocol import InferenceBackend
from fsclient.photos.photo_file import Photo, read_photo
from fsdata.results.rows import PER_PHOTO_OUTPUTS, PhotoRow, split_outputs
from fsdata.results.status import Status
from fsengine.backends.dali_errors import decoding_cause
from fsengine.contracts.steps import DECODE_FAILED, PHOTO_TOO_LARGE
from fsengine.errors import DeadlineError, InferenceError, PhotoRejectedError, ServerUnavailableError

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how soon a request is made again.

    Attributes:
        attempts: Times that one photo is asked for, alone included, before it stays unfinished.
        first_wait_s: Wait before the second; it doubles from there, with jitter.
        longest_wait_s: The longest wait.
    """

    attempts: int = 5
    first_wait_s: float = 0.25
    longest_wait_s: float = 5.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.first_wait_s < 0 or self.longest_wait_s < self.first_wait_s:
            raise ValueError(f"{self} needs attempts >= 1 and 0 <= first_wait_s <= longest_wait_s")

    def wait_s(self, attempt: int) -> float:
        """Return the wait after the given attempt (from 1): full jitter over a doubling bound."""
        bound = min(self.longest_wait_s, self.first_wait_s * 2.0 ** (attempt - 1))
        return bound * random.uniform(0.5, 1.0)


async def score_file(
    path: bytes,
    backend: InferenceBackend,
    outputs: Sequence[str],
    *,
    retry: RetryPolicy,
    expected_model_set_id: str,
) -> PhotoRow:
    """Read and score one file.

    Args:
        path: The file.
        backend: What runs the models.
        outputs: Per-face outputs of the ensemble to ask for.
        retry: What to do when the server is not to be had.
        expected_model_set_id: What the server must still serve after a broken connection.

    Returns:
        Its row, whatever is wrong with the file.

    Raises:
        ServerUnavailableError: The server was not to be had in all attempts; the photo stays unfinished.
        DeadlineError: The server never answered this photo in time; likewise.
        InferenceError: The server serves another model set than before.
    """
    started = time.perf_counter()
    photo = await asyncio.to_thread(read_photo, path)
    read_ms = 1e3 * (time.perf_counter() - started)
    if photo.refusal is not None:
        status, reason = photo.refusal
        return PhotoRow(photo=photo.file, status=status, reason=reason, read_ms=read_ms)
    asking = _Asking(photo, backend, outputs, read_ms)
    return await with_retries(lambda _: asking.row(), retry, backend, expected_model_set_id)


async def score_once(photo: Photo, backend: InferenceBackend, outputs: Sequence[str]) -> PhotoRow:
    """Score a photo that was read, without asking again where the server is not to be had.

    Args:
        photo: With its bytes.
        backend: What runs the models.
        outputs: As for `score_file`.

    Raises:
        ServerUnavailableError: The server was not to be had.
        DeadlineError: It did not answer in time.
    """
    return await _Asking(photo, backend, outputs, read_ms=0.0).row()


async def with_retries(
    ask: Callable[[int], Awaitable[T]], retry: RetryPolicy, backend: InferenceBackend, expected_model_set_id: str
) -> T:
    """Ask a server as often as a policy allows.

    Args:
        ask: Called with the number of the attempt, from 1.
        retry: The policy.
        backend: The server.
        expected_model_set_id: What it must still serve after a broken connection.

    Raises:
        ServerUnavailableError: It was not to be had in all attempts.
        DeadlineError: It never answered in time.
        InferenceError: It serves another model set than before, or refused.
    """
    for attempt in range(1, retry.attempts + 1):
        try:
            if attempt > 1:
                await check_model_set(backend, expected_model_set_id)
            return await ask(attempt)
        except (ServerUnavailableError, DeadlineError):
            if attempt == retry.attempts:
                raise
        await asyncio.sleep(retry.wait_s(attempt))
    raise AssertionError("the last attempt returns or raises")


class _Asking:
    """One photo's way through a server, and the requests that it took."""

    def __init__(self, photo: Photo, backend: InferenceBackend, outputs: Sequence[str], read_ms: float) -> None:
        assert photo.data is not None
        self._photo, self._data = photo, photo.data
        self._backend = backend
        self._outputs = [*PER_PHOTO_OUTPUTS, *outputs]
        self._read_ms = read_ms
        self._requests = 0

    async def row(self) -> PhotoRow:
        """Ask for the photo and turn the answer, or the refusal, into a row.

        A refusal may be another photo's fault: Triton's DALI backend answers one error to all photos of an
        execution. Where the server can, a refused photo is decoded alone, and only that answer counts.
        """
        started = time.perf_counter()
        answer = await self._ask(alone=False)
        if isinstance(answer, tuple) and answer[0] is not Status.TOO_LARGE and self._backend.isolates:
            answer = await self._ask(alone=True)
        infer_ms = 1e3 * (time.perf_counter() - started)
        if isinstance(answer, tuple):
            status, reason = answer
            return PhotoRow(
                photo=self._photo.file,
                status=status,
                reason=reason,
                attempts=self._requests,
                read_ms=self._read_ms,
                infer_ms=infer_ms,
            )
        width, height = (int(side) for side in answer["image_size"].reshape(-1))
        faces = split_outputs(answer)
        return PhotoRow(
            photo=self._photo.file,
            status=Status.OK if len(faces["face_score"]) else Status.NO_FACE,
            width=width,
            height=height,
            faces_truncated=bool(answer["faces_truncated"].reshape(-1)[0]),
            faces=faces,
            attempts=self._requests,
            read_ms=self._read_ms,
            infer_ms=infer_ms,
        )

    async def _ask(self, *, alone: bool) -> dict[str, NDArray[Any]] | tuple[Status, str]:
        """Make one request; return the outputs, or status and reason of a refusal."""
        self._requests += 1
        try:
            return await self._backend.infer(self._data, self._outputs, alone=alone)
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
    for mark, status in ((DECODE_FAILED, Status.CORRUPT), (PHOTO_TOO_LARGE, Status.TOO_LARGE)):
        if mark in message:
            return status, message[message.index(mark) :]
    if alone and (cause := decoding_cause(message)) is not None:
        return Status.CORRUPT, f"{DECODE_FAILED}: DALI: {cause}"
    return Status.FAILED, message


async def check_model_set(backend: InferenceBackend, expected: str) -> None:
    """Check that a server serves what it did before.

    Raises:
        InferenceError: It serves another model set.
    """
    served = await backend.served()
    if served.models.model_set_id != expected:
        raise InferenceError(
            f"the server now serves model set {served.models.model_set_id}, this run began with {expected}; "
            "results of different sets do not mix: run again into another folder"
        )
