"""`fsclient serve`: the embedded server in the foreground."""

from __future__ import annotations

import signal

import click

from fsclient.backend.server_choice import ServerChoice, open_server
from fsclient.commands.options import models_options
from fsengine.terminal.messages import say


@click.command()
@models_options
def serve(models: str | None, without: tuple[str, ...], gpu: bool) -> None:
    """Run the embedded Triton server until Ctrl-C; others use it with --server.

    Example: fsclient serve --models lite
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with open_server(ServerChoice(models=models, without=without, gpu=gpu), say) as server:
            assert server.embedded is not None
            click.echo(server.url)
            say(f"serving on {server.url} (gRPC); log: {server.embedded.log_path}; Ctrl-C stops it")
            try:
                server.embedded.wait()
            finally:
                server.embedded.stop(drain=True)
    except KeyboardInterrupt:
        say("stopped")
