"""`fsclient serve`: the embedded server in the foreground."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from fsclient.backend.server_choice import ServerChoice, open_server
from fsclient.commands.listening_options import listening_options
from fsclient.commands.options import models_options
from fsengine.errors import InvalidInputError
from fsengine.files.atomic import temporary_file
from fsengine.server.exposure import check_exposure
from fsengine.server.listening import Listening
from fsengine.server.log_records import LogFollower, record
from fsengine.server.tls import server_tls
from fsengine.server.token import read_token
from fsengine.terminal.messages import say

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
    tls = server_tls(tls_cert, tls_key, tls_client_ca)
    check_exposure(
        host, tls=tls is not None, authenticated=token_file is not None or tls_client_ca is not None, insecure=insecure
    )
    token = None if token_file is None else read_token(token_file)
    tell = say if log_format == "text" else _say_json
    for warning in [] if tls is None else tls.check():
        tell(f"warning: {warning}")
    listening = Listening(
        host=host, grpc_port=grpc_port, http_port=http_port, metrics_port=metrics_port, tls=tls, token=token
    )
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with open_server(ServerChoice(models=models, without=without, gpu=gpu), tell, listening) as server:
            embedded = server.embedded
            assert embedded is not None
            click.echo(server.url)
            tell(_where(embedded.listening, server.url, embedded.log_path))
            with _log(embedded.log_path, log_format):
                try:
                    with _ready(ready_file, server.url):
                        embedded.wait()
                finally:
                    embedded.stop(drain=True)
    except KeyboardInterrupt:
        tell("stopped")


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
    click.echo(record(rest, level="warning") if level == "warning" else record(text), err=True)


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


@contextlib.contextmanager
def _ready(path: Path | None, url: str) -> Iterator[None]:
    """Have a file hold the address.

    Raises:
        InvalidInputError: It cannot be written.
    """
    if path is None:
        yield
        return
    try:
        with temporary_file(path) as temporary:
            temporary.write_text(f"{url}\n")
    except OSError as exc:
        raise InvalidInputError(f"--ready-file {path} cannot be written: {exc.strerror}") from exc
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
