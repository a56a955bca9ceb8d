"""One whole ingest: the folder held, what is left to do found, a server only where it is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Protocol

from fsclient.backend.protocol import InferenceBackend
from fsclient.ingest.interruption import Interruption
from fsclient.ingest.photo_loop import ingest_photos
from fsclient.ingest.progress import ProgressTeller
from fsclient.ingest.resume import find_inputs, plan_ingest
from fsclient.ingest.settings import DEFAULT_CONCURRENCY, IngestConfig
from fsclient.ingest.summary import IngestSummary
from fsclient.refresh.refresh_run import refresh
from fsdata.results.parts import locked
from fsdata.results.staging import finish_replacement


class OpenedServer(Protocol):
    """A server that answers."""

    @property
    def backend(self) -> InferenceBackend:
        """Return the way to it."""

    @property
    def photos_in_flight(self) -> int | None:
        """Return the most photos that it has room for; None where it is not known."""


async def run_ingest(
    config: IngestConfig,
    open_server: Callable[[], Awaitable[OpenedServer]],
    teller: ProgressTeller,
    interruption: Interruption,
) -> IngestSummary:
    """Score the photos of a run's sources into the parts of a folder.

    A run with nothing left to do opens no server, unless it refreshes: what is served must be known then.

    Args:
        config: The run.
        open_server: Gives a server that answers.
        teller: What shows people how far it is.
        interruption: How the run may be told to stop.

    Raises:
        FaceStatsError: The sources, the folder, the models or the server cannot be used.
    """
    paths = await asyncio.to_thread(find_inputs, config)
    with locked(config.out):
        num_todo = 0
        if config.refresh:
            if num_parts := finish_replacement(config.out):
                teller.say(f"finished an interrupted refresh: its {num_parts} parts are in their place")
        else:
            plan = await asyncio.to_thread(plan_ingest, config, paths)
            if not plan.todo:
                return plan.summary
            num_todo = len(plan.todo)
            if plan.summary.num_done_before:
                teller.say(f"{plan.summary.num_done_before} of {plan.summary.num_inputs} photos are done already")
        server = await open_server()
        config = replace(config, concurrency=_concurrency(config.concurrency, server.photos_in_flight, teller))
        if config.refresh:
            return await refresh(config, paths, server.backend, teller, interruption)
        return await ingest_photos(config, paths, server.backend, teller.photos(num_todo), interruption)


def _concurrency(asked: int | None, room: int | None, teller: ProgressTeller) -> int:
    """Return the photos in flight: what was asked for, within what the server has room for."""
    wanted = asked or DEFAULT_CONCURRENCY
    if room is not None and room < wanted:
        teller.say(f"/dev/shm has room for {room} photos in flight, not {wanted}")
        return room
    return wanted
