"""The server that the gateway stands in front of: whether it is ready and what it serves, looked at again and again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress

from fsclient.async_client import AsyncClient
from fsclient.backend.server_choice import ServerChoice
from fsclient.score.answers import ScoredPhoto
from fsengine.contracts.served import ServedModels
from fsengine.errors import DeadlineError, FaceStatsError, InvalidInputError, ServerBusyError, ServerUnavailableError

logger = logging.getLogger(__name__)

_READY_LOOK_S = 5.0
_UNREADY_LOOK_S = 1.0
_LOOK_TIMEOUT_S = 15.0
_LOOKS_UNANSWERED = 2
"""Looks without an answer in time before the server counts as gone: it may only be busy."""


class ServerBehind:
    """Scores photos on a server that may come, go, and come back with other models."""

    def __init__(
        self,
        choice: ServerChoice,
        *,
        request_timeout_s: float,
        wait_when_busy_s: float,
        is_alive: Callable[[], bool] = lambda: True,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            choice: A running server.
            request_timeout_s: The longest wait for one photo.
            wait_when_busy_s: How long a photo is asked for again where it has too much to do.
            is_alive: Says whether the process of an embedded one runs.
        """
        self._choice = choice
        self._request_timeout_s = request_timeout_s
        self._wait_when_busy_s = wait_when_busy_s
        self._is_alive = is_alive
        self._client: AsyncClient | None = None
        self._models: ServedModels | None = None
        self._is_ready = False
        self._look_now = asyncio.Event()

    @property
    def is_ready(self) -> bool:
        """Return whether it answered when it was last looked at."""
        return self._is_ready and self._is_alive()

    @property
    def is_alive(self) -> bool:
        """Return whether the process of an embedded one runs; always, where it is no child of ours."""
        return self._is_alive()

    @property
    def models(self) -> ServedModels:
        """Return what it serves.

        Raises:
            ServerUnavailableError: It was not ready when it was last looked at.
        """
        if not self.is_ready or self._models is None:
            raise ServerUnavailableError("the server is not ready; try again")
        return self._models

    async def score(self, data: bytes, *, embedding: bool) -> ScoredPhoto:
        """Score one encoded photo; see `AsyncClient.score`.

        Raises:
            ServerBusyError: It has too much to do.
            ServerUnavailableError: It is not ready, or went away.
            DeadlineError: It did not answer in time.
            InferenceError: It refused, or serves other models than it did.
        """
        client = self._client
        if not self.is_ready or client is None:
            raise ServerUnavailableError("the server is not ready; try again")
        try:
            return await client.score(data, embedding=embedding)
        except InvalidInputError as exc:
            if client is self._client:
                raise
            raise ServerUnavailableError("the server serves other models now; try again") from exc
        except ServerBusyError:
            raise
        except FaceStatsError:
            self._look_now.set()
            raise

    async def open(self) -> None:
        """Look at it for the first time; one that is not there yet may come.

        Raises:
            FaceStatsError: It is there and cannot be used, or serves other models than were asked for.
        """
        with suppress(ServerUnavailableError, DeadlineError):
            await self._look()

    async def watch(self) -> None:
        """Look at it again and again, until cancelled."""
        unanswered = 0
        while True:
            self._look_now.clear()
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._look_now.wait(), _READY_LOOK_S if self._is_ready else _UNREADY_LOOK_S)
            try:
                await asyncio.wait_for(self._look(), _LOOK_TIMEOUT_S)
                unanswered = 0
            except (DeadlineError, asyncio.TimeoutError):
                unanswered += 1
                self._say_ready(self._is_ready and unanswered < _LOOKS_UNANSWERED, "it does not answer")
            except FaceStatsError as exc:
                self._say_ready(False, str(exc))
            if self._look_now.is_set():
                await asyncio.sleep(_UNREADY_LOOK_S)

    async def close(self) -> None:
        """Close the connection."""
        self._is_ready = False
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _look(self) -> None:
        """Ask it what it serves, over a connection of its own; take that connection where the models are new."""
        client = AsyncClient(
            self._choice, request_timeout_s=self._request_timeout_s, wait_when_busy_s=self._wait_when_busy_s
        )
        try:
            models = await client.served()
        except BaseException:
            await client.close()
            raise
        if models == self._models:
            await client.close()
        else:
            old, self._client, self._models = self._client, client, models
            logger.info("the server serves %s, %s", models.pack, models.model_set_id)
            if old is not None:
                await old.close()
        self._say_ready(True, "")

    def _say_ready(self, ready: bool, why: str) -> None:
        if ready and not self._is_ready:
            logger.info("the server is ready")
        elif self._is_ready and not ready:
            logger.warning("the server is not ready: %s", why)
        self._is_ready = ready
