"""Options of all commands that read labelled photos, with one spelling and help each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

# Typed here, so that `--help` reads no table library; a test compares them with the enums.
KINDS = ("fairface", "utkface", "scut", "adience", "table", "folder")
ATTRIBUTES = ("gender", "age", "ethnicity", "rating", "identity")

F = TypeVar("F", bound=Callable[..., Any])


def label_options(function: F) -> F:
    """Add `--kind`, `--attribute` and `--column`."""
    for option in reversed(
        [
            click.option(
                "--kind", type=click.Choice(KINDS), help="What PATH is.  [default: told by names and columns]"
            ),
            click.option(
                "--attribute",
                type=click.Choice(ATTRIBUTES),
                help="What the names of sub-folders say, for --kind folder.  [default: told by the names]",
            ),
            click.option(
                "--column",
                "columns",
                nargs=2,
                multiple=True,
                metavar="WHAT NAME",
                help="Column of a table that has another name, such as --column ethnicity Herkunft; repeatable.",
            ),
        ]
    ):
        function = option(function)
    return function
