"""A folder that appears whole or not at all."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_folder(out: Path, prefix: str) -> Iterator[Path]:
    """Give a folder to fill, which takes the place of `out` when the context ends well.

    Args:
        out: Where it is to lie; what is there is replaced.
        prefix: How the name begins under which it is filled, beside `out`.

    Raises:
        OSError: It cannot be made there.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=out.parent) as temporary:
        beside = Path(temporary) / "new"
        beside.mkdir()
        yield beside
        if out.exists():
            out.rename(Path(temporary) / "replaced")
        beside.rename(out)
