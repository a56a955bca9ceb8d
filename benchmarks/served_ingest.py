"""An ingest of photos through a running server, as `fsclient ingest` makes it, into a folder that is thrown away."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from fsclient.backend.triton import TritonBackend
from fsclient.ingest.photo_loop import ingest_photos
from fsclient.ingest.reporting.summary import IngestSummary
from fsclient.ingest.resume import find_inputs, plan_ingest
from fsclient.ingest.settings import IngestConfig
from fsdata.results.parts import locked


def ingest_once(sources: Sequence[str], url: str, concurrency: int | None = None) -> IngestSummary:
    """Score every photo of some sources and return what was done.

    Args:
        sources: Files, folders and patterns.
        url: `host:port` of the server.
        concurrency: Photos in flight; None for what `fsclient ingest` takes.
    """

    async def once(out: Path) -> IngestSummary:
        backend = TritonBackend(url)
        try:
            config = IngestConfig(sources=tuple(sources), out=out, concurrency=concurrency)
            return await ingest_photos(config, plan_ingest(config, find_inputs(config)), backend, lambda *_: None)
        finally:
            await backend.close()

    with tempfile.TemporaryDirectory() as folder, locked(Path(folder)):
        return asyncio.run(once(Path(folder)))
