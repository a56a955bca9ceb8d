"""Tables as Markdown, for docs/background/performance.md."""

from __future__ import annotations

from fsengine.terminal.tables import Table


def markdown(table: Table) -> str:
    """Return a table that has a header as Markdown."""
    assert table.header is not None
    lines = [table.header, ["---:" if side == "r" else "---" for side in table.align], *table.rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
