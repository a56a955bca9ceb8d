"""Options of commands that others reach over the network: where they listen, TLS, tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_PATH = click.Path(path_type=Path)


def listening_options(function: F) -> F:
    """Add `--host`, `--tls-cert`, `--tls-key`, `--token-file`, `--insecure`, `--ready-file` and `--log-format`."""
    for option in reversed(
        [
            click.option("--host", default="127.0.0.1", show_default=True, help="Address; 0.0.0.0 for all."),
            click.option("--tls-cert", type=_PATH, metavar="PEM", help="Certificate, with those that vouch for it."),
            click.option("--tls-key", type=_PATH, metavar="PEM", help="Private key of the certificate."),
            click.option(
                "--token-file", type=_PATH, metavar="FILE", help="File with the token that every caller has to show."
            ),
            click.option(
                "--insecure", is_flag=True, help="Let other machines in without TLS or without a token all the same."
            ),
            click.option(
                "--ready-file",
                type=_PATH,
                metavar="FILE",
                help="File that holds the address from when it is ready until it is stopped.",
            ),
            click.option(
                "--log-format",
                type=click.Choice(["text", "json"]),
                default="text",
                show_default=True,
                help="Form of what it writes to stderr; json: a line for each event.",
            ),
        ]
    ):
        function = option(function)
    return function
