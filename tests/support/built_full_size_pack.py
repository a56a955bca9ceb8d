"""The test pack as the exporters write it now, whatever `FACESTATS_MODELS` holds of it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from fsclient.models.build_on_request import BuildChoice
from fsclient.models.pack_folders import pack_folder


@cache
def built_test_pack() -> Path:
    """Return the pack's folder; what has not changed is not exported again."""
    pytest.importorskip("torch", reason="torch is missing; it makes the test pack's CLIP graph")
    return pack_folder("test", print, BuildChoice())
