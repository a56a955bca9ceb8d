"""One whole `ingest`: the folder held, a server found or started, a progress bar, a summary."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tqdm import tqdm

from fsclient.ingest import IngestConfig, IngestSummary, find_inputs, ingest, plan_ingest
from fsclient.models import Say
from fsclient.parts import locked
from fsclient.rows import PhotoRow
from fsclient.serving import OpenServer, ServerChoice, open_server
from fsclient.triton import TritonBackend

DEFAULT_CONCURRENCY = 8


def run_ingest(config: IngestConfig, choice: ServerChoice, concurrency: int | None, say: Say) -> IngestSummary:
    """Ingest with a server that is given or started for it.

    A run with nothing left to do starts no server.

    Args:
        config: The run; its concurrency is set here.
        choice: Which server.
        concurrency: What the user asked for, or None for what suits the server.
        say: Called with each line for people.

    Raises:
        FaceStatsError: The sources, the folder, the models or the server cannot be used.
    """
    paths = find_inputs(config)
    with locked(config.out):
        plan = plan_ingest(config, paths)
        if not plan.todo:
            return plan.summary
        if plan.summary.num_done_before:
            say(f"{plan.summary.num_done_before} of {plan.summary.num_inputs} photos are done already")
        with open_server(choice, say) as server:
            config = replace(config, concurrency=_concurrency(concurrency, server, say))
            with tqdm(total=len(plan.todo), unit="photo", desc="ingest", smoothing=0.05, delay=0.2) as bar:
                summary = asyncio.run(_ingest(config, paths, server, bar))
            if server.embedded is not None and not server.embedded.alive():
                say(f"the embedded server died; its log is {server.embedded.log_path}")
            return summary


async def _ingest(config: IngestConfig, paths: list[bytes], server: OpenServer, bar: tqdm[None]) -> IngestSummary:
    backend = TritonBackend(server.url)
    faces = 0

    def on_row(row: PhotoRow) -> None:
        nonlocal faces
        faces += row.num_faces
        bar.set_postfix_str(f"{faces} faces", refresh=False)
        bar.update()

    try:
        return await ingest(config, paths, backend, on_row)
    finally:
        await backend.close()


def _concurrency(asked: int | None, server: OpenServer, say: Say) -> int:
    """Return the photos in flight: what was asked for, within what the server has room for."""
    room = server.photos_in_flight
    wanted = asked or DEFAULT_CONCURRENCY
    if room is not None and room < wanted:
        say(f"/dev/shm has room for {room} photos in flight, not {wanted}")
        return room
    return wanted
