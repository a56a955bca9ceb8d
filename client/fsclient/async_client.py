"""The client: photos scored by a server that is given, or by an embedded one that it starts."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Sequence
from types import TracebackType

from fsclient.backend.address import Access
from fsclient.backend.connection import connect
from fsclient.backend.event_loop import CallBack
from fsclient.backend.protocol import InferenceBackend
from fsclient.backend.server_choice import LazyServer, ServerChoice
from fsclient.backend.server_retries import RetryPolicy
from fsclient.backend.session import Session
from fsclient.backend.triton import REQUEST_TIMEOUT_S
from fsclient.ingest.interruption import Interruption
from fsclient.ingest.reporting.progress import IngestProgress, ProgressTeller
from fsclient.ingest.reporting.summary import IngestSummary
from fsclient.ingest.settings import DEFAULT_PART_SIZE, IngestConfig, PathLike, ResultsPlace, Runner, ingest_config
from fsclient.photos.given import GivenPhoto, as_stream, checked_photos, read_given, taken
from fsclient.photos.photo_file import Photo
from fsclient.photos.room import Room
from fsclient.photos.source_rules import SourceRules
from fsclient.score.answers import ScoredPhoto, scored_photo
from fsclient.score.many import SCORE_CONCURRENCY, OnUnanswered, checked_concurrency, in_order
from fsclient.score.photo_request import score_with_retries
from fsdata.results.schema import face_outputs
from fsdata.results.status import Status
from fsengine.contracts.served import ServedModels
from fsengine.errors import InvalidInputError, ServerUnavailableError
from fsengine.terminal.messages import Say

logger = logging.getLogger(__name__)


class AsyncClient:
    """Scores photos; the same as `Client`, for code that runs in an event loop.

    Example:
        ```python
        async with AsyncClient("localhost:8001") as client:
            photo = await client.score("photo.jpg")
            async for photo in client.score_many(paths):
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
        """Prepare; nothing is started or sent before the first call that needs the server.

        Args:
            server: `host:port` of a running server's gRPC endpoint; `grpcs://host:port` speaks TLS to it. Several, with
                commas between them, are asked in turn, and so are the addresses behind `dns:///host:port`. `embedded`
                starts one instead.
            token: The server's token. Over plaintext it goes to this machine alone, unless `grpc://` is written.
            ca: File of certificates in PEM that vouch for the server; None for those that the system trusts.
            certificate: File with the caller's own certificate in PEM, for a server that asks for one.
            key: File with the private key of it.
            backend: What runs the models in place of a server, for tests: see `fsclient.testing`.
            request_timeout_s: The longest wait for one photo, in seconds.
            wait_when_busy_s: How long a photo is asked for again where the server is busy, in seconds; None for as long
                as one answer may take.
            on_message: Called with each line for people; by default they are logged.

        Raises:
            InvalidInputError: Neither or both of server and backend are given, `server` is no address, or token and
                certificates do not suit it.
        """
        if (server is None) == (backend is None):
            raise InvalidInputError(
                "give either a server, for example Client('localhost:8001'), or a backend; Client.embedded() starts one"
            )
        access = Access.given(token, ca, certificate, key)
        choice = ServerChoice(server=server, access=access) if isinstance(server, str) else server
        self._server = None if choice is None else LazyServer(choice, on_message)
        self._backend = backend
        self._request_timeout_s = request_timeout_s
        self._retry = RetryPolicy(busy_s=request_timeout_s if wait_when_busy_s is None else wait_when_busy_s)
        self._on_message = on_message
        self._session: Session | None = None
        self._closed = False
        self._process = os.getpid()
        self._opening = asyncio.Lock()
        self._pixel_room = Room()

    @classmethod
    def embedded(
        cls,
        models: str | os.PathLike[str] | None = None,
        *,
        gpu: bool = False,
        without: Sequence[str] = (),
        request_timeout_s: float = REQUEST_TIMEOUT_S,
        on_message: Say = logger.info,
    ) -> AsyncClient:
        """Return a client with a server of its own on loopback, which starts with the first call that needs it.

        Args:
            models: Pack by name, or the folder of a pack or of an assembled repository; None for the pack that ships.
            gpu: Whether it runs its models on the first NVIDIA GPU.
            without: Heads to leave out: `attractiveness`, `ethnicity`, `age_gender`.
            request_timeout_s: The longest wait for one photo, in seconds.
            on_message: Called with each line for people; by default they are logged.

        Returns:
            The client; closing it stops the server. Its first call raises what `_start_server` does.
        """
        choice = ServerChoice(models=None if models is None else os.fspath(models), without=tuple(without), gpu=gpu)
        return cls(choice, request_timeout_s=request_timeout_s, on_message=on_message)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection, and stop the server where it is the client's own; the client cannot be used again."""
        if self._process != os.getpid():
            return  # a fork's copy: connection and server are the parent's
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.backend.close()
        if self._server is not None:
            await asyncio.to_thread(self._server.close)

    def _start_server(self) -> None:
        """Start the client's own server if it is not started yet; blocks until it is ready.

        Raises:
            MissingDependencyError: The embedded server's libraries are not installed.
            PackError: The pack cannot be served.
            ServerError: The server did not start.
        """
        self._check_usable()
        if self._server is not None:
            self._server.open()

    def _check_usable(self) -> None:
        """Raise InvalidInputError where the client is closed, or is a copy in a process that was forked."""
        if self._process != os.getpid():
            raise InvalidInputError("the client was made in another process; make one in this process")
        if self._closed:
            raise InvalidInputError("the client is closed; make another one")

    async def served(self) -> ServedModels:
        """Return what is served: pack, model set, class labels, thresholds, marks and licences.

        Raises:
            FaceStatsError: The server cannot be started or reached; see `embedded` and `score`.
        """
        return (await self._opened()).served.models

    async def score(self, photo: GivenPhoto, *, embedding: bool = True) -> ScoredPhoto:
        """Score one photo.

        Args:
            photo: A path, encoded bytes, a file opened for reading bytes, an array (H, W, 3) of uint8 RGB, or a PIL
                image.
            embedding: Whether its faces get their embeddings.

        Returns:
            Its faces, or the reason why there are none: a file that cannot be read or decoded is an answer.

        Raises:
            InvalidInputError: It is nothing that a photo can be given as.
            ServerBusyError: The server had too much to do all the time.
            ServerUnavailableError: It was unavailable in all attempts.
            DeadlineError: It did not answer in time.
            AccessDeniedError: It does not let the caller in, or is not the one that it says it is.
            InferenceError: It serves other models than when the client connected.
        """
        return await self._score(lambda: read_given(photo), embedding)

    async def _score(self, read: Callable[[], Photo], embedding: bool) -> ScoredPhoto:
        """Score a photo that `read` reads, called in a thread."""
        session = await self._opened()
        served = session.served if embedding else session.served.without_embedding()
        try:
            row = await score_with_retries(
                read,
                session.backend,
                face_outputs(served),
                retry=self._retry,
                expected_model_set_id=served.models.model_set_id,
                room=self._pixel_room,
            )
        except ServerUnavailableError as exc:
            self._check_alive(exc)
            raise
        except asyncio.CancelledError:
            self._check_usable()  # closing the client cancels its requests
            raise
        return scored_photo(row, served.models)

    def _check_alive(self, cause: Exception | None = None) -> None:
        """Raise ServerUnavailableError where an embedded server that was started died."""
        if self._server is not None and (log := self._server.log_of_dead_server()) is not None:
            raise ServerUnavailableError(
                f"the embedded server died; its log is {log}. Make another client: it starts a server of its own"
            ) from cause

    def score_many(
        self,
        photos: Iterable[GivenPhoto] | AsyncIterable[GivenPhoto],
        *,
        concurrency: int = SCORE_CONCURRENCY,
        on_unanswered: OnUnanswered | None = None,
        embedding: bool = True,
    ) -> AsyncIterator[ScoredPhoto]:
        """Score photos, several at once, and yield their answers in the order given.

        Photos are taken from the iterable as they are needed, and at most `concurrency` of them are held, waiting
        answers included. Pixels and files are read as they are taken, so that the caller may use them again.

        Args:
            photos: Photos, each as for `score`.
            concurrency: Photos in flight; an embedded server may have room for fewer.
            on_unanswered: Called with each photo that the server did not answer, in its turn, and why; the others go
                on. None raises the first such error.
            embedding: As for `score`.

        Raises:
            InvalidInputError: `photos` is no iterable, or `concurrency` below 1.
            FaceStatsError: While iterating, see `score`; the photos in flight are given up then.
        """
        given = photos if isinstance(photos, AsyncIterable) else checked_photos(photos)
        return self._score_many(as_stream(given), checked_concurrency(concurrency), on_unanswered, embedding)

    async def _score_many(
        self, photos: AsyncIterable[GivenPhoto], concurrency: int, on_unanswered: OnUnanswered | None, embedding: bool
    ) -> AsyncIterator[ScoredPhoto]:
        def begin(photo: GivenPhoto) -> asyncio.Task[ScoredPhoto]:
            return asyncio.create_task(self._score(taken(photo), embedding))

        async for answer in in_order(photos, begin, await self._room_for(concurrency), on_unanswered):
            yield answer

    async def ingest(
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
        """Score photos into Parquet; what earlier runs did is kept. Cancelled, it writes what is done before it ends.

        Args:
            sources: Photos, folders (searched with all below them), glob patterns, URLs and tar shards; with `refresh`
                there may be none.
            out: Folder of the parts, or the URL of one in a store.
            concurrency: Photos in flight; None for as many as the server says that it can take.
            processes: Processes that read and ask, or workers of a Ray cluster; None for as many as the server and this
                machine can use, or one for each node.
            part_size: Photos of one part.
            retry_statuses: Statuses of earlier runs whose photos are done again.
            refresh: Whether results of other models are brought to the served ones first.
            embedding: Whether embeddings are stored. A folder goes on as it was begun; `refresh` removes them.
            include: Patterns of files and folders to take, by name or path below the source, whatever they are.
            exclude: Patterns of files and folders to leave out.
            strict: Whether every file becomes a row, and none is skipped because it is no photo by its name.
            limit: How many photos are taken at most, the first.
            sample: How many are drawn from all, with a fixed seed.
            column: Column of Parquet files whose photos are taken; None where such files are none.
            id_column: Column that names them; None for the number of the row.
            shard: (I, N), to take one of N shares of the photos, I from 0.
            runner: `local`, or `ray` for a Ray cluster, whose nodes have a server each where the client has its own.
            ray_address: `HOST:PORT` of the cluster, or `auto` where this machine is a node of it; None for what
                RAY_ADDRESS says, or a cluster of this machine alone.
            listed: Further files, folders and URLs; what of them is missing is left out and named.
            progress: Called as photos (or, while refreshing, faces) are done.

        Returns:
            What was done. Where nothing is left to do no server is started; models must be those of `out` all the same.

        Raises:
            InvalidInputError: A source names nothing, or `out` cannot be written to.
            ResultsError: `out` is held by another run or damaged, or holds results of other models or `embedding`.
            FaceStatsError: The server cannot be started or reached; see `embedded` and `score`.
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
        return await self._run(config, progress)

    async def _run(
        self,
        config: IngestConfig,
        progress: Callable[[IngestProgress], None] | None = None,
        interruption: Interruption | None = None,
        call_back: CallBack | None = None,
    ) -> IngestSummary:
        """Do what `ingest` does, as a configuration says.

        Args:
            config: The run.
            progress: See `ingest`.
            interruption: How the run may be told to stop.
            call_back: Has slow work done, such as starting the client's own server; None for a thread.
        """
        # Parquet, which those who score a photo need not wait for
        from fsclient.ingest_run import IngestServers, run_ingest

        self._check_usable()
        servers = IngestServers(
            config,
            self._server,
            self._opened,
            is_open=self._session is not None,
            request_timeout_s=self._request_timeout_s,
            call_back=call_back,
        )
        teller = ProgressTeller(progress, self._on_message)
        async with servers:
            summary = await run_ingest(config, servers, teller, interruption or Interruption())
        if self._server is not None and (log := self._server.log_of_dead_server()) is not None:
            self._on_message(f"the embedded server died; its log is {log}")
        return summary

    async def _room_for(self, wanted: int) -> int:
        """Return a number of photos in flight, cut to what the server has room for."""
        room = (await self._opened()).photos_in_flight
        return wanted if room is None else min(wanted, room)

    async def _opened(self) -> Session:
        """Return the session, opened on first use."""
        self._check_usable()
        self._check_alive()
        async with self._opening:
            if self._session is None:
                backend, room = self._backend, None
                if self._server is not None:
                    server = await asyncio.to_thread(self._server.open)
                    backend = connect(server.url, self._server.access, request_timeout_s=self._request_timeout_s)
                    room = server.photos_in_flight
                assert backend is not None
                try:
                    served = await backend.served()
                    if self._server is not None:
                        await asyncio.to_thread(self._server.check_served, served.models)
                except BaseException:
                    await backend.close()
                    raise
                self._session = Session(backend=backend, served=served, photos_in_flight=room)
            return self._session
