"""Options that several subcommands share, with one spelling, help and default each."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from fsclient.backend.address import NO_ACCESS, TOKEN_VARIABLE, Access, parse_address
from fsclient.backend.server_choice import ServerChoice
from fsengine.errors import InvalidInputError
from fsengine.server.access.token import checked_token, read_token

SERVER_VARIABLE = "FACESTATS_SERVER"
"""Environment variable that stands for `--server` where that is not given."""

"""Environment variable that holds the server's token where no `--token-file` is given."""

_ACCESS = "fsclient.access"

F = TypeVar("F", bound=Callable[..., Any])


class ShardType(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions only
    """One of several shares, such as 0/8."""

    name = "shard"

    def convert(
        self, value: str | tuple[int, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        """Return (I, N)."""
        if isinstance(value, tuple):
            return value
        number, _, of = value.partition("/")
        if not (number.isascii() and number.isdigit() and of.isascii() and of.isdigit() and int(number) < int(of)):
            self.fail(f"{value!r} is no share; expected I/N with I from 0 to N - 1, such as 0/8", param, ctx)
        return int(number), int(of)


def server_options(function: F) -> F:
    """Add `--server` with what is shown to it, `--models`, `--without` and `--gpu`."""
    for option in reversed(
        [
            _server_option("gRPC address of a running server, grpcs://HOST:PORT for TLS; without it one is started."),
            *_models_options("; of a running server, what it must serve"),
            *_access_options(),
        ]
    ):
        function = option(function)
    return function


def server_behind_options(function: F) -> F:
    """Add the options of `server_options` for a command that is a server too, and has tokens and TLS of its own.

    What is shown to the running server has `server-` before its name.
    """
    for option in reversed(
        [
            _server_option("gRPC address of a running server, grpcs://HOST:PORT for TLS; without it one is started."),
            *_models_options("; of a running server, what it must serve"),
            *_access_options("server-"),
        ]
    ):
        function = option(function)
    return function


def running_server_options(function: F) -> F:
    """Add `--server` with what is shown to it, for commands that start none."""
    server = _server_option("gRPC address of a running server, grpcs://HOST:PORT for TLS.")
    for option in reversed([server, *_access_options()]):
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
    access = given_access(server)
    if server is not None and context.get_parameter_source("server") is ParameterSource.ENVIRONMENT:
        said = f"{SERVER_VARIABLE} names the server {server}"
        if without or gpu:
            raise InvalidInputError(
                f"{said}, and --without and --gpu are about a server that is started: unset {SERVER_VARIABLE} to have "
                "one started, or leave these options out"
            )
        try:
            parse_address(server, access)
        except InvalidInputError as exc:
            raise InvalidInputError(f"{said}: {exc}; correct it, or unset it to have a server started") from exc
    return ServerChoice(server=server, models=models, without=without, gpu=gpu, access=access)


def given_access(server: str | None) -> Access:
    """Return what the options of `server_options` show to a running server.

    Raises:
        InvalidInputError: There is no running server to show it to, or it cannot be used.
    """
    given = click.get_current_context().meta.get(_ACCESS, {})
    named = sorted(option for option, file in given.values() if file is not None)
    if server is None:
        if named:
            raise InvalidInputError(f"{', '.join(named)} given without --server; they are shown to a running server")
        return NO_ACCESS
    files = {what: file for what, (_, file) in given.items()}
    token_file = files.get("token-file")
    if token_file is not None:
        token: str | None = read_token(token_file)
    elif token := os.environ.get(TOKEN_VARIABLE, "").strip() or None:  # secrets end in a newline where files do
        checked_token(token, TOKEN_VARIABLE)
    return Access.given(token, files.get("tls-ca"), files.get("tls-cert"), files.get("tls-key"))


def program_name() -> str:
    """Return how the user calls this program: its name, or its path where the shell would not find it."""
    called = sys.argv[0]
    return called if os.path.basename(called) == "fsclient" and shutil.which("fsclient") is None else "fsclient"


def _server_option(text: str) -> Callable[[F], F]:
    return click.option("--server", metavar="HOST:PORT", envvar=SERVER_VARIABLE, show_envvar=True, help=text)


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
            help="Switch a head off (attractiveness, ethnicity, age_gender). Repeatable.",
        ),
        click.option("--gpu", is_flag=True, help="Run the embedded server's models on the first NVIDIA GPU."),
    ]


def _access_options(prefix: str = "") -> list[Callable[[F], F]]:
    """Return options that no command takes as a parameter: `given_access` finds them in the context."""

    def note(context: click.Context, parameter: click.Parameter, value: Path | None) -> None:
        (name,) = parameter.opts
        context.meta.setdefault(_ACCESS, {})[name.removeprefix(f"--{prefix}")] = (name, value)

    def option(name: str, text: str) -> Callable[[F], F]:
        path = click.Path(path_type=Path)
        name = f"--{prefix}{name}"
        return click.option(name, type=path, metavar="FILE", expose_value=False, callback=note, help=text)

    return [
        option("token-file", f"Token of the running server.  [env var: {TOKEN_VARIABLE}, the token itself]"),
        option("tls-ca", "Certificates in PEM that vouch for the running server."),
        option("tls-cert", "Certificate of your own in PEM, for a server that asks for one."),
        option("tls-key", "Private key of it."),
    ]
