"""Options that several subcommands share, with one spelling, help and default each."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from fsclient.backend.server_choice import ServerChoice

F = TypeVar("F", bound=Callable[..., Any])


def server_options(function: F) -> F:
    """Add `--server`, `--models`, `--without` and `--gpu`."""
    for option in reversed(
        [
            click.option(
                "--server",
                metavar="HOST:PORT",
                help="gRPC address of a running server; without it one is started.",
            ),
            *_models_options(),
        ]
    ):
        function = option(function)
    return function


def models_options(function: F) -> F:
    """Add `--models`, `--without` and `--gpu`."""
    for option in reversed(_models_options()):
        function = option(function)
    return function


def server_choice(server: str | None, models: str | None, without: tuple[str, ...], gpu: bool) -> ServerChoice:
    """Return what the options of `server_options` say."""
    return ServerChoice(server=server, models=models, without=without, gpu=gpu)


def program_name() -> str:
    """Return how the user calls this program: its name, or its path where the shell would not find it."""
    called = sys.argv[0]
    return called if os.path.basename(called) == "fsclient" and shutil.which("fsclient") is None else "fsclient"


def _models_options() -> list[Callable[[F], F]]:
    return [
        click.option(
            "--models",
            metavar="PACK|DIR",
            help="Model pack by name, or a folder: a pack or an assembled repository.  [default: lite]",
        ),
        click.option(
            "--without",
            metavar="HEAD",
            multiple=True,
            help="Switch a head off (attractiveness, ethnicity, age_gender); may be given again.",
        ),
        click.option("--gpu", is_flag=True, help="Run the embedded server's models on the first NVIDIA GPU."),
    ]
