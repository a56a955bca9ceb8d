"""Score one photo: read it, ask the server, retry what is not the photo's fault."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from fsclient.inference import InferenceBackend
from fsclient.photo import Photo, Status, read_photo
from fsclient.rows import PER_PHOTO_OUTPUTS, PhotoRow, split_outputs
from fsengine.errors import DeadlineError, InferenceError, PhotoRejectedError, ServerUnavailableError
from fsengine.steps import DECODE_FAILED, PHOTO_TOO_LARGE

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how soon a request is made again.

    Attributes:
        attempts: Requests for one photo before it stays unfinished.
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
        return PhotoRow(photo=photo, status=status, reason=reason, read_ms=read_ms)
    return await with_retries(
        lambda attempt: _infer(photo, backend, outputs, attempt, read_ms), retry, backend, expected_model_set_id
    )


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


async def _infer(
    photo: Photo, backend: InferenceBackend, outputs: Sequence[str], attempt: int, read_ms: float
) -> PhotoRow:
    """Make one request and turn the answer, or the refusal, into a row."""
    assert photo.data is not None
    started = time.perf_counter()
    try:
        arrays = await backend.infer(photo.data, [*PER_PHOTO_OUTPUTS, *outputs])
    except PhotoRejectedError as exc:
        status, reason = refusal(str(exc))
        infer_ms = 1e3 * (time.perf_counter() - started)
        return PhotoRow(photo=photo, status=status, reason=reason, attempts=attempt, read_ms=read_ms, infer_ms=infer_ms)
    infer_ms = 1e3 * (time.perf_counter() - started)
    width, height = (int(side) for side in arrays["image_size"].reshape(-1))
    faces = split_outputs(arrays)
    return PhotoRow(
        photo=photo,
        status=Status.OK if len(faces["face_score"]) else Status.NO_FACE,
        width=width,
        height=height,
        faces_truncated=bool(arrays["faces_truncated"].reshape(-1)[0]),
        faces=faces,
        attempts=attempt,
        read_ms=read_ms,
        infer_ms=infer_ms,
    )


def refusal(message: str) -> tuple[Status, str]:
    """Return the status and the reason that a server's refusal of a photo means.

    The decode backend starts its messages with a mark; the ensemble may write something before it.
    """
    for mark, status in ((DECODE_FAILED, Status.CORRUPT), (PHOTO_TOO_LARGE, Status.TOO_LARGE)):
        if mark in message:
            return status, message[message.index(mark) :]
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
