"""One whole `ingest`: the folder held, a server found or started, a progress bar, a summary."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

from fsclient.backend.serving import OpenServer, ServerChoice, open_server
from fsclient.backend.triton import TritonBackend
from fsclient.ingest.pipeline import IngestConfig, IngestSummary, Progress, find_inputs, ingest, plan_ingest
from fsclient.models.fetching import Say
from fsclient.refresh.renewal import refresh
from fsdata.results.parts import locked
from fsdata.results.rows import PhotoRow
from fsdata.results.staging import finish_replacement
from fsengine.terminal.messages import counted
from fsengine.terminal.progress import ProgressBar, progress_bar

DEFAULT_CONCURRENCY = 8


def run_ingest(config: IngestConfig, choice: ServerChoice, concurrency: int | None, say: Say) -> IngestSummary:
    """Ingest with a server that is given or started for it.

    A run with nothing left to do starts no server, unless it refreshes: what is served must be known then.

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
        num_todo = 0
        if config.refresh:
            if num_parts := finish_replacement(config.out):
                say(f"finished an interrupted refresh: its {num_parts} parts are in their place")
        else:
            plan = plan_ingest(config, paths)
            if not plan.todo:
                return plan.summary
            num_todo = len(plan.todo)
            if plan.summary.num_done_before:
                say(f"{plan.summary.num_done_before} of {plan.summary.num_inputs} photos are done already")
        with open_server(choice, say) as server:
            config = replace(config, concurrency=_concurrency(concurrency, server, say))
            with _Bars(say) as bars:
                summary = asyncio.run(_ingest(config, paths, num_todo, server, bars))
            if server.embedded is not None and not server.embedded.alive():
                say(f"the embedded server died; its log is {server.embedded.log_path}")
            return summary


async def _ingest(
    config: IngestConfig, paths: list[bytes], num_todo: int, server: OpenServer, bars: _Bars
) -> IngestSummary:
    backend = TritonBackend(server.url)
    try:
        if config.refresh:
            return await refresh(config, paths, backend, bars)
        return await ingest(config, paths, backend, bars.photos(num_todo))
    finally:
        await backend.close()


class _Bars:
    """Progress bars on stderr, one at a time; see `fsclient.refresh.renewal.RefreshProgress`."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._open = ExitStack()

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def say(self, line: str) -> None:
        self._open.close()
        self._say(line)

    def faces(self, total: int) -> Callable[[int], None]:
        bar = self._begin(total, "face", "refresh")

        def on_faces(number: int) -> None:
            bar.advance(number)

        return on_faces

    def photos(self, total: int) -> Progress:
        bar = self._begin(total, "photo", "ingest")
        faces = 0

        def on_row(row: PhotoRow) -> None:
            nonlocal faces
            faces += row.num_faces
            bar.note = counted(faces, "face")
            bar.advance()

        return on_row

    def _begin(self, total: int, unit: str, what: str) -> ProgressBar:
        self._open.close()
        return self._open.enter_context(progress_bar(what, total, unit))


def _concurrency(asked: int | None, server: OpenServer, say: Say) -> int:
    """Return the photos in flight: what was asked for, within what the server has room for."""
    room = server.photos_in_flight
    wanted = asked or DEFAULT_CONCURRENCY
    if room is not None and room < wanted:
        say(f"/dev/shm has room for {room} photos in flight, not {wanted}")
        return room
    return wanted
