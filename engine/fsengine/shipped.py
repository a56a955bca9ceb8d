"""What ships with the project beside its code: the model repository and the `demo` pack.

In a wheel both lie inside this package; in a source tree they are folders at its top.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from fsengine.errors import PackError


def shipped_folder(name: str) -> Path:
    """Return a folder that ships with the project.

    Args:
        name: `model_repository` or `packs`.

    Raises:
        PackError: The installation is incomplete.
    """
    package = Path(str(files("fsengine")))
    candidates = (package / "shipped" / name, package.parents[1] / name)
    for folder in candidates:
        if folder.is_dir():
            return folder
    raise PackError(
        f"{name} is missing from this installation; looked in {', '.join(map(str, candidates))}. "
        "Install facestats again"
    )
