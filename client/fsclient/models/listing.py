"""Packs and model sources for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fsengine.terminal.tables import Block, Table

if TYPE_CHECKING:
    from pathlib import Path

    from fsclient.models.name_to_repository import PackEntry
    from fsengine.packs.pack import PackModel


def packs_blocks(entries: Sequence[PackEntry], default: str) -> list[Block]:
    """Return the packs, each with a table of its models: sizes, precisions, licences and marks."""
    blocks: list[Block] = []
    for entry in entries:
        state = "here" if entry.pack else "not built"
        blocks.append(f"pack {entry.name}{' (default)' if entry.name == default else ''}: {state}, {entry.folder}")
        blocks.append(f"  {entry.summary}")
        if entry.pack is not None:
            rows = [_model_cells(entry.folder, step, model) for step, model in entry.pack.models.items()]
            blocks.append(Table(rows=rows, align="lrll", indent=2))
    return blocks


def _model_cells(folder: Path, step: str, model: PackModel) -> list[str]:
    path = folder / model.file
    size = _megabytes(path.stat().st_size) if path.is_file() else "MISSING"
    marks = f" [{', '.join(model.marks)}]" if model.marks else ""
    return [step, size, model.precision, f"{model.licence}{marks}"]


def sources_table(rows: Sequence[dict[str, Any]]) -> Table:
    """Return the sources: name, step, here or not, size, commercial use, what it is and its licence."""
    return Table(
        header=("source", "step", "here", "size", "commercial", "what, licence"),
        align="llllll",
        rows=[
            (
                row["name"],
                row["task"],
                "yes" if row["here"] else "no",
                _megabytes(row["size_bytes"]),
                "yes" if row["commercial_use"] else "NO",
                _what(row),
            )
            for row in rows
        ],
    )


def _what(row: dict[str, Any]) -> str:
    texts = [row["about"], row["licence"]]
    if row["trained_on"]:
        texts.append(f"trained on {row['trained_on']}")
    if not row["sha256"]:
        texts.append("hash pinned on first fetch")
    return "; ".join(texts)


def _megabytes(size_bytes: int | None) -> str:
    return "?" if size_bytes is None else f"{size_bytes / 1e6:.2f} MB"
