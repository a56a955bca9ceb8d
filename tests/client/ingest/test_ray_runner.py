from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ray_cluster
from fsclient import Client
from fsclient.backend.server_choice import ServerChoice
from fsclient.backend.server_retries import RetryPolicy
from fsclient.ingest.ray_runner.block_scorer import other_version_error
from fsclient.ingest.ray_runner.ray_settings import RaySettings
from fsdata.results.parts import part_paths
from fsengine.errors import InferenceError, InvalidInputError, ServerUnavailableError
from ray_cluster import FakeServers, RayRun, running_cluster, settings

pytest.importorskip("ray")

NUM_PHOTOS = 300
NUM_KILLED = 40
WAIT_S = 180.0
WORKERS = r"^ray::(MapWorker|NodeServer|StopSign)"
"""Ray's own agents of a node take a minute to notice that it is gone."""
OF_CONTENT = ("width", "height", "status", "reason", "converted", "faces_truncated", "model_set_id")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of two nodes of one core, with little memory."""
    with running_cluster(2) as started:
        yield started


@pytest.fixture(scope="module")
def bases(photos: Path) -> list[Path]:
    """Small photos, one without a face."""
    return [photos / name for name in ("astronaut.jpg", "coffee.jpg", "hopper.jpg")]


@pytest.fixture(scope="module")
def many(bases: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Copies of them, each with other bytes behind the photo."""
    folder = tmp_path_factory.mktemp("many")
    found = []
    for number in range(NUM_PHOTOS):
        base = bases[number % len(bases)]
        found.append(folder / f"{number:04d}-{base.name}")
        found[-1].write_bytes(base.read_bytes() + b"%d" % number)
    return found


@pytest.fixture(scope="module")
def rows_of_bases(bases: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Their rows by the runner of one machine, by name."""
    out = tmp_path_factory.mktemp("one")
    with Client.embedded() as client:
        client.ingest([str(base) for base in bases], out)
    return {Path(row["source"]).name: row for row in rows_in(out)}


def rows_in(out: Path) -> list[dict[str, Any]]:
    return [row for part in part_paths(out) for row in pq.read_table(part).to_pylist()]


def assert_same_rows(found: list[dict[str, Any]], photos: list[Path], of_bases: dict[str, Any]) -> None:
    """Check that each photo has one row, and that it is the one that its base has on one machine."""
    assert sorted(row["source"] for row in found) == [str(photo) for photo in photos]
    for row in found:
        photo = Path(row["source"])
        base = of_bases[photo.name.partition("-")[2]]
        assert row["content_hash"] == hashlib.sha256(photo.read_bytes()).hexdigest()
        assert {name: row[name] for name in OF_CONTENT} == {name: base[name] for name in OF_CONTENT}
        assert len(row["faces"]) == len(base["faces"])
        for face, same in zip(row["faces"], base["faces"], strict=True):
            for name, value in face.items():
                # Crops of another batch, and so other kernels, may round otherwise.
                np.testing.assert_allclose(value, same[name], rtol=1e-3, atol=1e-3, err_msg=name)


def processes(pattern: str) -> list[int]:
    """Return the processes whose command line matches."""
    pids = [int(folder.name) for folder in Path("/proc").glob("[0-9]*")]
    return [pid for pid in pids if pid != os.getpid() and re.search(pattern, command_of(pid))]


def node_servers() -> list[int]:
    """Return the servers that actors of this module's clusters hold; other tests may have servers of their own."""
    return [pid for pid in processes("tritonserver") if "ray::NodeServer" in command_of(parent_of(parent_of(pid)))]


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:  # it has just ended
        return ""


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def are_gone(servers: list[int]) -> bool:
    return not any("tritonserver" in command_of(pid) for pid in servers)


def when(num_rows: int, do: Callable[[RayRun], object]) -> Callable[[RayRun], None]:
    """Return what does something once so many rows have arrived."""
    done: list[int] = []

    def on_rows(run: RayRun) -> None:
        if not done and len(run.sources) >= num_rows:
            done.append(len(run.sources))
            do(run)

    return on_rows


def wait_until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_killed_run_leaves_no_process_and_goes_on(
    many: list[Path], rows_of_bases: dict[str, Any], fsclient_command: list[str], tmp_path: Path
) -> None:
    """Without an address the cluster is this machine, and lives as long as the run."""
    folder, out = tmp_path / "photos", tmp_path / "out"
    folder.mkdir()
    photos = [folder / photo.name for photo in many[:NUM_KILLED]]
    for photo, original in zip(photos, many, strict=False):
        photo.write_bytes(original.read_bytes())
    command = [*fsclient_command, "ingest", str(folder), "--out", str(out), "--runner", "ray", "--part-size", "6"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as begun:
        try:
            wait_until(lambda: begun.poll() is not None or (out.is_dir() and part_paths(out)))
            assert begun.poll() is None, begun.communicate()[1]
            servers = node_servers()
            assert servers
        finally:
            begun.kill()
        wait_until(lambda: are_gone(servers) and not processes(WORKERS))
    done = len(rows_in(out))
    assert 0 < done < NUM_KILLED
    again = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert (again.returncode, again.stdout) == (0, "")
    assert f"\n{done} of them were done before, {NUM_KILLED - done} now\n" in again.stderr
    assert_same_rows(rows_in(out), photos, rows_of_bases)


def test_rows_of_a_cluster_are_those_of_one_machine_though_a_worker_is_killed(
    cluster: Any, many: list[Path], rows_of_bases: dict[str, Any]
) -> None:
    """Each node serves itself; windows follow one another."""
    killed: list[int] = []
    servers: list[int] = []

    def kill(_: RayRun) -> None:
        servers.extend(node_servers())
        killed.append(processes(r"^ray::MapWorker\(.*ScoringActor")[0])
        os.kill(killed[0], signal.SIGKILL)

    given = settings(ServerChoice(models="lite"), cluster.address, window=150)
    run = RayRun(given, many, retry=RetryPolicy(), on_rows=when(60, kill)).run()
    assert killed
    assert run.left == []
    assert run.num_faces == sum(len(row["faces"]) for row in pa.concat_tables(run.tables).to_pylist())
    assert_same_rows(pa.concat_tables(run.tables).to_pylist(), many, rows_of_bases)
    assert len(servers) == 2
    wait_until(lambda: are_gone(servers))


def test_a_node_that_is_lost_costs_no_row(cluster: Any, many: list[Path]) -> None:
    node = cluster.add_node(num_cpus=1, object_store_memory=ray_cluster.STORE_BYTES)
    cluster.wait_for_nodes()
    lose = when(30, lambda _: cluster.remove_node(node, allow_graceful=False))
    run = RayRun(settings(FakeServers(0.05), cluster.address), many[:150], on_rows=lose).run()
    assert sorted(run.sources) == [str(photo) for photo in many[:150]]
    assert run.left == []


def test_stop_finishes_what_is_in_flight(cluster: Any, many: list[Path]) -> None:
    run = RayRun(settings(FakeServers(0.1), cluster.address), many, on_rows=when(1, lambda run: run.pool.stop())).run()
    assert 1 < len(run.sources) < NUM_PHOTOS
    assert len(set(run.sources)) == len(run.sources)
    assert run.left == []


def test_giving_up_waits_for_no_answer(cluster: Any, many: list[Path]) -> None:
    def give_up(run: RayRun) -> None:
        run.pool.stop()
        run.pool.give_up()

    slow = FakeServers(0.0, slow_after=32, slow_s=2 * WAIT_S)
    started = time.monotonic()
    run = RayRun(settings(slow, cluster.address), many, on_rows=when(1, give_up)).run()
    assert time.monotonic() - started < WAIT_S
    assert 1 < len(run.sources) < NUM_PHOTOS


def test_a_server_that_is_gone_leaves_photos_unfinished(cluster: Any, many: list[Path]) -> None:
    run = RayRun(settings(FakeServers(lost_after=20), cluster.address), many).run()
    assert 0 < len(run.sources) < NUM_PHOTOS
    assert run.left
    assert not set(run.sources) & {source for source, _ in run.left}
    assert {str(error) for _, error in run.left} == {"the fake server is gone"}


def test_a_server_of_other_models_is_an_error(cluster: Any, many: list[Path]) -> None:
    run = RayRun(settings(FakeServers(model_set_id="other"), cluster.address), many)
    with pytest.raises(InferenceError, match="serves model set other, this run began with set-1"):
        run.run()
    assert run.sources == []


def test_a_cluster_that_is_not_there_is_unavailable(many: list[Path]) -> None:
    with pytest.raises(ServerUnavailableError, match="Ray cluster"):
        RayRun(settings(FakeServers(), "127.0.0.1:1"), many).run()


@pytest.mark.parametrize("address", ["ray://head:10001", "http://head:8265"])
def test_addresses_of_other_kinds_are_refused(address: str) -> None:
    with pytest.raises(InvalidInputError, match="start it on a node of the cluster"):
        settings(FakeServers(), address)


def test_a_number_of_workers_is_checked() -> None:
    with pytest.raises(InvalidInputError, match="0 workers"):
        RaySettings(servers=FakeServers(), num_actors=0, request_timeout_s=1.0)


def test_without_ray_the_extra_is_named() -> None:
    program = (
        "import sys; sys.modules['ray'] = None; from ray_cluster import *; "
        "RayRun(settings(FakeServers(), None), []).run()"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(ray_cluster.__file__).parent)}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False
    )
    assert "MissingDependencyError: --runner ray needs ray: pip install 'facestats[ray]'" in result.stderr


def test_an_error_names_the_node_of_another_version() -> None:
    assert "node three of the Ray cluster has facestats 0.0.9" in str(other_version_error("three", "0.0.9", "0.1.0"))
