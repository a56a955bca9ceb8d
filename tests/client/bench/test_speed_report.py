"""What `bench` tells people and programs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from counting_backend import INSTANCES, CountingBackend, faces_or, measure, workload
from fsclient.bench.benchmark import BenchResult
from fsclient.bench.speed_report import bench_blocks, bench_json, bench_report, notes_text
from fsclient.testing import ensemble
from fsengine.contracts.bench_report import BenchReport
from fsengine.errors import PhotoRejectedError
from fsengine.terminal.tables import plain_text
from plain_headers import PLAIN_JPEG


@pytest.fixture
def result(tmp_path: Path) -> BenchResult:
    photos = workload(tmp_path, [PLAIN_JPEG + b"\1", PLAIN_JPEG + b"\144", b"notes"])
    backend = CountingBackend(faces_or(PhotoRejectedError("decode failed: cut short")))
    levels = [measure(backend, photos, concurrency) for concurrency in (1, 2)]
    return BenchResult(server="localhost:8001", served=ensemble(), num_photos=photos.num_photos, levels=levels)


def test_json_has_the_best_level_on_top_and_all_below(result: BenchResult) -> None:
    told = bench_json(result)
    assert (told["photos"], told["failures"], told["failure_reasons"]) == (3, 2, {"corrupt": 1, "unsupported": 1})
    assert told["photos_per_second"] == max(level["photos_per_second"] for level in told["levels"])
    assert [level["concurrency"] for level in told["levels"]] == [1, 2]
    assert set(told["latency_ms"]) == {"p50", "p90", "p95", "p99", "max"}
    first = told["stages"][0]
    assert (first["name"], first["compute_us"], first["queue_us"], first["batch_size"]) == ("decode", 10, 2, 6)
    assert told["models"]["model_set_id"] == "set-1"
    assert told["marks"] == {"untrained weights": ["detect"]}
    assert result.exit_code == 3


def test_json_is_the_report_that_the_engine_reads(result: BenchResult) -> None:
    written = json.dumps(bench_json(result)).encode()
    read = msgspec.json.decode(written, type=BenchReport, strict=True)
    assert read == bench_report(result)
    assert set(json.loads(written)) == set(BenchReport.__struct_fields__)
    assert read.latency_ms is not None
    assert read.levels[0].stages[0].requests == read.stages[0].requests


def test_a_level_without_an_answer_has_no_latency(tmp_path: Path) -> None:
    photos = workload(tmp_path, [PLAIN_JPEG + b"\144"])
    level = measure(CountingBackend(faces_or(PhotoRejectedError("cut short"))), photos, rounds=1, warm_up_photos=0)
    told = bench_json(BenchResult(server="localhost:8001", served=ensemble(), num_photos=1, levels=[level]))
    assert (told["latency_ms"], told["bound_by"], told["failures"]) == (None, None, 1)


def test_the_table_has_a_line_for_each_level_and_each_stage(result: BenchResult) -> None:
    levels, stages = (part.splitlines() for part in plain_text(bench_blocks(result)).split("\n\n"))
    assert [line.split()[0] for line in levels] == ["in", "1", "2"]
    assert levels[1].split()[-2:] == ["6", "3"]
    assert [line.split()[0] for line in stages] == ["with", "stage", *INSTANCES, "bound"]
    assert len({len(line) for line in levels}) == len({len(line) for line in stages[1:-1]}) == 1


def test_people_read_why_photos_failed(result: BenchResult) -> None:
    said = "\n".join(notes_text(result))
    for expected in (
        "2 of 3 photos failed",
        "1.jpg: corrupt: decode failed: cut short",
        "2.jpg: unsupported",
        "marked",
    ):
        assert expected in said


@pytest.mark.parametrize(("share", "is_said"), [(0.95, True), (0.5, False)])
def test_a_client_that_takes_a_core_is_said(tmp_path: Path, share: float, is_said: bool) -> None:
    level = replace(
        measure(CountingBackend(faces_or()), workload(tmp_path, [PLAIN_JPEG + b"\1"])),
        client_busy_share=share,
        bound_by="client",
    )
    result = BenchResult(server="localhost:8001", served=ensemble(), num_photos=1, levels=[level])
    assert ("with 2 in flight: this program took 95% of a core" in " ".join(notes_text(result))) is is_said
    assert ("bound by this program: it takes 95 % of a core" in str(bench_blocks(result)[-1])) is is_said
    assert bench_json(result)["client_busy_share"] == share
