"""`fsclient models`: list, verify and build model packs."""

from __future__ import annotations

from pathlib import Path

import click

from fsclient.models import DEFAULT_PACK, list_packs, served_repository, verify
from fsclient.options import say
from fsengine.repository import Target


@click.group()
def models() -> None:
    """List, verify and build model packs.

    Example: fsclient models list
    """


@models.command("list")
def list_command() -> None:
    """List the packs that can be served: what they are and whether they are here.

    Example: fsclient models list
    """
    for entry in list_packs():
        state = "here" if entry.pack else "not built"
        default = " (default)" if entry.name == DEFAULT_PACK else ""
        click.echo(f"{entry.name}{default}: {state}, {entry.folder}")
        click.echo(f"  {entry.summary}")
        if entry.pack is None:
            continue
        for step, model in entry.pack.models.items():
            marks = f" [{', '.join(model.marks)}]" if model.marks else ""
            size = (entry.folder / model.file).stat().st_size / 1e6
            click.echo(f"  {step:15}{size:8.2f} MB  {model.precision}  {model.licence}{marks}")


@models.command("verify")
@click.argument("pack", default=DEFAULT_PACK, metavar="[PACK|DIR]")
def verify_command(pack: str) -> None:
    """Compare every file of a pack with its hash.

    Example: fsclient models verify demo
    """
    found = verify(pack, say)
    click.echo(f"{found.name}: {len(found.models)} files are what {found.served().model_set_id} says")


@models.command("build")
@click.argument("pack", metavar="PACK|DIR")
@click.option(
    "--target",
    type=click.Choice([target.value for target in Target]),
    default=Target.PIP.value,
    show_default=True,
    help="Who serves it: the embedded server (pip) or NVIDIA's container.",
)
@click.option("--without", metavar="HEAD", multiple=True, help="Switch a head off; may be given again.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), help="Folder of the repository.")
def build_command(pack: str, target: str, without: tuple[str, ...], out: Path | None) -> None:
    """Assemble the repository that a server serves; prints its folder.

    Example: fsclient models build demo --without ethnicity --out repository
    """
    click.echo(served_repository(pack, say, target=Target(target), without=without, out=out))
