"""`fsclient gateway`: HTTP and JSON in front of a server, in the foreground."""

from __future__ import annotations

import contextlib
import logging
import secrets
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from fsclient.commands.options import server_behind_options, server_choice
from fsengine.contracts.preprocessing import MAX_PHOTO_FILE_BYTES
from fsengine.errors import ServerError
from fsengine.files.ready_file import holding_address, remove_stale_ready_file
from fsengine.server.front.many_files import allow_many_files
from fsengine.terminal.messages import say

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def _exposure_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say who can reach the gateway."""
    for option in reversed(
        [
            click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on."),
            click.option(
                "--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="Port; 0 for a free one."
            ),
            click.option("--tls-cert", type=_FILE, help="Certificate chain in PEM: HTTPS in place of HTTP."),
            click.option("--tls-key", type=_FILE, help="Its key, without a password."),
            click.option(
                "--token-file", type=_FILE, help="File with the token that callers must send (Authorization: Bearer)."
            ),
            click.option(
                "--insecure", is_flag=True, help="Listen beyond loopback without TLS or token, behind what has both."
            ),
            click.option(
                "--ready-file", type=click.Path(path_type=Path), help="File to write the address to once it answers."
            ),
        ]
    ):
        function = option(function)
    return function


def _limit_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how much callers may ask."""
    for option in reversed(
        [
            click.option(
                "--max-photo-mib",
                type=click.IntRange(1, MAX_PHOTO_FILE_BYTES >> 20),
                default=64,
                show_default=True,
                help="Largest encoded photo; above it 413.",
            ),
            click.option(
                "--max-photos",
                type=click.IntRange(1, 1000),
                default=64,
                show_default=True,
                help="Most photos in one request; a batch takes any number.",
            ),
            click.option(
                "--concurrency",
                type=click.IntRange(1, 1000),
                default=8,
                show_default=True,
                help="Photos at the server at once; others wait a moment, then 429.",
            ),
            click.option(
                "--deadline",
                "deadline_s",
                type=click.FloatRange(1, 3600),
                default=60.0,
                show_default=True,
                help="Seconds that an answer may take; after it 504.",
            ),
            click.option(
                "--log-format",
                type=click.Choice(["text", "json"]),
                default="text",
                show_default=True,
                help="Form of the lines on stderr.",
            ),
        ]
    ):
        function = option(function)
    return function


@click.command()
@_exposure_options
@_limit_options
@server_behind_options
def gateway(
    host: str,
    port: int,
    tls_cert: Path | None,
    tls_key: Path | None,
    token_file: Path | None,
    insecure: bool,
    ready_file: Path | None,
    max_photo_mib: int,
    max_photos: int,
    concurrency: int,
    deadline_s: float,
    log_format: str,
    server: str | None,
    models: str | None,
    without: tuple[str, ...],
    gpu: bool,
) -> None:
    """Serve HTTP and JSON in front of a server until Ctrl-C.

    The first line on stdout is its address. Routes, limits and errors: docs/reference/gateway.md, and /openapi.json.

    Example: fsclient gateway --port 8080
    """
    from fsclient.backend.address import Access
    from fsclient.backend.server_choice import ServerChoice, open_server
    from fsengine.server.access.exposure import check_exposure
    from fsengine.server.access.tls import server_tls
    from fsengine.server.access.token import read_token
    from fsengine.server.listening import Listening

    tls = server_tls(tls_cert, tls_key, None)
    check_exposure(host, tls=tls is not None, authenticated=token_file is not None, insecure=insecure)
    token = None if token_file is None else read_token(token_file)
    choice = server_choice(server, models, without, gpu)

    # What needs the extra, only once nothing is wrong with the options.
    import asyncio

    from fsgateway.app import make_app
    from fsgateway.gateway_limits import MIB, GatewayLimits
    from fsgateway.gateway_log import log_to_stderr
    from fsgateway.server_behind import ServerBehind
    from fsgateway.transport.serving import bind, http_server, serve_until_told, url_of

    log_to_stderr(log_format)
    tell = say if log_format == "text" else logging.getLogger("fsgateway").info
    for warning in [] if tls is None else tls.check():
        tell(f"warning: {warning}")
    usual, photo_bytes = GatewayLimits(), max_photo_mib * MIB
    limits = GatewayLimits(
        photo_bytes=photo_bytes,
        request_bytes=max(usual.request_bytes, 2 * photo_bytes),
        held_bytes=max(usual.held_bytes, 4 * photo_bytes),
        photos_per_request=max_photos,
        photos_at_server=concurrency,
        deadline_s=deadline_s,
    )
    if ready_file is not None:
        remove_stale_ready_file(ready_file)
    allow_many_files()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # Its own server's port is as open to the other users of this machine as its own is: so that one has a token.
        key = secrets.token_urlsafe(32)
        with (
            contextlib.ExitStack() as held,
            bind(host, port) as listening,
            open_server(choice, tell, Listening(token=key)) as opened,
        ):
            url = url_of(listening, host, tls=tls is not None)
            embedded = opened.embedded
            if embedded is not None:
                choice = ServerChoice(server=opened.url, access=Access(token=key))
            if opened.photos_in_flight is not None:
                limits = replace(limits, photos_at_server=max(1, min(concurrency, opened.photos_in_flight)))
            behind = ServerBehind(
                choice,
                request_timeout_s=deadline_s,
                wait_when_busy_s=limits.wait_s,
                is_alive=(lambda: True) if embedded is None else embedded.alive,
            )

            def started() -> None:
                held.enter_context(holding_address(ready_file, url))
                click.echo(url)
                tell(f"serving HTTP on {url}; Ctrl-C stops it")

            app = make_app(behind, limits=limits, token=token)
            http = http_server(app, limits, tls=tls, on_started=started)
            alive = asyncio.run(serve_until_told(http, listening, behind))
            held.close()
            if not alive:
                assert embedded is not None
                raise ServerError(f"the embedded server died; its log is {embedded.log_path}")
            tell("stopped")
    except KeyboardInterrupt:
        tell("stopped")
