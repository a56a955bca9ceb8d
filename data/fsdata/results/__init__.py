"""Results in Parquet: parts with a row per photo, the ledger that they make, and faces read back from them.

    results = open_results("results")
    results.photos(), results.faces(), results.info, results.labels
    for batch in results.scan(["source", "x0", "embedding"]): ...

Importing this package does not load pyarrow; `open_results` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fsdata.results.reading import Results, open_results

__all__ = ["Results", "open_results"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fsdata.results import reading

    return getattr(reading, name)
