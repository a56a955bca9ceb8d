"""Ask a server again for what is not the photo's fault: it was busy, restarted, or the connection broke."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from fsclient.backend.protocol import InferenceBackend
from fsengine.errors import DeadlineError, InferenceError, ServerBusyError, ServerUnavailableError

T = TypeVar("T")

_MOST_DOUBLINGS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often and how soon a request is made again.

    Attributes:
        attempts: Times that one photo is asked for, alone included, before it stays unfinished.
        first_wait_s: Wait before the second; it doubles from there, with jitter.
        longest_wait_s: The longest wait.
        busy_s: How long a server that is busy is asked again, however often; 0 for not at all.
    """

    attempts: int = 5
    first_wait_s: float = 0.25
    longest_wait_s: float = 5.0
    busy_s: float = 120.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.busy_s < 0 or not 0 <= self.first_wait_s <= self.longest_wait_s:
            raise ValueError(f"{self} needs attempts >= 1, busy_s >= 0 and 0 <= first_wait_s <= longest_wait_s")

    def wait_s(self, attempt: int) -> float:
        """Return the wait after the given attempt (from 1): full jitter over a doubling bound."""
        bound = min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(attempt - 1, _MOST_DOUBLINGS))
        return bound * random.uniform(0.5, 1.0)  # noqa: S311 - jitter


async def ask_again(ask: Callable[[int], Awaitable[T]], retry: RetryPolicy) -> T:
    """Ask a server as often as a policy allows while it is unavailable, and as long as it allows while it is busy.

    Args:
        ask: Called with the number of the attempt, from 1; refusals of a busy server are not counted.
        retry: The policy.

    Raises:
        ServerBusyError: It was busy all the time.
        ServerUnavailableError: It was unavailable in all attempts.
        DeadlineError: It never answered in time.
    """
    attempt, refusals, started = 1, 0, time.monotonic()
    while True:
        try:
            return await ask(attempt)
        except ServerBusyError:
            refusals += 1
            wait_s = retry.wait_s(refusals)
            if time.monotonic() - started + wait_s > retry.busy_s:
                raise
        except (ServerUnavailableError, DeadlineError):
            if attempt == retry.attempts:
                raise
            wait_s = retry.wait_s(attempt)
            attempt += 1
        await asyncio.sleep(wait_s)


async def with_retries(
    ask: Callable[[], Awaitable[T]], retry: RetryPolicy, backend: InferenceBackend, expected_model_set_id: str
) -> T:
    """Ask a server of one model set as often as a policy allows; see `ask_again`.

    Args:
        ask: Asks it.
        retry: The policy.
        backend: The server.
        expected_model_set_id: What it must still serve after a broken connection.

    Raises:
        InferenceError: It serves another model set than before, or refused.
    """

    async def checked(attempt: int) -> T:
        if attempt > 1:
            await check_model_set(backend, expected_model_set_id)
        return await ask()

    return await ask_again(checked, retry)


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
