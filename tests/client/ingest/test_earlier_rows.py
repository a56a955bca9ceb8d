from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fsclient import Client, open_results
from fsclient.ingest.reporting.summary import IngestSummary
from fsclient.ingest.reporting.summary_text import summary_text
from fsclient.photos.entry import FileEntry
from fsclient.photos.file_state import file_state
from fsclient.photos.photo_file import Photo, read_photo
from fsclient.testing import FakeBackend, answer
from fsdata.results.parts import part_paths
from fsdata.results.status import Status
from fsengine.errors import PhotoRejectedError
from plain_headers import PLAIN_PNG


def by_first_number(data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
    return answer(data[len(PLAIN_PNG)], outputs, value=float(data[len(PLAIN_PNG)]))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five photos; photo n has n faces."""
    (tmp_path / "photos").mkdir()
    for number in range(5):
        (tmp_path / "photos" / f"{number}.png").write_bytes(PLAIN_PNG + bytes([number]))
    return tmp_path / "photos"


def ingest(folder: Path, backend: FakeBackend, **settings: Any) -> IngestSummary:
    with Client(backend=backend) as client:
        return client.ingest(folder, folder.parent / "out", **settings)


def faces_of(out: Path) -> dict[str, list[float]]:
    faces: dict[str, list[float]] = {}
    for face in open_results(out).faces(["source", "x0"]).to_pylist():
        faces.setdefault(os.path.basename(face["source"]), []).append(face["x0"])
    return faces


def test_touched_photos_keep_their_rows_and_are_not_scored_again(folder: Path, tmp_path: Path) -> None:
    backend = FakeBackend(by_first_number)
    ingest(folder, backend, part_size=2)
    before = faces_of(tmp_path / "out")
    os.utime(folder / "3.png", ns=(5, 5))
    os.utime(folder / "0.png", ns=(6, 6))
    (folder / "4.png").write_bytes(PLAIN_PNG + bytes([2]))
    summary = ingest(folder, backend, part_size=2)
    assert len(backend.requests) == 6
    assert (summary.num_kept, summary.num_changed, summary.num_rows, summary.exit_code) == (2, 1, 1, 0)
    said = summary_text(summary, tmp_path / "out")
    assert "2 photos were touched since, with the same content: the rows were kept" in said
    assert "1 photo was changed since an earlier run and had to be scored again" in said
    assert faces_of(tmp_path / "out") == {**before, "4.png": [2.0, 2.0]}
    times = {row["source"]: row["mtime_ns"] for row in open_results(tmp_path / "out").photos().to_pylist()}
    assert (times[str(folder / "3.png")], times[str(folder / "0.png")]) == (5, 6)
    again = ingest(folder, backend)
    assert (again.num_kept, again.num_changed, again.num_done_before) == (0, 0, 5)
    assert len(part_paths(tmp_path / "out")) == 5


def test_ctrl_c_while_touched_photos_are_compared_keeps_what_was_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest(folder, FakeBackend(1))
    for photo in folder.iterdir():
        os.utime(photo, ns=(9, 9))
    read: list[bytes] = []

    def interrupted_read(path: bytes) -> Photo:
        read.append(path)
        if len(read) == 2:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            time.sleep(0.5)
        return read_photo(path)

    monkeypatch.setattr("fsclient.photos.entry.read_photo", interrupted_read)
    backend = FakeBackend(1)
    summary = ingest(folder, backend)
    assert (summary.num_kept, summary.num_left, summary.exit_code) == (2, 3, 130)
    assert (len(read), backend.requests) == (2, [])
    summary = ingest(folder, backend)
    assert (summary.num_kept, summary.num_done_before, summary.exit_code) == (3, 5, 0)


def test_what_failed_or_is_to_be_done_again_is_scored_though_only_touched(folder: Path, tmp_path: Path) -> None:
    def refuse(data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        raise PhotoRejectedError("onnx runtime error" if data[len(PLAIN_PNG)] == 1 else "decode failed: today")

    ingest(folder, FakeBackend(refuse))
    for photo in folder.iterdir():
        os.utime(photo, ns=(7, 7))
    backend = FakeBackend(by_first_number)
    summary = ingest(folder, backend)
    assert [data[len(PLAIN_PNG)] for data in backend.requests] == [1]
    assert (summary.num_kept, summary.all_statuses[Status.CORRUPT]) == (4, 4)
    for photo in folder.iterdir():
        os.utime(photo, ns=(8, 8))
    summary = ingest(folder, backend, retry_statuses=["corrupt"])
    assert (summary.num_kept, summary.num_rows) == (1, 4)
    assert summary.exit_code == 0
    summary = ingest(folder, backend, retry_statuses=["ok"])
    assert (summary.num_changed, summary.num_rows) == (0, 4)


def test_a_photo_that_became_a_pipe_is_not_waited_for(folder: Path) -> None:
    ingest(folder, FakeBackend(1))
    (folder / "1.png").unlink()
    os.mkfifo(folder / "1.png")
    summary = ingest(folder, FakeBackend(1), strict=True)
    assert summary.statuses == {Status.UNSUPPORTED: 1}


def test_gone_photos_are_counted_where_their_folder_is_a_source(folder: Path, tmp_path: Path) -> None:
    ingest(folder, FakeBackend(1))
    (folder / "2.png").unlink()
    (folder / "3.png").rename(folder / "3.txt")
    assert ingest(folder, FakeBackend(1), exclude=["0.png"]).num_gone == 2
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "1.png").write_bytes(PLAIN_PNG + b"\x01")
    with Client(backend=FakeBackend(1)) as client:
        summary = client.ingest(tmp_path / "others", tmp_path / "out")
        assert summary.num_gone == 0
        summary = client.ingest([folder, tmp_path / "others"], tmp_path / "out")
    said = summary_text(summary, tmp_path / "out")
    assert f"the results hold 2 photos that are gone; fsclient table prune {tmp_path / 'out'} drops them" in said


FAR_AWAY_S = [13_569_465_600, -9_300_000_000, -1]
"""In 2400, in 1675, and before 1970."""


@pytest.mark.parametrize("seconds", FAR_AWAY_S)
def test_a_file_of_another_age_is_a_row_and_is_found_again(folder: Path, tmp_path: Path, seconds: int) -> None:
    os.utime(folder / "1.png", (seconds, seconds))
    if os.stat(folder / "1.png").st_mtime_ns != seconds * 10**9:
        pytest.skip("this file system keeps no such time")
    assert ingest(folder, FakeBackend(1)).num_rows == 5
    assert ingest(folder, FakeBackend(1)).num_done_before == 5


def test_sizes_and_times_are_cut_alike_where_they_are_stored_and_compared(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = folder / "1.png"
    real = os.stat

    def far_away(path: Any, **options: Any) -> Any:
        info = list(real(path, **options))
        return os.stat_result(info, {"st_mtime_ns": 10**19})

    monkeypatch.setattr(os, "stat", far_away)
    file = read_photo(bytes(photo)).file
    state = FileEntry(bytes(photo)).state()
    assert (file.num_bytes, file.mtime_ns) == (len(PLAIN_PNG) + 1, 2**63 - 1)
    assert (file.num_bytes, file.mtime_ns) == (state.num_bytes, state.mtime_ns)
    np.array(file_state(os.stat(photo)).mtime_ns, np.int64)


def test_a_writer_that_fails_unexpectedly_stops_the_run_at_once(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5, 60):
        (folder / f"{number}.png").write_bytes(PLAIN_PNG + bytes([number]))

    def fail(*_: Any) -> None:
        raise OverflowError("not of this world")

    monkeypatch.setattr("fsdata.results.parts.rows_table", fail)
    backend = FakeBackend(1)
    with pytest.raises(OverflowError, match="not of this world"):
        ingest(folder, backend, part_size=2, concurrency=2)
    assert len(backend.requests) < 10


def test_a_progress_that_fails_stops_the_run_at_once(folder: Path) -> None:
    for number in range(5, 60):
        (folder / f"{number}.png").write_bytes(PLAIN_PNG + bytes([number]))

    def fail(_: Any) -> None:
        raise ZeroDivisionError

    def respond(data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        time.sleep(0.02)
        return answer(1, outputs)

    backend = FakeBackend(respond)
    with pytest.raises(ZeroDivisionError):
        ingest(folder, backend, concurrency=2, progress=fail)
    # The callback runs in the thread of the caller, which may be behind by a few.
    assert len(backend.requests) < 40
