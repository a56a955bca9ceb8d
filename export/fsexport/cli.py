"""The `fsexport` command: make model packs from their sources."""

from __future__ import annotations

from pathlib import Path

import click

from fsengine.command_group import ExplainedGroup
from fsengine.packs import Pack

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


@click.group(cls=ExplainedGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="facestats", prog_name="fsexport")
def main() -> None:
    """Make model packs from their sources.

    Example: fsexport demo-pack --wheel mediapipe-0.10.14-*.whl --labels labels.tsv --out packs/demo
    """


@main.command("demo-pack")
@click.option("--wheel", type=_FILE, required=True, help="Wheel of mediapipe 0.10.14; it is read, not installed.")
@click.option("--labels", type=_FILE, required=True, help="Table of labelled FairFace crops (tab-separated).")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the pack.")
def demo_pack(wheel: Path, labels: Path, out: Path) -> None:
    r"""Make the demo pack that ships with the project.

    \b
    Example:
      pip download --no-deps mediapipe==0.10.14
      fsexport demo-pack --wheel mediapipe-0.10.14-*.whl --labels labels.tsv --out packs/demo
    """
    from fsexport.demo_pack import build_demo_pack

    _report(build_demo_pack(wheel, labels, out, _say), out)


@main.command("test-pack")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the pack.")
def test_pack(out: Path) -> None:
    """Make the test pack: full-size graphs from the test assets (FACESTATS_TEST_ASSETS).

    Example: fsexport test-pack --out /tmp/test-pack
    """
    from fsexport.test_pack import build_test_pack

    _report(build_test_pack(out, _say), out)


def _say(line: str) -> None:
    click.echo(line, err=True)


def _report(pack: Pack, out: Path) -> None:
    served = pack.served()
    _say(f"{pack.name}: {served.model_set_id}; marks: {served.marks_text or 'none'}")
    click.echo(out)
