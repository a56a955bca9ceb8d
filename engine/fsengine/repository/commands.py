"""`fsengine contract`: what callers of a server may count on."""

from __future__ import annotations

import json

import click


@click.command()
def contract() -> None:
    """Print the contract of the served models as JSON: tensors, shapes, meanings, limits.

    Example: fsengine contract > contract.json
    """
    from fsengine.repository.published_contract import contract as published

    click.echo(json.dumps(published(), indent=1))
