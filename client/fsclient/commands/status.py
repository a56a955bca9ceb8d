"""`fsclient status`: what a running server says of itself."""

from __future__ import annotations

import asyncio
import json

import click

from fsclient.backend.server_metrics import ServerMetrics, read_metrics
from fsclient.backend.server_status import server_statuses
from fsclient.commands.options import given_access, running_server_options
from fsclient.commands.status_text import metrics_lines, status_blocks
from fsengine.errors import InvalidInputError
from fsengine.terminal.tables import Block, show

UNREACHABLE = 4


@click.command()
@running_server_options
@click.option("--metrics", metavar="URL", help="Its metrics, for what waits and for memory: http://HOST:PORT/metrics.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON alone.")
def status(server: str | None, metrics: str | None, as_json: bool) -> None:
    """Show what a running server serves, how it is, and what its steps did.

    Exits with 0 where every server that is named is ready, with 4 otherwise.

    Example: fsclient status --server localhost:8001
    """
    if server is None:
        raise InvalidInputError("no server is named: give --server HOST:PORT, or set FACESTATS_SERVER")
    statuses = asyncio.run(server_statuses(server, given_access(server)))
    measured = ServerMetrics() if metrics is None else read_metrics(metrics)
    if as_json:
        told = [one.to_dict() for one in statuses]
        extra = {} if metrics is None else {"waiting": measured.waiting, "memory": measured.memory}
        click.echo(json.dumps({"servers": told, **extra}, indent=1))
    else:
        blocks: list[Block] = [block for one in statuses for block in status_blocks(one)]
        show([*blocks, *([] if metrics is None else metrics_lines(measured))])
    raise SystemExit(0 if all(one.problem is None for one in statuses) else UNREACHABLE)
