"""The `fsengine` command: plans for a GPU, and the program that a server container runs."""

from __future__ import annotations

import logging

import click

from fsengine.terminal.command_group import LazyGroup

_COMMANDS = {
    "build": ("fsengine.plans.commands", "compile a repository's graphs to TensorRT plans, and try them"),
    "start": ("fsengine.container.commands", "check a repository and become the server; the container's entrypoint"),
    "health": ("fsengine.container.commands", "say by the exit code whether the server is ready"),
    "assemble": ("fsengine.container.commands", "make the repository that a container serves"),
    "contract": ("fsengine.repository.commands", "print the contract of the served models as JSON"),
}
"""Name of each subcommand to the module that holds it and its line in the help."""


@click.group(cls=LazyGroup, lazy=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="facestats", prog_name="fsengine")
@click.option("-v", "--verbose", is_flag=True, help="Also write what happens to stderr.")
def main(verbose: bool) -> None:
    """TensorRT plans for the GPU at hand, and the server container.

    Example: fsengine build repository --out planned
    """
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
