"""`fsengine` in the containers of `docker/`: what they serve, the server's entrypoint and its health check."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from fsengine.plans.built_plans import BUILT, PlansRecord
from fsengine.plans.commands import keep_onnx_option
from fsengine.repository.assemble import Target
from fsengine.server import triton_command as defaults
from fsengine.terminal.messages import say
from fsengine.terminal.path_types import LocalPath

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
    type=click.IntRange(0),
    help="MiB of each GPU for tensors between steps.  [default: 12% of it, 16384 at most]",
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
@click.option(
    "--plans-in",
    type=click.Path(path_type=Path, readable=False),
    help="Folder for TensorRT plans: graphs are served at once, and plans from there when they were built and tried.",
)
@click.option(
    "--plans",
    type=click.Choice(["on", "off"], case_sensitive=False),
    default="on",
    show_default=True,
    envvar="FACESTATS_PLANS",
    help="Whether plans are built and served; without them ONNX Runtime runs every graph.",
)
@keep_onnx_option
@click.option("--trtexec", metavar="PROGRAM", help="Of `fsengine build`.")
@click.option(
    "--traces",
    metavar="URL",
    envvar="FACESTATS_TRACES",
    help="OpenTelemetry collector that every 100th photo's way through the steps is sent to, OTLP over HTTP.",
)
@click.option("--program", default="tritonserver", show_default=True, help="The server's program.")
@click.argument("extra", nargs=-1, metavar="[-- OPTION...]")
def start(
    repository: Path,
    program: str,
    load_threads: int | None,
    cuda_memory_mib: int | None,
    published: str | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    tls_client_ca: Path | None,
    token_file: Path | None,
    insecure: bool,
    plans_in: Path | None,
    plans: str,
    keep_onnx: tuple[str, ...],
    trtexec: str | None,
    traces: str | None,
    extra: tuple[str, ...],
    **settings: Any,
) -> None:
    r"""Check that a repository can be served here, and become the server.

    Refused with the reason: a repository that is not whole, a missing driver or server, and an address of other
    machines without TLS and a token. With --plans-in, on a GPU, graphs are served by ONNX Runtime at once, TensorRT
    plans are built and tried meanwhile, and the server starts again with those that answer as they should. Otherwise
    this process becomes tritonserver. Whatever follows `--` are further options of it.

    \b
    Example:
      fsengine start --repository /models/gpu --plans-in /plans --address 0.0.0.0 --published 127.0.0.1
      fsengine start --repository /models/container -- --log-verbose=1
    """
    from fsengine.container.start_checks import check_repository
    from fsengine.container.trace_options import trace_arguments
    from fsengine.errors import Action, MissingDependencyError, Remedy
    from fsengine.plans.gpu_defaults import pool_mib
    from fsengine.server.access.exposure import check_exposure
    from fsengine.server.access.tls import server_tls
    from fsengine.server.access.token import read_token

    tls = server_tls(tls_cert, tls_key, tls_client_ca)
    authenticated = token_file is not None or tls_client_ca is not None
    host = published or settings["address"]
    check_exposure(host, tls=tls is not None, authenticated=authenticated, insecure=insecure)
    tls_warnings = [] if tls is None else tls.check()
    state, gpus, warnings = check_repository(repository)
    options = defaults.TritonOptions(
        repository=repository,
        num_gpus=len(gpus),
        program=program,
        tls=tls,
        token=None if token_file is None else read_token(token_file, private=False),
        cuda_memory_mib=pool_mib(gpus[0].memory_mib) if cuda_memory_mib is None and gpus else cuda_memory_mib or 0,
        extra=(*(trace_arguments(traces) if traces else ()), *extra),
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

    def command(folder: Path, record: PlansRecord | None) -> list[str]:
        usual = defaults.LOAD_THREADS_OF_PLANS if record is not None and record.of(BUILT) else defaults.LOAD_THREADS
        return defaults.triton_command(replace(options, repository=folder, load_threads=load_threads or usual))

    if plans_in is not None and gpus and state.plans is None:
        from fsengine.container.self_building import SelfBuilding

        build = ["--program", program, *([] if trtexec is None else ["--trtexec", trtexec])]
        serving = SelfBuilding(
            source=repository,
            folder=plans_in,
            gpus=gpus,
            command=command,
            url=options.local_url,
            build=build if plans == "on" else None,
            keep_onnx=keep_onnx,
            say=say,
        )
        sys.exit(serving.run())
    arguments = command(repository, state.plans)
    try:
        os.execvp(arguments[0], arguments)  # noqa: S606 - without a shell, as wanted
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
@click.option(
    "--given",
    default=Path("/given"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder of an assembled repository or of a pack; the shipped pack where nothing is given.",
)
@click.option("--target", required=True, type=click.Choice(TARGETS), help="Who is to serve it.")
@click.option("--out", required=True, type=LocalPath(path_type=Path), help="Where the repository is to lie.")
def assemble(given: Path, target: str, out: Path) -> None:
    """Make the repository that a container serves: the one that it was given, or the shipped pack's.

    A given repository is not copied: OUT becomes a link to it.

    Example: fsengine assemble --target gpu --out /models/gpu
    """
    from fsengine.container.repository_choice import given_folder, place_repository

    click.echo(f"to serve: {place_repository(given_folder(given), out, Target(target)).text}", err=True)
