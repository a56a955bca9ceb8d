"""The full-size pack as the exporters write it now, whatever `FACESTATS_MODELS` holds of it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from fsengine.registry.home import models_home


def full_size_artifacts() -> Path:
    """Return the folder of the pack's artifacts, a folder for each step."""
    return models_home() / "artifacts" / "full-size"


@cache
def built_full_size_pack(assets: Path) -> Path:
    """Return the pack's folder; what has not changed since an earlier call or run is not exported again.

    Args:
        assets: Folder of the test assets.
    """
    pytest.importorskip("torch", reason="torch is missing; it makes the pack's CLIP graph")
    from full_size_pack import PACK_NAME, build_full_size_pack

    folder = models_home() / "packs" / PACK_NAME
    build_full_size_pack(assets, folder, full_size_artifacts(), print)
    return folder
