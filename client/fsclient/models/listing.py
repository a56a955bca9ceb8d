"""Packs and model sources for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fsclient.models.pack_folders import PackEntry


def packs_text(entries: Sequence[PackEntry], default: str) -> str:
    """Return the packs, each with its models, their sizes, precisions, licences and marks."""
    lines = []
    for entry in entries:
        state = "here" if entry.pack else "not built"
        lines.append(f"pack {entry.name}{' (default)' if entry.name == default else ''}: {state}, {entry.folder}")
        lines.append(f"  {entry.summary}")
        if entry.pack is None:
            continue
        for step, model in entry.pack.models.items():
            marks = f" [{', '.join(model.marks)}]" if model.marks else ""
            path = entry.folder / model.file
            size = _megabytes(path.stat().st_size) if path.is_file() else "MISSING"
            lines.append(f"  {step:15}{size:>12}  {model.precision}  {model.licence}{marks}")
    return "\n".join(lines)


def sources_text(rows: Sequence[dict[str, Any]]) -> str:
    """Return the sources as a table: name, step, here or not, size, commercial use, what it is and its licence."""
    header = ("source", "step", "here", "size", "commercial", "what, licence")
    cells = [
        (
            row["name"],
            row["task"],
            "yes" if row["here"] else "no",
            _megabytes(row["size_bytes"]),
            "yes" if row["commercial_use"] else "NO",
            f"{row['about']}; {row['licence']}" + ("" if row["sha256"] else "; hash pinned on first fetch"),
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in (header, *cells)) for column in range(len(header) - 1)]
    return "\n".join(
        "  ".join([*(text.ljust(width) for text, width in zip(line, widths, strict=False)), line[-1]])
        for line in (header, *cells)
    )


def _megabytes(size_bytes: int | None) -> str:
    return "?" if size_bytes is None else f"{size_bytes / 1e6:.2f} MB"
