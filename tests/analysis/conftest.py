from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fsclient import Client
from fsengine.server.embedded import EmbeddedServer

for name in ("duckdb", "cv2", "onnxruntime"):
    pytest.importorskip(name, reason=f"{name} is missing: pip install 'facestats[analysis]'")


@pytest.fixture(scope="session")
def scored(lite_server: EmbeddedServer, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The photos that ship, copied to a folder of their own, and beside them their results, without crops.

    Every test reads these; one that adds crops or changes anything works on a copy.
    """
    folder = tmp_path_factory.mktemp("scored")
    for name in ("solvay_conference_1927.jpg", "obama.jpg", "hopper.jpg", "astronaut.jpg"):
        shutil.copy(photos / name, folder / name)
    with Client(lite_server.url) as client:
        client.ingest([folder], out=folder / "results")
    return folder


@pytest.fixture
def results_folder(scored: Path, tmp_path: Path) -> Path:
    """Results of their own for a test, of the photos of `scored`."""
    return Path(shutil.copytree(scored / "results", tmp_path / "results"))
