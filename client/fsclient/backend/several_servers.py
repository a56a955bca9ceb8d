"""Several servers of the same models, asked in turn; one that is lost is left out until it is back."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fsclient.backend.protocol import InferenceBackend
from fsclient.backend.served_capacity import ServedCapacity, combined
from fsengine.contracts.served import ServedEnsemble, ServedHead
from fsengine.errors import DeadlineError, InferenceError, ServerBusyError, ServerUnavailableError

logger = logging.getLogger(__name__)

T = TypeVar("T")

LOST_FOR_S = 3.0
"""How long a server that was lost is not asked."""

_LATE_AFTER_S = 4.0
"""How long a server that has not yet said what it serves is waited for once another one has."""


class SeveralServers:
    """The servers behind several addresses as one backend."""

    def __init__(self, backends: Mapping[str, InferenceBackend]) -> None:
        """Prepare; nothing is sent yet.

        Args:
            backends: Address to its server; two or more.
        """
        self._backends = dict(backends)
        self._turn = itertools.cycle(self._backends)
        self._lost_until: dict[str, float] = {}
        self._checked: set[str] = set()
        self._served: ServedEnsemble | None = None

    @property
    def isolates(self) -> bool:
        """Return whether every server that was reached can decode a photo alone."""
        return all(self._backends[address].isolates for address in self._checked)

    @property
    def capacity(self) -> ServedCapacity:
        """Return how much the servers that were reached can take together."""
        return combined(self._backends[address].capacity for address in self._checked)

    @property
    def connect_again(self) -> Callable[[], InferenceBackend] | None:
        """Return what makes other connections to the same servers; see `InferenceBackend.connect_again`."""
        again = {address: backend.connect_again for address, backend in self._backends.items()}
        known = {address: connect for address, connect in again.items() if connect is not None}
        return partial(_connected, known) if len(known) == len(again) else None

    async def served(self) -> ServedEnsemble:
        """Return what all of them serve; see `InferenceBackend.served`.

        Raises:
            ServerUnavailableError: None of them can be reached.
            InferenceError: Two of them serve different models.
        """
        asked = {asyncio.ensure_future(self._ask_served(address)): address for address in self._backends}
        waiting = set(asked)
        by_address: dict[str, ServedEnsemble] = {}
        failure: ServerUnavailableError | None = None
        try:
            # The first answer is waited for; then one that hangs holds nobody up.
            while waiting:
                answered, waiting = await asyncio.wait(
                    waiting, timeout=_LATE_AFTER_S if by_address else None, return_when=asyncio.FIRST_COMPLETED
                )
                if not answered:
                    break
                for task in answered:
                    try:
                        by_address[asked[task]] = task.result()
                    except ServerUnavailableError as exc:
                        failure = exc
        finally:
            for task in asked:
                task.cancel()
        for task in waiting:
            self._lose(asked[task], ServerUnavailableError("it does not answer"))
        if failure is not None and not by_address:
            raise failure
        by_address = {address: by_address[address] for address in self._backends if address in by_address}
        self._checked = set(by_address)
        self._served = _agreed(by_address)
        return self._served

    async def infer(
        self, data: bytes, outputs: Sequence[str], *, orientation: int, alone: bool = False
    ) -> dict[str, NDArray[Any]]:
        """Score one photo; see `InferenceBackend.infer`."""
        return await self._by_one(lambda backend: backend.infer(data, outputs, orientation=orientation, alone=alone))

    async def infer_head(self, head: ServedHead, embeddings: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Run one head on embeddings; see `InferenceBackend.infer_head`."""
        return await self._by_one(lambda backend: backend.infer_head(head, embeddings))

    async def close(self) -> None:
        """Close every channel."""
        for backend in self._backends.values():
            await backend.close()

    async def _ask_served(self, address: str) -> ServedEnsemble:
        try:
            served = await self._backends[address].served()
        except ServerUnavailableError as exc:
            self._lose(address, exc)
            raise
        except DeadlineError as exc:
            self._lose(address, exc)
            raise ServerUnavailableError(f"{exc}; it may hang") from exc
        self._lost_until.pop(address, None)
        return served

    async def _by_one(self, ask: Callable[[InferenceBackend], Awaitable[T]]) -> T:
        """Have one server do something: the next in turn that is not lost or busy."""
        failure: ServerUnavailableError | None = None
        for _ in self._backends:
            address = next(self._turn)
            if self._lost_until.get(address, 0.0) > time.monotonic():
                continue
            try:
                await self._check(address)
                return await ask(self._backends[address])
            except DeadlineError as exc:
                self._lose(address, exc)  # and the photo is asked for again, of another one
                raise
            except ServerUnavailableError as exc:
                # A busy one counts for more: its photo is asked for again for longer.
                failure = exc if failure is None or isinstance(exc, ServerBusyError) else failure
                if not isinstance(exc, ServerBusyError):
                    self._lose(address, exc)
        raise failure or ServerUnavailableError(f"the servers at {', '.join(self._backends)} are unavailable")

    async def _check(self, address: str) -> None:
        """Check that a server that was not reached until now, or was lost, serves what the others do."""
        if address in self._checked or self._served is None:
            return
        try:
            served = await asyncio.wait_for(self._ask_served(address), _LATE_AFTER_S)
        except asyncio.TimeoutError as exc:
            raise ServerUnavailableError(f"{address} does not answer") from exc
        others = ", ".join(sorted(self._checked)) or "the servers before"
        _agreed({others: self._served, address: served})
        self._checked.add(address)

    def _lose(self, address: str, error: InferenceError) -> None:
        logger.warning("%s is left out for a while: %s", address, error)
        self._checked.discard(address)
        self._lost_until[address] = time.monotonic() + LOST_FOR_S


def _connected(servers: Mapping[str, Callable[[], InferenceBackend]]) -> SeveralServers:
    return SeveralServers({address: connect() for address, connect in servers.items()})


def _agreed(by_address: Mapping[str, ServedEnsemble]) -> ServedEnsemble:
    """Return what servers serve.

    Raises:
        InferenceError: Two of them serve different models.
    """
    (first, served), *others = by_address.items()
    for address, other in others:
        if other.models.model_set_id != served.models.model_set_id:
            raise InferenceError(
                f"{first} serves {served.models.pack} ({served.models.model_set_id}) and {address} serves "
                f"{other.models.pack} ({other.models.model_set_id}); servers that are used together serve the same "
                "models: name those alone that do"
            )
    return served
