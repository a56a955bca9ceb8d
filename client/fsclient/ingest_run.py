"""One whole ingest: the folder held, what is left to do found, a server only where it is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from fsclient.backend.session import Session
from fsclient.ingest.earlier_rows import count_gone
from fsclient.ingest.interruption import Interruption
from fsclient.ingest.photo_loop import ingest_photos
from fsclient.ingest.progress import ProgressTeller
from fsclient.ingest.resume import (
    find_inputs,
    keep_touched,
    plan_ingest,
    refuse_other_embedding,
    refuse_other_set,
)
from fsclient.ingest.settings import IngestConfig
from fsclient.ingest.summary import IngestSummary
from fsclient.refresh.refresh_run import refresh
from fsdata.results.parts import locked
from fsdata.results.staging import finish_replacement, refuse_interrupted
from fsengine.contracts.served import ServedModels


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
    ask_models: Callable[[], Awaitable[AskedModels]],
    open_server: Callable[[], Awaitable[Session]],
    teller: ProgressTeller,
    interruption: Interruption,
) -> IngestSummary:
    """Score the photos of a run's sources into the parts of a folder.

    A run with nothing left to do starts no server, unless it refreshes; the models that were asked for are compared
    with those of the folder all the same.

    Args:
        config: The run.
        ask_models: Gives the models that are asked for, without starting a server.
        open_server: Gives a server that answers.
        teller: What shows people how far it is.
        interruption: How the run may be told to stop.

    Raises:
        FaceStatsError: The sources, the folder, the models or the server cannot be used.
    """
    found = await asyncio.to_thread(find_inputs, config)
    with locked(config.out):
        if config.refresh:
            summary = await _refreshed(config, found.paths, open_server, teller, interruption)
        else:
            summary = await _ingested(config, found.paths, ask_models, open_server, teller, interruption)
            summary.num_gone = await asyncio.to_thread(count_gone, config, found.paths)
    summary.skipped_files, summary.skipped_folders = found.skipped_files, found.skipped_folders
    summary.unreadable, summary.num_found = found.unreadable, found.num_found
    return summary


async def _refreshed(
    config: IngestConfig,
    paths: list[bytes],
    open_server: Callable[[], Awaitable[Session]],
    teller: ProgressTeller,
    interruption: Interruption,
) -> IngestSummary:
    """Bring the folder to the served models, and score what is new."""
    if num_parts := finish_replacement(config.out):
        teller.say(
            f"finished what was interrupted while new parts replaced old ones: its {num_parts} parts are in their place"
        )
    server = await open_server()
    return await refresh(_within_room(config, server, teller), paths, server.backend, teller, interruption)


async def _ingested(
    config: IngestConfig,
    paths: list[bytes],
    ask_models: Callable[[], Awaitable[AskedModels]],
    open_server: Callable[[], Awaitable[Session]],
    teller: ProgressTeller,
    interruption: Interruption,
) -> IngestSummary:
    """Score what has no row yet."""
    refuse_interrupted(config.out)
    asked = await ask_models()
    plan = await asyncio.to_thread(plan_ingest, config, paths)
    held = plan.models
    if held is not None and held.model_set_id != asked.models.model_set_id:
        if plan.todo or not asked.by_default:
            refuse_other_set(config.out, held, asked.models.model_set_id)
        teller.say(
            f"note: {config.out} holds results of model set {held.model_set_id} ({held.pack}); by default "
            f"{asked.models.model_set_id} ({asked.models.pack}) would be served; --refresh --models "
            f"{asked.models.pack} brings the results to it"
        )
    refuse_other_embedding(config, plan.embeddings)
    plan = await keep_touched(config, paths, plan, interruption)
    summary = plan.summary
    if plan.todo and not summary.interrupted:
        if summary.num_done_before:
            teller.say(f"{summary.num_done_before} of {summary.num_inputs} photos are done already")
        server = await open_server()
        teller.tell_of_templates(server.served.models, embedding=config.embedding)
        on_row = teller.photos(len(plan.todo))
        summary = await ingest_photos(_within_room(config, server, teller), plan, server.backend, on_row, interruption)
    return summary


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
