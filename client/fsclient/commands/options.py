"""Options that several subcommands share, with one spelling, help and default each."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from fsclient.backend.server_choice import ServerChoice
from fsclient.backend.triton import checked_address
from fsengine.errors import InvalidInputError

SERVER_VARIABLE = "FACESTATS_SERVER"
"""Environment variable that stands for `--server` where that is not given."""

F = TypeVar("F", bound=Callable[..., Any])


def server_options(function: F) -> F:
    """Add `--server`, `--models`, `--without` and `--gpu`."""
    for option in reversed(
        [
            click.option(
                "--server",
                metavar="HOST:PORT",
                envvar=SERVER_VARIABLE,
                show_envvar=True,
                help="gRPC address of a running server; without it one is started.",
            ),
            *_models_options("; of a running server, what it must serve"),
        ]
    ):
        function = option(function)
    return function


def models_options(function: F) -> F:
    """Add `--models`, `--without` and `--gpu`."""
    for option in reversed(_models_options()):
        function = option(function)
    return function


no_embedding_option = click.option(
    "--no-embedding", is_flag=True, help="Keep no embeddings: neither store nor print them; heads work all the same."
)


def server_choice(server: str | None, models: str | None, without: tuple[str, ...], gpu: bool) -> ServerChoice:
    """Return what the options of `server_options` say.

    Raises:
        InvalidInputError: They exclude each other, or the server is no address.
    """
    context = click.get_current_context()
    if server is not None and context.get_parameter_source("server") is ParameterSource.ENVIRONMENT:
        said = f"{SERVER_VARIABLE} names the server {server}"
        if without or gpu:
            raise InvalidInputError(
                f"{said}, and --without and --gpu are about a server that is started: unset {SERVER_VARIABLE} to have "
                "one started, or leave these options out"
            )
        try:
            checked_address(server)
        except InvalidInputError as exc:
            raise InvalidInputError(f"{said}: {exc}; correct it, or unset it to have a server started") from exc
    return ServerChoice(server=server, models=models, without=without, gpu=gpu)


def program_name() -> str:
    """Return how the user calls this program: its name, or its path where the shell would not find it."""
    called = sys.argv[0]
    return called if os.path.basename(called) == "fsclient" and shutil.which("fsclient") is None else "fsclient"


def _models_options(of_a_server: str = "") -> list[Callable[[F], F]]:
    return [
        click.option(
            "--models",
            metavar="PACK|DIR",
            help=f"Model pack by name, or a folder: a pack or an assembled repository{of_a_server}.  [default: lite]",
        ),
        click.option(
            "--without",
            metavar="HEAD",
            multiple=True,
            help="Switch a head off (attractiveness, ethnicity, age_gender); may be given again.",
        ),
        click.option("--gpu", is_flag=True, help="Run the embedded server's models on the first NVIDIA GPU."),
    ]
