"""Record the golden answers of a pack beside its `pack.json`: after any change of a model that ships."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from fsengine.repository.assemble import GOLDEN_FILE, Target, assemble
from fsengine.repository.golden.golden_answers import write_answers
from fsengine.repository.golden.recording import record_answers
from tool_command import ToolCommand


def record_golden(pack: Path) -> Path:
    """Ask the models of a pack on this CPU, in the embedded server, and return the file of what they answer.

    Raises:
        PackError: The pack is damaged, or a step gives no answer.
        ServerError: The embedded server does not start.
    """
    with tempfile.TemporaryDirectory() as folder:
        assemble(pack, Path(folder) / "repository", target=Target.PIP)
        write_answers(record_answers(Path(folder) / "repository"), pack / GOLDEN_FILE)
    return pack / GOLDEN_FILE


@click.command(cls=ToolCommand)
@click.argument("pack", type=click.Path(path_type=Path, exists=True, file_okay=False))
def main(pack: Path) -> None:
    """Record the golden answers of PACK, which servers and TensorRT plans are compared with.

    Example: python tools/record_golden.py packs/lite
    """
    click.echo(record_golden(pack))


if __name__ == "__main__":
    main()
