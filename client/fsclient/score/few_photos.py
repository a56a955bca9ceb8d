"""Score a few photos at once, without Parquet."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from fsclient.backend.protocol import InferenceBackend
from fsclient.backend.serving import ServerChoice, open_server
from fsclient.backend.triton import TritonBackend
from fsclient.models.fetching import Say
from fsclient.photos.sources import find_photos
from fsclient.score.scoring import RetryPolicy, score_file
from fsdata.results.rows import PhotoRow
from fsdata.results.schema import face_outputs
from fsdata.results.status import Status
from fsengine.contracts.served import ServedModels


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Photos and what was found on them.

    Attributes:
        rows: A row per photo, in the order given.
        models: What was served.
    """

    rows: list[PhotoRow]
    models: ServedModels

    @property
    def exit_code(self) -> int:
        """Return 3 where some photo could not be scored, else 0."""
        return 0 if all(row.status in (Status.OK, Status.NO_FACE) for row in self.rows) else 3


def score_photos(sources: tuple[str, ...], choice: ServerChoice, say: Say) -> Scores:
    """Score photos with a server that is given or started for them.

    Raises:
        InvalidInputError: A source names nothing.
        ServerUnavailableError: The server is not to be had.
    """
    paths = find_photos(sources)
    with open_server(choice, say) as server:
        room = server.photos_in_flight or 4
        return asyncio.run(_score(paths, TritonBackend(server.url), min(room, 4)))


async def _score(paths: list[bytes], backend: InferenceBackend, concurrency: int) -> Scores:
    """Score paths, a few at once, in order."""
    limit = asyncio.Semaphore(concurrency)
    try:
        served = await backend.served()
        outputs = face_outputs(served)

        async def one(path: bytes) -> PhotoRow:
            async with limit:
                return await score_file(
                    path,
                    backend,
                    outputs,
                    retry=RetryPolicy(),
                    expected_model_set_id=served.models.model_set_id,
                )

        rows = await asyncio.gather(*(one(path) for path in paths))
    finally:
        await backend.close()
    return Scores(rows=list(rows), models=served.models)
