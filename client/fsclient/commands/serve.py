"""`fsclient serve`: the embedded server in the foreground."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fsclient.backend.server_choice import ServerChoice, open_server
from fsclient.commands.listening_options import listening_options
from fsclient.commands.options import models_options
from fsengine.errors import FaceStatsError, InvalidInputError
from fsengine.files.ready_file import holding_address, remove_stale_ready_file
from fsengine.server.access.exposure import check_exposure
from fsengine.server.access.tls import server_tls
from fsengine.server.access.token import read_token
from fsengine.server.listening import Listening
from fsengine.server.watch.log_records import LogFollower, record
from fsengine.terminal.messages import Say, say

if TYPE_CHECKING:
    from fsengine.server.embedded import EmbeddedServer

_PORT = click.IntRange(0, 65535)


@click.command()
@models_options
@listening_options
@click.option("--grpc-port", type=_PORT, default=0, help="Port of gRPC.  [default: a free one]")
@click.option("--http-port", type=_PORT, help="Port of Triton's own HTTP, on 127.0.0.1.  [default: none]")
@click.option("--metrics-port", type=_PORT, help="Port of the metrics, on 127.0.0.1.  [default: none]")
@click.option(
    "--tls-client-ca",
    type=click.Path(path_type=Path),
    metavar="PEM",
    help="Certificates that vouch for callers, each of which has to show one.",
)
def serve(
    models: str | None,
    without: tuple[str, ...],
    gpu: bool,
    host: str,
    grpc_port: int,
    http_port: int | None,
    metrics_port: int | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_client_ca: Path | None,
    token_file: Path | None,
    insecure: bool,
    ready_file: Path | None,
    log_format: str,
) -> None:
    r"""Run the embedded Triton server until Ctrl-C or SIGTERM; others use it with --server.

    The first line on stdout is the gRPC address. Beyond this machine it listens with TLS and a token alone, unless
    --insecure says so. Stopped, it answers what is in flight first, for 30 seconds at most.

    \b
    Example:
      fsclient serve --models lite --grpc-port 8001
      fsclient serve --host 0.0.0.0 --grpc-port 8001 --tls-cert cert.pem --tls-key key.pem --token-file token
    """
    tell = say if log_format == "text" else _say_json
    _interrupt_on_signals()
    try:
        tls = server_tls(tls_cert, tls_key, tls_client_ca)
        authenticated = token_file is not None or tls_client_ca is not None
        check_exposure(host, tls=tls is not None, authenticated=authenticated, insecure=insecure)
        token = None if token_file is None else read_token(token_file)
        for warning in [] if tls is None else tls.check():
            tell(f"warning: {warning}")
        listening = Listening(
            host=host, grpc_port=grpc_port, http_port=http_port, metrics_port=metrics_port, tls=tls, token=token
        )
        if ready_file is not None:
            remove_stale_ready_file(ready_file)
        with open_server(ServerChoice(models=models, without=without, gpu=gpu), tell, listening) as server:
            assert server.embedded is not None
            _serve(server.embedded, ready_file, tell, log_format)
    except KeyboardInterrupt:
        tell("stopped")
    except FaceStatsError as exc:
        if log_format == "text":
            raise
        tell(f"error: {exc}")
        raise SystemExit(2 if isinstance(exc, InvalidInputError) else 1) from exc


def _serve(embedded: EmbeddedServer, ready_file: Path | None, tell: Say, log_format: str) -> None:
    """Serve until the server dies or this process is told to stop; what is in flight then is answered."""
    if embedded.listening.token is not None and embedded.secrets_are_visible:
        tell("warning: the list of processes shows the token; the kernel does not let it be overwritten there")
    with _log(embedded.log_path, log_format):
        try:
            with holding_address(ready_file, embedded.url):
                click.echo(embedded.url)
                tell(_where(embedded.listening, embedded.url, embedded.log_path))
                embedded.wait()
        except KeyboardInterrupt:
            tell("answering what is in flight; a second Ctrl-C gives it up")
            raise
        finally:
            embedded.stop(drain=True)


def _interrupt_on_signals() -> None:
    """Let SIGTERM, and a terminal that goes away, do what Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # nohup has it ignored
        signal.signal(signal.SIGHUP, signal.default_int_handler)


def _where(listening: Listening, url: str, log: Path) -> str:
    """Return where a server is reached, for people."""
    places = [f"{'grpcs' if listening.tls else 'grpc'}://{url}{' (token)' if listening.token else ''}"]
    if listening.http_port is not None:
        places.append(f"http://127.0.0.1:{listening.http_port}")
    if listening.metrics_port is not None:
        places.append(f"http://127.0.0.1:{listening.metrics_port}/metrics")
    return f"serving on {', '.join(places)}; log: {log}; Ctrl-C stops it"


def _say_json(text: str) -> None:
    level, _, rest = text.partition(": ")
    click.echo(record(rest, level=level) if level in ("warning", "error") else record(text), err=True)


@contextlib.contextmanager
def _log(path: Path, log_format: str) -> Iterator[None]:
    """Write the server's log to stderr as records, where JSON is asked for."""
    write: Callable[[str], None] = lambda line: click.echo(line, err=True)  # noqa: E731
    follower = LogFollower(path, write) if log_format == "json" else None
    try:
        yield
    finally:
        if follower is not None:
            follower.close()
