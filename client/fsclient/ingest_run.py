"""One whole ingest: the folder held, what is left to do found, a server only where it is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from types import TracebackType

from fsclient.backend.event_loop import CallBack
from fsclient.backend.server_choice import LazyServer
from fsclient.backend.session import Session
from fsclient.ingest.daemon_threads import in_daemon
from fsclient.ingest.earlier_rows import count_gone
from fsclient.ingest.entry_feed import EntryFeed
from fsclient.ingest.interruption import Interruption
from fsclient.ingest.photo_loop import ingest_photos
from fsclient.ingest.reporting.progress import ProgressTeller
from fsclient.ingest.reporting.summary import IngestSummary
from fsclient.ingest.resume import (
    FoundInputs,
    Plan,
    find_inputs,
    plan_ingest,
    refuse_other_embedding,
    refuse_other_set,
)
from fsclient.ingest.settings import IngestConfig, Runner
from fsclient.photos.entry import PhotoEntry
from fsclient.refresh.refresh_run import refresh
from fsdata.results.parts import locked
from fsdata.results.staging import finish_replacement, refuse_interrupted
from fsengine.contracts.served import ServedModels
from fsengine.errors import InvalidInputError
from fsengine.terminal.messages import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedModels:
    """The models that a run was asked for, known without a server of its own.

    Attributes:
        models: What is, or would be, served.
        by_default: Whether the user named neither a server nor models.
    """

    models: ServedModels
    by_default: bool


async def run_ingest(
    config: IngestConfig,
    servers: IngestServers,
    teller: ProgressTeller,
    interruption: Interruption,
) -> IngestSummary:
    """Score the photos of a run's sources into the parts of a folder.

    A run with nothing left to do starts no server, unless it refreshes; the models that were asked for are compared
    with those of the folder all the same.

    Args:
        config: The run.
        servers: Whom it asks.
        teller: What shows people how far it is.
        interruption: How the run may be told to stop.

    Raises:
        FaceStatsError: The sources, the folder, the models or the server cannot be used.
    """
    interruption.say = teller.say
    found = await in_daemon(lambda: find_inputs(config))
    with locked(config.out):
        if config.refresh:
            entries = await in_daemon(lambda: list(found.entries))
            summary = await _refreshed(config, entries, servers, teller, interruption)
            summary.tally = found.tally
        else:
            summary = await _ingested(config, found, servers, teller, interruption)
    summary.has_limit = config.rules.limit is not None
    return summary


async def _refreshed(
    config: IngestConfig,
    entries: list[PhotoEntry],
    servers: IngestServers,
    teller: ProgressTeller,
    interruption: Interruption,
) -> IngestSummary:
    """Bring the folder to the served models, and score what is new."""
    if num_parts := finish_replacement(config.folder):
        teller.say(
            f"finished what was interrupted while new parts replaced old ones: its {num_parts} parts are in their place"
        )
    server = await servers.open()
    return await refresh(_within_room(config, server, teller), entries, server.backend, teller, interruption)


async def _ingested(
    config: IngestConfig,
    found: FoundInputs,
    servers: IngestServers,
    teller: ProgressTeller,
    interruption: Interruption,
) -> IngestSummary:
    """Score what has no row yet."""
    refuse_interrupted(config.out)
    asked = await servers.ask_models()
    plan = await in_daemon(lambda: plan_ingest(config, found))
    refuse_other_embedding(config, plan.ledger)
    differs = plan.ledger.info is not None and plan.ledger.info.models.model_set_id != asked.models.model_set_id
    if differs and not asked.by_default:
        refuse_other_set(config.out, plan.ledger, asked.models.model_set_id)
    feed = EntryFeed(plan.entries())
    try:
        has_any = await _has_any(feed, plan, interruption)
        if differs:
            if has_any:
                refuse_other_set(config.out, plan.ledger, asked.models.model_set_id)
            teller.say(_other_set_note(config, plan, asked.models))
        if has_any and not plan.summary.interrupted:
            if plan.summary.num_done_before:
                teller.say(_done_note(plan, feed))
            server = await servers.open()
            teller.tell_of_templates(server.served.models, embedding=config.embedding)
            within = _within_room(config, server, teller)
            await ingest_photos(within, plan, server.backend, teller.photos(), interruption, feed)
    finally:
        plan.stop()
        feed.close()
        await feed.ended()
    if plan.summary.tally.is_complete:
        plan.summary.num_gone = await asyncio.to_thread(count_gone, config, plan.ledger)
    return plan.summary


async def _has_any(feed: EntryFeed, plan: Plan, interruption: Interruption) -> bool:
    """Return whether anything is to be scored; what was touched and not changed is kept meanwhile."""

    def stop() -> None:
        if plan.summary.interrupted:
            feed.abandon()
        plan.summary.interrupted = True
        plan.stop()
        feed.close()

    with interruption.heard_by(stop):
        return await feed.has_any()


def _other_set_note(config: IngestConfig, plan: Plan, asked: ServedModels) -> str:
    assert plan.ledger.info is not None
    held = plan.ledger.info.models
    return (
        f"note: {config.out} holds results of model set {held.model_set_id} ({held.pack}); by default "
        f"{asked.model_set_id} ({asked.pack}) would be served; --refresh --models {asked.pack} brings the results to it"
    )


def _done_note(plan: Plan, feed: EntryFeed) -> str:
    done = plan.summary.num_done_before
    if not feed.is_complete:
        return f"{counted(done, 'photo')} done already, and maybe more"
    return f"{done} of {plan.summary.num_inputs} photos are done already"


def _within_room(config: IngestConfig, server: Session, teller: ProgressTeller) -> IngestConfig:
    """Return the run with as many photos in flight as the server can take, or as were asked for and it has room for."""
    wanted = config.concurrency or server.backend.capacity.photos_in_flight
    return replace(config, concurrency=_concurrency(wanted, server.photos_in_flight, teller))


def _concurrency(wanted: int, room: int | None, teller: ProgressTeller) -> int:
    """Return the photos in flight: what is wanted, within what the server has room for."""
    if room is not None and room < wanted:
        teller.say(f"/dev/shm has room for {room} photos in flight, not {wanted}")
        return room
    return wanted


class IngestServers:
    """The server of a client, or those of a Ray cluster, for one run."""

    def __init__(
        self,
        config: IngestConfig,
        server: LazyServer | None,
        opened: Callable[[], Awaitable[Session]],
        *,
        is_open: bool,
        request_timeout_s: float,
        call_back: CallBack | None,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            config: The run.
            server: The client's, started or not; None where it has a backend in its place.
            opened: Gives the client's session, opened on first use.
            is_open: Whether it was opened.
            request_timeout_s: The longest wait for one photo.
            call_back: Has slow work done, such as starting the client's own server; None for a thread.
        """
        self._config = config
        self._server = server
        self._opened = opened
        self._is_open = is_open
        self._request_timeout_s = request_timeout_s
        self._call_back = call_back
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> IngestServers:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def ask_models(self) -> AskedModels:
        """Return what is, or would be, served; no server is started for that."""
        server = self._server
        if self._is_open or server is None or not server.is_own:
            return AskedModels(models=(await self._opened()).served.models, by_default=False)
        asked: list[ServedModels] = []
        await self._do_slowly(lambda: asked.append(server.asked_models()))
        return AskedModels(models=asked[0], by_default=server.by_default)

    async def open(self) -> Session:
        """Return a server that answers, started where it is the client's or a node's own."""
        if self._config.runner is Runner.RAY:
            from fsclient.ingest.ray_runner.ray_session import ray_session

            if self._server is None:
                raise InvalidInputError("the workers of a Ray cluster need a server to connect to, not a backend")
            return await self._stack.enter_async_context(
                ray_session(self._config, self._server.choice, self._request_timeout_s)
            )
        if self._server is not None:
            await self._do_slowly(self._server.open)
        return await self._opened()

    async def _do_slowly(self, work: Callable[[], object]) -> None:
        await (asyncio.to_thread(work) if self._call_back is None else self._call_back(work))
