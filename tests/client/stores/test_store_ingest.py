"""Photos from object stores and results in them, against a real S3 server."""

from __future__ import annotations

import io
import itertools
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from numpy.typing import NDArray

from fsclient import Client, open_results
from fsclient.ingest.photo_workers import PhotoWorkers
from fsclient.ingest.reporting.summary import IngestSummary
from fsclient.testing import FakeBackend, answer
from fsdata.results.master_table import build_table, describe
from fsdata.results.status import Status
from fsengine.errors import InvalidInputError, ResultsError, StoreUnavailableError
from fsengine.files.stores import objects
from fsengine.server.embedded import EmbeddedServer
from plain_headers import PLAIN_PNG
from store_faults import (
    Cut,
    Delay,
    Fault,
    Hang,
    InsufficientStorage,
    LostAnswer,
    Refuse,
    Throttle,
    always,
    either,
    first_of_each,
    no_faults,
    only,
    sometimes,
)
from store_faults import Status as HttpStatus

if TYPE_CHECKING:
    from faulty_proxy import FaultyProxy
    from s3_server import S3Server


def photo(number: int) -> bytes:
    return PLAIN_PNG + bytes([number])


def by_number(data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
    return answer(data[len(PLAIN_PNG)] % 3, outputs, value=float(data[len(PLAIN_PNG)]))


def ingest(sources: str | list[str], out: str | Path, **options: Any) -> tuple[IngestSummary, FakeBackend]:
    backend = FakeBackend(by_number)
    with Client(backend=backend) as client:
        return client.ingest(sources, out=out, **options), backend


def faces(out: str | Path) -> list[dict[str, Any]]:
    rows = open_results(out).photos().select(["source", "status", "num_faces"]).to_pylist()
    return sorted(({**row, "source": row["source"].rpartition("/")[2]} for row in rows), key=lambda row: row["source"])


@pytest.fixture
def bucket(s3: S3Server) -> str:
    for number in range(12):
        s3.put(f"photos/{number:02d}.png", photo(number))
    return f"s3://{s3.bucket}"


def test_one_command_ends_in_parquet_in_the_store_with_the_rows_of_a_folder(
    bucket: str, s3: S3Server, tmp_path: Path
) -> None:
    for number in range(12):
        (tmp_path / "photos").mkdir(exist_ok=True)
        (tmp_path / "photos" / f"{number:02d}.png").write_bytes(photo(number))
    summary, _ = ingest(f"{bucket}/photos", f"{bucket}/results", part_size=5)
    ingest(str(tmp_path / "photos"), tmp_path / "out")
    assert (summary.num_rows, summary.exit_code) == (12, 0)
    assert faces(f"{bucket}/results") == faces(tmp_path / "out")
    assert s3.keys("results/") == [f"results/part-00000{number}.parquet" for number in (1, 2, 3)]
    again, backend = ingest([f"{bucket}/photos", f"{bucket}/photos/03.png"], f"{bucket}/results")
    assert (again.num_done_before, again.num_rows, backend.requests) == (12, 0, [])


def test_duckdb_reads_the_results_through_the_same_url(bucket: str, s3: S3Server) -> None:
    folder = os.environ.get("FACESTATS_DUCKDB_HTTPFS")
    if not folder:
        pytest.skip("FACESTATS_DUCKDB_HTTPFS names no folder with DuckDB and its extension httpfs")
    ingest(f"{bucket}/photos", f"{bucket}/results", part_size=5)
    build_table(open_results(f"{bucket}/results").folder)
    table = describe(open_results(f"{bucket}/results").folder).table
    assert table is not None
    assert table.num_faces == 12
    program = f"""
import duckdb
duckdb.sql("LOAD '{next(Path(folder).rglob("httpfs.duckdb_extension"))}'")
duckdb.sql("CREATE SECRET (TYPE s3, KEY_ID 'testing', SECRET 'testing', REGION 'us-east-1', URL_STYLE 'path',"
           " USE_SSL false, ENDPOINT '{s3.endpoint.removeprefix("http://")}')")
print(duckdb.sql("SELECT count(*), sum(len(faces)) FROM '{bucket}/results/part-*.parquet'").fetchall())
print(duckdb.sql("SELECT count(*) FROM '{bucket}/results/_table/faces.parquet'").fetchall())
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": folder},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.splitlines() == ["[(12, 12)]", "[(12,)]"], done.stderr


def test_a_prefix_a_pattern_a_list_and_a_shard_name_photos(bucket: str, s3: S3Server, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for number in range(3):
            member = tarfile.TarInfo(f"cat/{number}.png")
            member.size = len(photo(number))
            tar.addfile(member, io.BytesIO(photo(number)))
    s3.put("shards/p-000.tar", buffer.getvalue())
    s3.put("photos/deep/er.png", photo(1))
    s3.put("photos/notes.txt", b"words")
    s3.put("photosandmore/x.png", photo(2))
    s3.put("photos/folder/", b"")
    summary, _ = ingest(f"{bucket}/photos", tmp_path / "prefix")
    assert (summary.num_rows, dict(summary.skipped_files)) == (13, {"text": 1, "folder marker": 1})
    assert ingest(f"{bucket}/photos/*.png", tmp_path / "one")[0].num_rows == 12
    assert ingest(f"{bucket}/**/*.png", tmp_path / "two")[0].num_rows == 14
    assert ingest(f"{bucket}/photos/0{{1..3}}.png", tmp_path / "braces")[0].num_rows == 3
    s3.put("list.txt", f"{bucket}/photos/00.png\n{bucket}/gone.png\n{bucket}/shards/p-000.tar\n".encode())
    listed = [f"{bucket}/photos/00.png", f"{bucket}/gone.png", f"{bucket}/shards/p-000.tar"]
    summary, _ = ingest([], tmp_path / "list", listed=listed)
    assert summary.statuses == {Status.OK: 2, Status.NO_FACE: 2, Status.FAILED: 1}
    ((source, status, reason),) = summary.failures
    assert (source, status, reason) == (
        f"{bucket}/gone.png",
        Status.FAILED,
        f"cannot be read: {bucket}/gone.png is not there (any more)",
    )
    assert f"{bucket}/shards/p-000.tar!cat/2.png" in open_results(tmp_path / "list").photos()["source"].to_pylist()
    assert ingest([], tmp_path / "list", listed=listed, retry_statuses=[])[0].num_done_before == 5


@pytest.mark.parametrize(
    "source", ["s3://no-such-bucket/x", "{}/nothing/", "{}/nothing.png", "ftp://host/x", "s3:///x"]
)
def test_what_names_nothing_is_refused(bucket: str, source: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"does not exist|names no object|cannot be read|names no bucket"):
        ingest(source.format(bucket), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_store_that_throttles_cuts_and_loses_answers_changes_no_row(
    bucket: str, faulty_s3: FaultyProxy, tmp_path: Path
) -> None:
    faulty_s3.rule = either(
        only(first_of_each(2, Throttle()), methods=("GET",)),
        only(sometimes(0.3, Cut(40), Refuse(), Delay(0.05), seed=3), methods=("GET",)),
        only(first_of_each(1, LostAnswer()), methods=("PUT",)),
    )
    summary, _ = ingest(f"{bucket}/photos", f"{bucket}/results", part_size=4)
    assert (summary.num_rows, summary.exit_code) == (12, 0)
    faulty_s3.rule = no_faults
    assert open_results(f"{bucket}/results").num_photos == 12
    assert len(open_results(f"{bucket}/results").paths) == 3


def test_a_store_that_cannot_be_had_leaves_photos_unfinished_and_the_next_run_goes_on(
    bucket: str, faulty_s3: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "RETRY_S", 0.5)
    objects._store.cache_clear()
    faulty_s3.rule = only(always(Throttle()), methods=("GET",), containing="photos/05")
    summary, _ = ingest(f"{bucket}/photos", tmp_path / "out")
    assert (summary.num_rows, summary.num_left, summary.exit_code) == (11, 1, 4)
    ((source, reason),) = summary.unfinished
    assert source == f"{bucket}/photos/05.png"
    assert "SlowDown" in reason
    faulty_s3.rule = no_faults
    assert ingest(f"{bucket}/photos", tmp_path / "out")[0].num_rows == 1
    faulty_s3.rule = always(Throttle())
    with pytest.raises(StoreUnavailableError, match="cannot be had"):
        ingest(f"{bucket}/photos", tmp_path / "out2")
    objects._store.cache_clear()


def test_a_store_that_is_full_gives_an_error_and_no_part(
    bucket: str, s3: S3Server, faulty_s3: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "RETRY_S", 0.5)
    objects._store.cache_clear()
    faulty_s3.rule = only(always(InsufficientStorage()), methods=("PUT", "POST"))
    with pytest.raises(ResultsError, match=r"part-000001\.parquet cannot be written: .*(XMinioStorageFull|507)"):
        ingest(f"{bucket}/photos", f"{bucket}/results")
    assert s3.keys("results/") == []
    faulty_s3.rule = no_faults
    objects._store.cache_clear()
    assert ingest(f"{bucket}/photos", f"{bucket}/results")[0].exit_code == 0


def test_credentials_that_are_refused_are_told_and_in_no_message(
    bucket: str, faulty_s3: FaultyProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2-hunter2")
    faulty_s3.rule = always(HttpStatus(403, "AccessDenied"))
    with pytest.raises(StoreUnavailableError, match="refuses access") as caught:
        ingest(f"{bucket}/photos", tmp_path / "out")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(InvalidInputError, match="holds a user or a password") as refused:
        ingest("https://someone:hunter2@127.0.0.1/x.jpg", tmp_path / "out")
    assert "hunter2" not in str(refused.value)


def test_an_object_that_changes_is_scored_in_the_state_that_was_read(
    bucket: str, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = PhotoWorkers.run

    async def change_first(self: PhotoWorkers) -> None:
        s3.put("photos/07.png", photo(200))
        s3.delete("photos/08.png")
        await real(self)

    monkeypatch.setattr(PhotoWorkers, "run", change_first)
    summary, _ = ingest(f"{bucket}/photos", tmp_path / "out")
    monkeypatch.undo()
    for name, value in s3.environment().items():
        os.environ[name] = value
    assert (summary.num_rows, summary.statuses[Status.FAILED]) == (12, 1)
    s3.put("photos/09.png", photo(9))  # the same bytes once more: the ETag is the same
    s3.put("photos/10.png", photo(201))
    again, backend = ingest(f"{bucket}/photos", tmp_path / "out")
    assert [data[len(PLAIN_PNG)] for data in backend.requests] == [201]
    assert (again.num_done_before, again.num_changed) == (10, 1)


def test_two_runs_at_once_into_one_place_lose_nothing(bucket: str, s3: S3Server) -> None:
    runs = [
        threading.Thread(target=ingest, args=(f"{bucket}/photos", f"{bucket}/results"), kwargs={"part_size": 1})
        for _ in range(2)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert open_results(f"{bucket}/results").num_photos == 12
    assert len(s3.keys("results/")) == 24


def test_shares_of_a_bucket_are_disjoint_and_whole(bucket: str) -> None:
    counts = [ingest(f"{bucket}/photos", f"{bucket}/results", shard=(number, 3))[0].num_rows for number in range(3)]
    assert (sum(counts), open_results(f"{bucket}/results").num_photos) == (12, 12)
    assert min(counts) > 0


def test_keys_that_cannot_be_asked_for_are_named_and_cost_their_folder_alone(
    bucket: str, s3: S3Server, tmp_path: Path
) -> None:
    s3.put("photos/bad//1.png", photo(1))
    s3.put("photos/more/2.png", photo(2))
    summary, _ = ingest(f"{bucket}/photos", tmp_path / "out")
    assert (summary.num_rows, summary.exit_code) == (13, 3)
    ((_, reason),) = summary.unreadable
    assert "photos/bad" in reason
    assert "a//b" in reason


@pytest.mark.triton
def test_a_client_that_is_killed_goes_on_and_no_part_is_half_there(
    s3: S3Server, lite_server: EmbeddedServer, photos: Path, fsclient_command: list[str]
) -> None:
    names = sorted(photos.glob("*.jpg"))
    for number in range(24):
        s3.put(f"photos/{number:02d}.jpg", names[number % len(names)].read_bytes())
    source, out = f"s3://{s3.bucket}/photos", f"s3://{s3.bucket}/results"
    command = [*fsclient_command, "ingest", source, "--out", out, "--server", lite_server.url, "--part-size", "3"]
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=os.environ)
    while len(s3.keys("results/")) < 2 and child.poll() is None:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert 0 < open_results(out).num_photos < 24
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert open_results(out).num_photos == 24
    assert set(open_results(out).statuses()) == {"ok", "no_face"}


@pytest.fixture
def hung_ingest(
    s3: S3Server, faulty_s3: FaultyProxy, lite_server: EmbeddedServer, photos: Path, fsclient_command: list[str]
) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts an ingest against a store that, once three photos were read, answers no request of a method any more."""
    data = min(photos.glob("*.jpg")).read_bytes()
    for number in range(60):
        s3.put(f"photos/{number:02d}.jpg", data)
    source, out = f"s3://{s3.bucket}/photos/", f"s3://{s3.bucket}/results"
    command = [*fsclient_command, "ingest", source, "--out", out, "--server", lite_server.url, "--part-size", "1"]
    children = []

    def start(hanging: str) -> subprocess.Popen[str]:
        num_hung = itertools.count()

        def rule(method: str, path: str, number: int) -> Fault | None:
            is_meant = method == hanging and (method == "PUT" or "photos/photos/" in path)
            return Hang(300) if is_meant and next(num_hung) >= 3 else None

        faulty_s3.rule = rule
        children.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ))
        while not any(isinstance(request.fault, Hang) for request in faulty_s3.requests()):
            assert children[-1].poll() is None
            time.sleep(0.05)
        return children[-1]

    yield start
    for child in children:
        child.kill()


def test_a_second_signal_ends_a_run_that_waits_for_its_store(
    hung_ingest: Callable[[str], subprocess.Popen[str]], s3: S3Server
) -> None:
    child = hung_ingest("GET")
    time.sleep(1)
    child.send_signal(signal.SIGINT)
    time.sleep(1)
    assert child.poll() is None
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=15)
    assert child.returncode == 130, said
    assert "once more gives them up" in said
    assert open_results(f"s3://{s3.bucket}/results").num_photos == 3


def test_a_later_signal_ends_a_run_that_waits_to_write(
    hung_ingest: Callable[[str], subprocess.Popen[str]], s3: S3Server
) -> None:
    child = hung_ingest("PUT")
    for wait_s in (0.5, 0.5, 0.5, 3.5):
        time.sleep(wait_s)
        assert child.poll() is None
        child.send_signal(signal.SIGTERM)
    _, said = child.communicate(timeout=5)
    assert child.returncode == -signal.SIGTERM, said
    assert open_results(f"s3://{s3.bucket}/results").num_photos == 3
