"""Five photos with 303 faces, and their results in three parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from refresh_for_tests import five_photos, three_parts


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return five_photos(tmp_path / "photos")


@pytest.fixture
def results(tmp_path: Path, photos: Path) -> Path:
    return three_parts(tmp_path / "out", photos)
