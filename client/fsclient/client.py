"""The blocking client: a thin skin on `AsyncClient`, for scripts, notebooks and threads."""

from __future__ import annotations

import collections
import logging
import os
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any

from fsclient.async_client import AsyncClient
from fsclient.backend import event_loop
from fsclient.backend.protocol import InferenceBackend
from fsclient.backend.server_choice import ServerChoice
from fsclient.backend.triton import REQUEST_TIMEOUT_S
from fsclient.ingest.interruption import Interruption
from fsclient.ingest.reporting.progress import IngestProgress
from fsclient.ingest.reporting.summary import IngestSummary
from fsclient.ingest.settings import DEFAULT_PART_SIZE, PathLike, ResultsPlace, Runner, ingest_config
from fsclient.photos.given import GivenPhoto, checked_photos, taken
from fsclient.photos.source_rules import SourceRules
from fsclient.score.answers import ScoredPhoto
from fsclient.score.many import SCORE_CONCURRENCY, OnUnanswered, checked_concurrency
from fsdata.results.status import Status
from fsengine.contracts.served import ServedModels
from fsengine.errors import InferenceError
from fsengine.terminal.messages import Say

logger = logging.getLogger(__name__)


class Client:
    """Scores photos with a server that is given, or with one of its own. Several threads may use one client.

    Example:
        ```python
        with Client("localhost:8001") as client:
            photo = client.score("photo.jpg")
            for photo in client.score_many(paths):
                ...
        ```
    """

    def __init__(
        self,
        server: str | ServerChoice | None = None,
        *,
        token: str | None = None,
        ca: str | os.PathLike[str] | None = None,
        certificate: str | os.PathLike[str] | None = None,
        key: str | os.PathLike[str] | None = None,
        backend: InferenceBackend | None = None,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
        wait_when_busy_s: float | None = None,
        on_message: Say = logger.info,
    ) -> None:
        """Prepare; see `AsyncClient`."""
        self._client = AsyncClient(
            server,
            token=token,
            ca=ca,
            certificate=certificate,
            key=key,
            backend=backend,
            request_timeout_s=request_timeout_s,
            wait_when_busy_s=wait_when_busy_s,
            on_message=on_message,
        )

    @classmethod
    def embedded(
        cls,
        models: str | os.PathLike[str] | None = None,
        *,
        gpu: bool = False,
        without: Sequence[str] = (),
        request_timeout_s: float = REQUEST_TIMEOUT_S,
        on_message: Say = logger.info,
    ) -> Client:
        """Return a client with a server of its own on loopback; see `AsyncClient.embedded`."""
        choice = ServerChoice(models=None if models is None else os.fspath(models), without=tuple(without), gpu=gpu)
        return cls(choice, request_timeout_s=request_timeout_s, on_message=on_message)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection, and stop the server where it is the client's own."""
        event_loop.run(self._client.close())

    def served(self) -> ServedModels:
        """Return what is served; see `AsyncClient.served`."""
        self._client._start_server()
        return event_loop.run(self._client.served())

    def score(self, photo: GivenPhoto, *, embedding: bool = True) -> ScoredPhoto:
        """Score one photo; see `AsyncClient.score`."""
        self._client._start_server()
        return event_loop.run(self._client.score(photo, embedding=embedding))

    def score_many(
        self,
        photos: Iterable[GivenPhoto],
        *,
        concurrency: int = SCORE_CONCURRENCY,
        on_unanswered: OnUnanswered | None = None,
        embedding: bool = True,
    ) -> Iterator[ScoredPhoto]:
        """Score photos, several at once, and yield their answers in the order given; see `AsyncClient.score_many`.

        Photos are taken from the iterable in the thread that takes the answers.
        """
        return self._score_many(checked_photos(photos), checked_concurrency(concurrency), on_unanswered, embedding)

    def _score_many(
        self, photos: Iterable[GivenPhoto], concurrency: int, on_unanswered: OnUnanswered | None, embedding: bool
    ) -> Iterator[ScoredPhoto]:
        self._client._start_server()
        limit = event_loop.run(self._client._room_for(concurrency))
        waiting: collections.deque[tuple[GivenPhoto, Future[ScoredPhoto]]] = collections.deque()

        def next_answer() -> ScoredPhoto | None:
            photo, future = waiting.popleft()
            try:
                return future.result()
            except InferenceError as exc:
                if on_unanswered is None:
                    raise
                on_unanswered(photo, exc)
                return None

        try:
            for photo in photos:
                waiting.append((photo, event_loop.submit(self._client._score(taken(photo), embedding))))
                if len(waiting) >= limit and (answer := next_answer()) is not None:
                    yield answer
            while waiting:
                if (answer := next_answer()) is not None:
                    yield answer
        finally:
            for _, future in waiting:
                future.cancel()

    def ingest(
        self,
        sources: PathLike | Iterable[PathLike],
        out: ResultsPlace,
        *,
        concurrency: int | None = None,
        processes: int | None = None,
        part_size: int = DEFAULT_PART_SIZE,
        retry_statuses: Iterable[Status] = (),
        refresh: bool = False,
        embedding: bool = True,
        include: Iterable[str] = (),
        exclude: Iterable[str] = (),
        strict: bool = False,
        limit: int | None = None,
        sample: int | None = None,
        column: str | None = None,
        id_column: str | None = None,
        shard: tuple[int, int] | None = None,
        runner: Runner | str = Runner.LOCAL,
        ray_address: str | None = None,
        listed: Iterable[PathLike] | None = None,
        progress: Callable[[IngestProgress], None] | None = None,
    ) -> IngestSummary:
        """Score photos into Parquet; what earlier runs did is kept. See `AsyncClient.ingest`.

        In the main thread Ctrl-C and SIGTERM end the run early with everything done written: the first lets the photos
        in flight finish, the second gives them up. `IngestSummary.interrupted` says so. `progress` is called in the
        calling thread; what it raises ends the run, with everything done written.
        """
        config = ingest_config(
            sources,
            out,
            concurrency=concurrency,
            processes=processes,
            part_size=part_size,
            retry_statuses=retry_statuses,
            refresh=refresh,
            embedding=embedding,
            runner=runner,
            ray_address=ray_address,
            rules=SourceRules(tuple(include), tuple(exclude), strict, limit, sample, column, id_column, shard),
            listed=listed,
        )
        interruption = Interruption()

        def make_work(call_and_wait: event_loop.CallBack, call: event_loop.Call) -> Coroutine[Any, Any, IngestSummary]:
            on_progress = None if progress is None else lambda one: call(lambda: progress(one))
            return self._client._run(config, on_progress, interruption, call_and_wait)

        with interruption.on_signals():
            return event_loop.run_with_calls_back(make_work)
