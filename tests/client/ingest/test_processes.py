from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from fsclient import Client
from fsclient.backend.server_retries import RetryPolicy
from fsclient.backend.triton import TritonBackend
from fsclient.ingest.photo_loop import ingest_photos
from fsclient.ingest.processes.worker_pool import usual_processes
from fsclient.ingest.resume import find_inputs, plan_ingest
from fsclient.ingest.settings import IngestConfig
from fsclient.models.name_to_repository import served_repository
from fsclient.testing import FakeBackend
from fsdata.results.parts import locked, part_paths
from fsengine.errors import InvalidInputError
from fsengine.server.embedded import EmbeddedServer
from fsengine.server.listening import Listening

TIMINGS = {"read_ms", "infer_ms", "attempts"}
NUM_PHOTOS = 40
WAIT_S = 30.0


def rows_of(out: Path) -> list[dict[str, Any]]:
    """Return the rows of a folder's parts, sorted, without what two runs do not have in common."""
    rows = [row for part in part_paths(out) for row in pq.read_table(part).to_pylist()]
    return sorted(({k: v for k, v in row.items() if k not in TIMINGS} for row in rows), key=lambda row: row["source"])


def assert_same_rows(out: Path, expected: list[dict[str, Any]]) -> None:
    found = rows_of(out)
    assert [row["source"] for row in found] == [row["source"] for row in expected]
    for one, other in zip(found, expected, strict=True):
        assert {k: v for k, v in one.items() if k != "faces"} == {k: v for k, v in other.items() if k != "faces"}
        assert len(one["faces"]) == len(other["faces"])
        for face, same in zip(one["faces"], other["faces"], strict=True):
            for name, value in face.items():
                # Crops of another batch, and so other kernels, may round otherwise.
                np.testing.assert_allclose(value, same[name], rtol=1e-3, atol=1e-3, err_msg=name)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    """A server for callers of any kind: without its front, Triton 2.51 can die of callers that are killed."""
    with EmbeddedServer(served_repository("lite", print), listening=Listening()) as started:
        yield started


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, photos: Path) -> Path:
    """A folder of copies of a small photo with a face."""
    folder = tmp_path_factory.mktemp("many")
    data = (photos / "hopper.jpg").read_bytes()
    for number in range(NUM_PHOTOS):
        (folder / f"{number:03d}.jpg").write_bytes(data + bytes([number]))
    return folder


@pytest.fixture(scope="module")
def by_one_process(many: Path, server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The rows of that folder from one process."""
    out = tmp_path_factory.mktemp("one")
    with Client(server.url) as client:
        client.ingest(many, out, processes=1)
    return rows_of(out)


@pytest.fixture
def begun(fsclient_command: list[str], many: Path, server: EmbeddedServer, tmp_path: Path) -> Any:
    """An ingest by two processes that has written its first part."""
    command = [*fsclient_command, "ingest", str(many), "--out", str(tmp_path / "out"), "--server", server.url]
    command += ["--processes", "2", "--part-size", "6"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        wait_until(lambda: (tmp_path / "out").is_dir() and part_paths(tmp_path / "out"))
        yield process
        process.kill()


def wait_until(holds: Any) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def workers_of(process: subprocess.Popen[str]) -> list[int]:
    listed = [task.read_text().split() for task in Path(f"/proc/{process.pid}/task").glob("*/children")]
    return [int(pid) for pids in listed for pid in pids if is_worker(int(pid))]


def is_worker(pid: int) -> bool:
    """Return whether a process is a worker that has not ended, not even as one that nobody waits for."""
    try:
        return "ingest_worker" in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False


def finish(many: Path, server: EmbeddedServer, out: Path) -> int:
    """Run again, and return the photos that were done before."""
    with Client(server.url) as client:
        summary = client.ingest(many, out, processes=2, part_size=6)
    assert summary.exit_code == 0
    return summary.num_done_before


def test_two_processes_give_the_rows_of_one(photos: Path, server: EmbeddedServer, tmp_path: Path) -> None:
    told: list[Any] = []
    with Client(server.url) as client:
        one = client.ingest(photos, tmp_path / "1", processes=1)
        two = client.ingest(photos, tmp_path / "2", processes=2, progress=told.append)
    assert_same_rows(tmp_path / "2", rows_of(tmp_path / "1"))
    assert (two.statuses, two.num_faces, two.exit_code) == (one.statuses, one.num_faces, one.exit_code)
    assert (told[-1].done, told[-1].total, told[-1].num_faces) == (two.num_rows, two.num_rows, two.num_faces)
    (part,) = part_paths(tmp_path / "2")
    sources = pq.read_table(part)["source"].to_pylist()
    assert sources == sorted(sources)


def test_parts_have_their_size_whoever_scored_their_photos(
    many: Path, by_one_process: Any, server: EmbeddedServer, tmp_path: Path
) -> None:
    assert finish(many, server, tmp_path) == 0
    assert [pq.read_metadata(part).num_rows for part in part_paths(tmp_path)] == [6] * 6 + [4]
    assert_same_rows(tmp_path, by_one_process)


def test_a_killed_run_leaves_no_process_and_goes_on(
    begun: subprocess.Popen[str], many: Path, by_one_process: Any, server: EmbeddedServer, tmp_path: Path
) -> None:
    workers = workers_of(begun)
    assert len(workers) == 2
    begun.kill()
    wait_until(lambda: not any(map(is_worker, workers)))
    assert 0 < finish(many, server, tmp_path / "out") < NUM_PHOTOS
    assert_same_rows(tmp_path / "out", by_one_process)


def test_a_killed_worker_is_an_error_and_costs_no_row(
    begun: subprocess.Popen[str], many: Path, by_one_process: Any, server: EmbeddedServer, tmp_path: Path
) -> None:
    os.kill(workers_of(begun)[0], signal.SIGKILL)
    _, said = begun.communicate(timeout=WAIT_S)
    assert begun.returncode == 1
    assert "a worker process of this run ended (SIGKILL)" in said
    assert 0 < finish(many, server, tmp_path / "out") < NUM_PHOTOS
    assert_same_rows(tmp_path / "out", by_one_process)


def test_ctrl_c_finishes_what_is_in_flight(
    begun: subprocess.Popen[str], many: Path, by_one_process: Any, server: EmbeddedServer, tmp_path: Path
) -> None:
    begun.send_signal(signal.SIGINT)
    _, said = begun.communicate(timeout=WAIT_S)
    assert begun.returncode == 130
    assert "unfinished; run the same command again to go on" in said
    assert "Traceback" not in said
    # Of 8 photos in flight, more than the part that was there.
    assert 6 < finish(many, server, tmp_path / "out") < NUM_PHOTOS
    assert_same_rows(tmp_path / "out", by_one_process)


def test_a_second_ctrl_c_gives_up_what_is_in_flight(begun: subprocess.Popen[str], tmp_path: Path) -> None:
    begun.send_signal(signal.SIGINT)
    time.sleep(0.02)
    begun.send_signal(signal.SIGINT)
    _, said = begun.communicate(timeout=WAIT_S)
    assert begun.returncode == 130
    assert "Traceback" not in said
    assert 6 <= len(rows_of(tmp_path / "out")) < NUM_PHOTOS


def test_a_server_that_is_gone_leaves_photos_unfinished(many: Path, tmp_path: Path) -> None:
    class Gone(FakeBackend):
        connect_again = partial(TritonBackend, "127.0.0.1:1")  # type: ignore[assignment]

    retry = RetryPolicy(attempts=2, first_wait_s=0.0, longest_wait_s=0.0)
    config = IngestConfig(sources=(str(many),), out=tmp_path, processes=2, retry=retry)
    with locked(tmp_path):
        plan = plan_ingest(config, find_inputs(config))
        summary = asyncio.run(ingest_photos(config, plan, Gone(), lambda *_: None))
    assert (summary.num_rows, summary.num_left, summary.exit_code) == (0, NUM_PHOTOS, 4)
    assert "127.0.0.1:1 is unavailable" in summary.unfinished[0][1]


def test_a_backend_of_this_process_stays_in_it(photos: Path, tmp_path: Path) -> None:
    with Client(backend=FakeBackend()) as client, pytest.raises(InvalidInputError, match="need a server"):
        client.ingest(photos, tmp_path, processes=2)


@pytest.mark.parametrize(
    ("concurrency", "num_photos", "num_cores", "processes"),
    [(8, 1_000_000, 64, 1), (128, 1_000_000, 16, 8), (128, 1_000_000, 64, 8), (128, 600, 64, 1), (256, 10**6, 2, 1)],
)
def test_processes_follow_what_the_server_takes_and_the_cores(
    concurrency: int, num_photos: int, num_cores: int, processes: int
) -> None:
    assert usual_processes(concurrency, num_photos, num_cores) == processes
