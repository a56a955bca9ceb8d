"""Which server is talked to: one that is given, or one that is started on first use and stopped at the end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fsclient.backend.address import NO_ACCESS, Access, parse_address
from fsclient.models.name_to_repository import asked_models, models_here, served_repository
from fsengine.contracts.served import ServedModels
from fsengine.errors import InvalidInputError, MissingDependencyError
from fsengine.gpu import find_gpu
from fsengine.packs.shipped import SHIPPED_PACK
from fsengine.repository.assemble import Target
from fsengine.terminal.messages import Say

if TYPE_CHECKING:
    from fsengine.server.embedded import EmbeddedServer
    from fsengine.server.listening import Listening


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerChoice:
    """Which server a command talks to.

    Attributes:
        server: `host:port` of a running server, see `fsclient.backend.address`; None for an embedded one.
        models: Pack or repository that the embedded one serves, or that a running one must serve; None for the default
            pack, or for whatever a running one serves.
        without: Heads that it leaves out.
        gpu: Whether the embedded one runs its models on a GPU.
        access: What is shown to a running server.
    """

    server: str | None = None
    models: str | None = None
    without: tuple[str, ...] = ()
    gpu: bool = False
    access: Access = NO_ACCESS

    def __post_init__(self) -> None:
        if self.server is None:
            return
        parse_address(self.server, self.access)
        if self.without or self.gpu:
            raise InvalidInputError(
                "--server and --without (or --gpu) exclude each other: a running server has its own heads and devices; "
                "leave one of them out"
            )

    def check_served(self, served: ServedModels) -> None:
        """Check that a running server serves the models that were named, if any were.

        Args:
            served: What it says that it serves.

        Raises:
            InvalidInputError: It serves others, or what was named names no pack that is here.
            PackError: The description of what was named is damaged.
        """
        if self.server is None or self.models is None:
            return
        named = models_here(self.models)
        if named.model_set_id != served.model_set_id:
            raise InvalidInputError(
                f"the server at {self.server} serves {served.pack} ({served.model_set_id}), and --models {self.models} "
                f"is {named.pack} ({named.model_set_id}): leave --models out to use what it serves, name a server of "
                f"these models (`fsclient serve --models {self.models}`), or leave the server out (--server, "
                "FACESTATS_SERVER) to have one started"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenServer:
    """A server that answers.

    Attributes:
        url: `host:port` of its gRPC endpoint.
        photos_in_flight: The most photos that it has room for; None where it is not known.
        embedded: The embedded server, or None.
    """

    url: str
    photos_in_flight: int | None
    embedded: EmbeddedServer | None


@contextmanager
def open_server(choice: ServerChoice, say: Say, listening: Listening | None = None) -> Iterator[OpenServer]:
    """Give a server that answers; an embedded one is stopped at the end.

    Args:
        choice: Which server.
        say: Called with each line for people.
        listening: Where an embedded one listens; None for a free port of loopback.

    Raises:
        MissingDependencyError: The embedded server's libraries are not installed.
        PackError: The pack cannot be served.
        ServerError: The embedded server did not start, or there is no GPU for it.
    """
    if choice.server is not None:
        yield OpenServer(url=choice.server, photos_in_flight=None, embedded=None)
        return
    try:
        from fsengine.server.embedded import EmbeddedServer
    except ImportError as exc:
        raise MissingDependencyError(
            f"the embedded server needs {exc.name}: pip install 'facestats[server]', or give --server HOST:PORT"
        ) from exc
    gpu = find_gpu() if choice.gpu else None
    if gpu is not None:
        say(f"on {gpu.name}")
    target = Target.PIP_GPU if choice.gpu else Target.PIP
    repository = served_repository(choice.models or SHIPPED_PACK, say, target=target, without=choice.without)
    say("starting the embedded server")
    with EmbeddedServer(repository, gpu=gpu, listening=listening) as server:
        yield OpenServer(url=server.url, photos_in_flight=server.photos_in_flight, embedded=server)


class LazyServer:
    """A server that is opened on first use, once, whichever thread asks first."""

    def __init__(self, choice: ServerChoice, say: Say) -> None:
        """Prepare; nothing is started yet.

        Args:
            choice: Which server.
            say: Called with each line for people while an embedded one is made ready.
        """
        self._choice = choice
        self._say = say
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._server: OpenServer | None = None

    @property
    def choice(self) -> ServerChoice:
        """Return which server it is."""
        return self._choice

    @property
    def access(self) -> Access:
        """Return what is shown to it."""
        return self._choice.access

    @property
    def is_own(self) -> bool:
        """Return whether the server is an embedded one."""
        return self._choice.server is None

    @property
    def by_default(self) -> bool:
        """Return whether nobody said what the embedded server serves."""
        return self._choice.models is None and not self._choice.without

    def check_served(self, served: ServedModels) -> None:
        """Check that a running server serves what was named; see `ServerChoice.check_served`."""
        self._choice.check_served(served)

    def asked_models(self) -> ServedModels:
        """Return what the embedded server serves, or would serve; it is not started for that.

        Raises:
            InvalidInputError: There is no such pack, or it has no such head to leave out.
            PackError: The pack's description is damaged.
            FaceStatsError: The pack is not there yet and cannot be built.
        """
        return asked_models(self._choice.models or SHIPPED_PACK, self._say, without=self._choice.without)

    def open(self) -> OpenServer:
        """Return the server, started if it is not yet; for errors see `open_server`."""
        with self._lock:
            if self._server is None:
                self._server = self._stack.enter_context(open_server(self._choice, self._say))
            return self._server

    def log_of_dead_server(self) -> Path | None:
        """Return the log of an embedded server that died by itself; None where it lives, or is not ours."""
        server = self._server
        if server is None or server.embedded is None or server.embedded.alive():
            return None
        return server.embedded.log_path

    def close(self) -> None:
        """Stop an embedded server that was started."""
        with self._lock:
            self._server = None
            self._stack.close()
