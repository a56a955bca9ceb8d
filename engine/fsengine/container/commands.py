"""`fsengine` in the containers of `docker/`: what they serve, the server's entrypoint and its health check."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from fsengine.container import server_command as defaults
from fsengine.repository.assemble import Target
from fsengine.repository.gpu_config import CUDA_MEMORY_MIB

_PATH = click.Path(path_type=Path)

TARGETS = (Target.CONTAINER.value, Target.GPU.value)


@click.command()
@click.option(
    "--repository",
    required=True,
    type=click.Path(path_type=Path),
    help="Folder that is served: assembled, or with plans of `fsengine build`.",
)
@click.option("--address", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--http-port", default=8000, show_default=True, help="Port of health and HTTP.")
@click.option("--grpc-port", default=8001, show_default=True, help="Port of gRPC, which `fsclient --server` takes.")
@click.option("--metrics-port", default=8002, show_default=True, help="Port of the metrics.")
@click.option(
    "--grpc-threads",
    default=defaults.GRPC_THREADS,
    show_default=True,
    help="Handlers of gRPC requests, 2 to 128; 0 leaves it to the server.",
)
@click.option(
    "--load-threads",
    default=None,
    type=click.IntRange(1),
    help=f"Models loaded at once.  [default: {defaults.LOAD_THREADS}, {defaults.LOAD_THREADS_OF_PLANS} with plans]",
)
@click.option(
    "--exit-timeout",
    "exit_timeout_s",
    default=defaults.EXIT_TIMEOUT_S,
    show_default=True,
    help="Seconds for requests in flight when it is stopped.",
)
@click.option(
    "--pinned-memory",
    "pinned_memory_mib",
    default=defaults.PINNED_MEMORY_MIB,
    show_default=True,
    help="MiB of pinned host memory.",
)
@click.option(
    "--cuda-memory",
    "cuda_memory_mib",
    default=CUDA_MEMORY_MIB,
    show_default=True,
    help="MiB of the GPU for tensors between steps.",
)
@click.option(
    "--published",
    envvar="FACESTATS_BIND",
    help="Address of the machine on which gRPC is offered, where it is another.  [default: --address]",
)
@click.option("--tls-cert", type=_PATH, envvar="FACESTATS_TLS_CERT", help="Certificate in PEM; gRPC speaks TLS then.")
@click.option("--tls-key", type=_PATH, envvar="FACESTATS_TLS_KEY", help="Private key of the certificate.")
@click.option(
    "--tls-client-ca", type=_PATH, envvar="FACESTATS_TLS_CLIENT_CA", help="Certificates that vouch for callers."
)
@click.option("--token-file", type=_PATH, envvar="FACESTATS_TOKEN_FILE", help="Token that every caller has to show.")
@click.option(
    "--insecure",
    is_flag=True,
    envvar="FACESTATS_INSECURE",
    help="Let other machines in without TLS or without a token all the same.",
)
@click.option("--program", default="tritonserver", show_default=True, help="The server's program.")
@click.argument("extra", nargs=-1, metavar="[-- OPTION...]")
def start(
    repository: Path,
    program: str,
    load_threads: int | None,
    published: str | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_client_ca: Path | None,
    token_file: Path | None,
    insecure: bool,
    extra: tuple[str, ...],
    **settings: Any,
) -> None:
    r"""Check that a repository can be served here, and become the server.

    Refused with the reason: a repository or plans that are not whole, plans of another TensorRT or another GPU, a
    missing driver or server, and an address of other machines without TLS and a token. This process then is
    tritonserver, with whatever follows `--` as further options.

    \b
    Example:
      fsengine start --repository /plans/repository --address 0.0.0.0 --published 127.0.0.1
      fsengine start --repository /models/container -- --log-verbose=1
    """
    from fsengine.container.start_checks import check_repository
    from fsengine.errors import Action, MissingDependencyError, Remedy
    from fsengine.server.access.exposure import check_exposure
    from fsengine.server.access.tls import server_tls
    from fsengine.server.access.token import read_token

    tls = server_tls(tls_cert, tls_key, tls_client_ca)
    authenticated = token_file is not None or tls_client_ca is not None
    host = published or settings["address"]
    check_exposure(host, tls=tls is not None, authenticated=authenticated, insecure=insecure)
    tls_warnings = [] if tls is None else tls.check()
    state, warnings = check_repository(repository)
    usual_threads = defaults.LOAD_THREADS if state.plans is None else defaults.LOAD_THREADS_OF_PLANS
    options = defaults.ServerOptions(
        repository=repository,
        on_gpu=state.needs_gpu,
        program=program,
        load_threads=load_threads or usual_threads,
        tls=tls,
        token=None if token_file is None else read_token(token_file, private=False),
        extra=extra,
        **settings,
    )
    if shutil.which(program) is None:
        raise MissingDependencyError(
            f"{program} is not on the PATH; this is the entrypoint of the server image of docker/. "
            "On a machine without it use the embedded server",
            remedy=Remedy(Action.SERVE),
        )
    for warning in (*tls_warnings, *warnings):
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"serving {state.text}", err=True)
    sys.stderr.flush()
    command = defaults.server_command(options)
    try:
        os.execvp(command[0], command)
    except OSError as exc:
        raise MissingDependencyError(f"{program} cannot be run: {exc.strerror}; expected tritonserver") from exc


@click.command()
@click.option("--url", default="http://127.0.0.1:8000", show_default=True, help="HTTP address of the server.")
def health(url: str) -> None:
    """Exit with 0 when the server has every model ready, with 1 otherwise.

    Example: fsengine health
    """
    from fsengine.container.health import is_ready

    ready = is_ready(url)
    click.echo("ready" if ready else f"{url} is not ready")
    sys.exit(0 if ready else 1)


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="File that the version is written to as well.")
def tensorrt(out: Path | None) -> None:
    """Print the version of TensorRT that this image serves with.

    Example: fsengine tensorrt --out /plans/tensorrt-version
    """
    from fsengine.container.image_tensorrt import image_tensorrt
    from fsengine.container.version_file import write_version

    version = image_tensorrt()
    if out is not None:
        write_version(out, version)
    click.echo(version)


@click.command()
@click.argument("version_file", metavar="FILE", type=click.Path(path_type=Path))
@click.argument("command", metavar="-- COMMAND...", nargs=-1, required=True)
def matched(version_file: Path, command: tuple[str, ...]) -> None:
    """Run a command if TensorRT here is the server's, whose version FILE holds.

    A plan loads in the version that built it alone, so the difference is found before minutes are spent on building.

    Example: fsengine matched /plans/tensorrt-version -- fsengine build /models/gpu --out /plans/repository
    """
    from fsengine.container.version_file import check_version
    from fsengine.plans.tensorrt.library import tensorrt_version

    check_version(version_file, tensorrt_version())
    os.execvp(command[0], command)


@click.command()
@click.option(
    "--given",
    default=Path("/given"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder of an assembled repository or of a pack; the shipped pack where nothing is given.",
)
@click.option("--target", required=True, type=click.Choice(TARGETS), help="Who is to serve it.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Where the repository is to lie.")
def assemble(given: Path, target: str, out: Path) -> None:
    """Make the repository that a container serves: the one that it was given, or the shipped pack's.

    A given repository is not copied: OUT becomes a link to it.

    Example: fsengine assemble --target gpu --out /models/gpu
    """
    from fsengine.container.repository_choice import given_folder, place_repository

    click.echo(f"to serve: {place_repository(given_folder(given), out, Target(target)).text}", err=True)
