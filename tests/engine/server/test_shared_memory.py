from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fsengine.errors import ServerError
from fsengine.server.shared_memory import (
    MAX_PHOTOS_IN_FLIGHT,
    free_shared_memory,
    photos_in_flight,
    process_start,
    region_prefix,
    remove_dead_regions,
)


@pytest.mark.parametrize(("mebibytes", "photos"), [(256, 5), (1024, 34), (1 << 20, MAX_PHOTOS_IN_FLIGHT)])
def test_room_bounds_the_photos_in_flight(mebibytes: int, photos: int) -> None:
    assert photos_in_flight(mebibytes << 20) == photos


def test_too_little_room_is_an_error_with_number_and_remedy() -> None:
    with pytest.raises(ServerError, match=r"64 MiB free.*needs \d+ MiB.*--shm-size"):
        photos_in_flight(64 << 20)


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="mount a tmpfs"):
        free_shared_memory(tmp_path / "none")


def test_only_regions_of_dead_servers_are_removed(tmp_path: Path) -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    alive = tmp_path / f"{region_prefix(os.getpid())}region"
    reused = tmp_path / f"facestats-{os.getpid()}-1-region"
    gone = tmp_path / f"facestats-{int(dead.stdout)}-5-region"
    other = tmp_path / "facestats-notes"
    for path in (alive, reused, gone, other):
        path.touch()
    assert sorted(remove_dead_regions(tmp_path)) == sorted([reused.name, gone.name])
    assert alive.exists()
    assert other.exists()


def test_a_process_is_told_by_its_start() -> None:
    assert process_start(os.getpid()) == process_start(os.getpid())
    assert process_start(2**22 + 1) is None
