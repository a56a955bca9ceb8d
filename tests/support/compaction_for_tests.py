"""What the parts of a folder hold, read as they lie there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from fsdata.results.parts import part_paths


def stored(folder: Path) -> list[dict[str, Any]]:
    """Return every row of every part, in their order."""
    return [row for path in part_paths(folder) for row in pq.read_table(path).to_pylist()]


def counting_rows(*folders: Path) -> dict[str, dict[str, Any]]:
    """Return the row of each photo that counts, as a dict finds it, folders later in the list being later."""
    return {row["source"]: row for folder in folders for row in stored(folder)}
