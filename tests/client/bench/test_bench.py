"""What `bench` makes of answers and failures, without a server."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from counting_backend import INSTANCES, CountingBackend, faces_or, measure, workload
from fsclient.backend.served_capacity import ServedCapacity
from fsclient.bench.benchmark import BenchResult, levels_within
from fsclient.bench.level import latency_percentiles
from fsclient.bench.speed_report import bench_blocks
from fsclient.bench.workload import read_workload
from fsclient.cli import main
from fsclient.testing import ensemble
from fsengine.errors import DeadlineError, InferenceError, InvalidInputError, PhotoRejectedError, ServerUnavailableError
from fsengine.terminal.tables import plain_text
from plain_headers import PLAIN_JPEG


def test_percentiles_are_latencies_that_were_measured() -> None:
    found = latency_percentiles([float(value) for value in range(200, 0, -1)])
    assert found == {"p50": 100, "p90": 180, "p95": 190, "p99": 198, "max": 200}
    assert latency_percentiles([7.5]) == dict.fromkeys(("p50", "p90", "p95", "p99", "max"), 7.5)
    assert latency_percentiles([]) is None


def test_what_the_client_itself_takes_is_measured(tmp_path: Path) -> None:
    def respond(data: bytes) -> int:
        until = time.process_time() + 0.02
        while time.process_time() < until:
            pass
        return 1

    class Idle(CountingBackend):
        async def infer(self, *args: Any, **settings: Any) -> Any:
            await asyncio.sleep(0.2)
            return await super().infer(*args, **settings)

    photos = workload(tmp_path, [PLAIN_JPEG])
    busy, idle = measure(CountingBackend(respond), photos, rounds=20), measure(Idle(lambda _: 1), photos)
    # 0.4 s of the processor, of which others on this machine may take their part of the time.
    assert busy.client_busy_share == pytest.approx(0.4 / busy.seconds, rel=0.25)
    assert idle.client_busy_share < 0.25


def test_large_photos_that_go_alone_are_counted_where_they_went(tmp_path: Path) -> None:
    class Merging(CountingBackend):
        capacity = ServedCapacity(large_alone=True)

    large = io.BytesIO()
    Image.new("L", (6000, 5000)).save(large, "JPEG")
    backend = Merging(lambda _: 1, alone=lambda _: 2)
    level = measure(backend, workload(tmp_path, [PLAIN_JPEG, large.getvalue()]), rounds=2, warm_up_photos=0)
    assert (len(backend.requests), len(backend.requests_alone)) == (2, 2)
    assert {stage.name: stage.counted.requests for stage in level.stages} == {
        "decode": 2,
        "decode_isolated": 2,
        "detect": 4,
    }
    assert not any("used the server too" in note or "anew" in note for note in level.notes)


@pytest.mark.parametrize(
    ("room", "levels"), [(None, (1, 8, 64, 128)), (200, (1, 8, 64, 128)), (20, (1, 8, 20)), (1, (1,))]
)
def test_levels_stay_within_what_the_server_has_room_for(room: int | None, levels: tuple[int, ...]) -> None:
    assert levels_within((1, 8, 64, 128), room) == levels


def test_every_photo_is_sent_in_every_round_and_failures_are_counted_by_photo(tmp_path: Path) -> None:
    photos = workload(
        tmp_path, [PLAIN_JPEG + b"\2", PLAIN_JPEG + b"\0", PLAIN_JPEG + b"\144", b"notes", b"", PLAIN_JPEG + b"\1"]
    )
    backend = CountingBackend(faces_or(PhotoRejectedError("in ensemble 'facestats', decode failed: cut short")))
    level = measure(backend, photos, rounds=3, warm_up_photos=5)
    assert photos.num_photos == 6
    assert len(backend.requests) == 5 + 3 * 4
    assert (level.rounds, level.traffic.requests, level.traffic.failed) == (3, 12, 3)
    assert (level.traffic.answered, level.traffic.num_faces) == (9, 9)
    assert level.failure_reasons == {"corrupt": 1, "unsupported": 2}
    assert [stage.counted.requests for stage in level.stages] == [12, 9]
    assert level.notes == ()


def test_without_a_number_of_rounds_a_level_has_one_at_least(tmp_path: Path) -> None:
    level = measure(CountingBackend(faces_or()), workload(tmp_path, [PLAIN_JPEG + b"\1"] * 5), rounds=None, seconds=0.0)
    assert (level.rounds, level.traffic.requests) == (1, 5)


def test_what_a_living_server_does_not_answer_is_a_failure_and_not_tried_again(tmp_path: Path) -> None:
    errors = ServerUnavailableError("Exceeds maximum queue size"), DeadlineError("no answer in time")
    backend = CountingBackend(faces_or(*errors))
    photos = workload(tmp_path, [PLAIN_JPEG + b"\1", PLAIN_JPEG + b"\144", PLAIN_JPEG + b"\145"])
    level = measure(backend, photos, rounds=2, warm_up_photos=0)
    assert len(backend.requests) == 6
    assert level.failure_reasons == {"unavailable": 1, "deadline": 1}
    assert (level.traffic.answered, level.traffic.unanswered) == (2, 4)


def test_a_photo_refused_for_its_neighbour_is_answered_alone_as_in_ingest(tmp_path: Path) -> None:
    backend = CountingBackend(faces_or(PhotoRejectedError("a neighbour's fault")), alone=lambda _: 4)
    level = measure(backend, workload(tmp_path, [PLAIN_JPEG + b"\1", PLAIN_JPEG + b"\144"]), rounds=2, warm_up_photos=0)
    assert len(backend.requests_alone) == 2
    assert (level.traffic.refused, level.traffic.answered, level.traffic.num_faces) == (2, 4, 10)
    assert not level.failures
    assert level.notes == ()
    assert {stage.name: stage.counted.requests for stage in level.stages} == {
        "decode": 4,
        "decode_isolated": 2,
        "detect": 4,
    }


def test_a_photo_alone_is_a_stage_only_where_one_was_decoded_so(tmp_path: Path) -> None:
    backend = CountingBackend(faces_or(), alone=lambda _: 4)
    level = measure(backend, workload(tmp_path, [PLAIN_JPEG + b"\1"]), rounds=2, warm_up_photos=0)
    assert [stage.name for stage in level.stages] == list(INSTANCES)


def test_time_in_the_server_holds_that_of_photos_decoded_alone(tmp_path: Path) -> None:
    # Both ensembles count what passes, and no stage is busy: little time in the server would be the client's fault.
    class Slow(CountingBackend):
        async def infer(self, *args: Any, **settings: Any) -> Any:
            await asyncio.sleep(0.02)
            return await super().infer(*args, **settings)

        async def statistics(self) -> Any:
            counted = await super().statistics()
            assert counted is not None
            return {
                name: replace(model, busy_ns=0, request_ns=10**12 * model.requests * (name == "facestats_isolated"))
                for name, model in counted.items()
            }

    backend = Slow(faces_or(PhotoRejectedError("a neighbour's fault")), alone=lambda _: 4)
    level = measure(backend, workload(tmp_path, [PLAIN_JPEG + b"\144"]), rounds=2, warm_up_photos=0)
    assert level.bound_by == "concurrency"


def test_without_an_answer_nothing_is_said_to_bound_the_speed(tmp_path: Path) -> None:
    backend = CountingBackend(faces_or(PhotoRejectedError("decode failed: cut short")))
    photos = workload(tmp_path, [PLAIN_JPEG + b"\144"])
    level = measure(backend, photos, rounds=2, warm_up_photos=0)
    assert (level.traffic.answered, level.bound_by) == (0, None)
    assert level.stages
    assert "no photo was answered" in level.notes[0]
    result = BenchResult(server="localhost:8001", served=ensemble(), num_photos=1, levels=[level])
    text = plain_text(bench_blocks(result))
    assert text.splitlines()[-1].startswith("no photo was answered")


@pytest.mark.parametrize("question", ["served", "statistics"])
def test_a_connection_that_broke_is_asked_again(tmp_path: Path, question: str) -> None:
    class Dropped(CountingBackend):
        refusals = 2

        async def served(self) -> Any:
            self._refuse("served")
            return await super().served()

        async def statistics(self) -> Any:
            self._refuse("statistics")
            return await super().statistics()

        def _refuse(self, asked: str) -> None:
            if asked == question and self.requests and self.refusals:
                self.refusals -= 1
                raise ServerUnavailableError("Stream removed")

    photos = workload(tmp_path, [PLAIN_JPEG + b"\1", PLAIN_JPEG + b"\144"])
    level = measure(Dropped(faces_or(ServerUnavailableError("Stream removed"))), photos, rounds=2, warm_up_photos=0)
    assert (level.traffic.answered, level.failure_reasons) == (2, {"unavailable": 1})


def test_no_more_workers_are_started_than_there_are_photos(tmp_path: Path) -> None:
    tasks = []

    class Watched(CountingBackend):
        async def infer(self, data: bytes, outputs: Sequence[str], *, orientation: int, alone: bool = False) -> Any:
            tasks.append(len(asyncio.all_tasks()))
            return await super().infer(data, outputs, orientation=orientation, alone=alone)

    level = measure(Watched(faces_or()), workload(tmp_path, [PLAIN_JPEG + b"\1"] * 3), 1024, rounds=1, warm_up_photos=2)
    assert level.traffic.requests == 3
    # The test itself is a task too.
    assert max(tasks) == 1 + 3


@pytest.mark.parametrize("error", [ServerUnavailableError("gone"), PhotoRejectedError("unknown model, gone")])
def test_a_lost_server_ends_the_run(tmp_path: Path, error: Exception) -> None:
    class Lost(CountingBackend):
        async def served(self) -> Any:
            if self.requests:
                raise error
            return await super().served()

    with pytest.raises(ServerUnavailableError, match="gone"):
        measure(Lost(faces_or(ServerUnavailableError("closed"))), workload(tmp_path, [PLAIN_JPEG + b"\144"] * 3))


def test_another_model_set_in_the_middle_is_refused(tmp_path: Path) -> None:
    class Replaced(CountingBackend):
        async def served(self) -> Any:
            return ensemble("set-2") if self.requests else await super().served()

    with pytest.raises(InferenceError, match=r"now serves model set set-2, this run began with set-1"):
        measure(Replaced(faces_or()), workload(tmp_path, [PLAIN_JPEG + b"\1"]), warm_up_photos=0)


@pytest.mark.parametrize(
    ("switch", "note", "num_stages"),
    [
        ({"restricted": True}, "does not give its statistics", 0),
        ({"restarts": True}, "began to count anew", 0),
        ({"forgotten": 4}, "began to count anew", 0),
        ({"others": 4}, "others used the server too, 4 requests", 2),
    ],
)
def test_statistics_that_cannot_be_trusted_are_said(
    tmp_path: Path, switch: dict[str, Any], note: str, num_stages: int
) -> None:
    backend = CountingBackend(faces_or())
    vars(backend).update(switch)
    level = measure(backend, workload(tmp_path, [PLAIN_JPEG + b"\1"] * 3), warm_up_photos=0)
    assert level.traffic.answered == 9
    assert note in level.notes[0]
    assert len(level.stages) == num_stages
    assert (level.bound_by is None) == (num_stages == 0)


def test_too_few_requests_for_a_level_are_said(tmp_path: Path) -> None:
    level = measure(CountingBackend(faces_or()), workload(tmp_path, [PLAIN_JPEG + b"\1"]), concurrency=8, rounds=3)
    assert "only 3 requests" in level.notes[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--concurrency", "4,0"], "no list of numbers from 1 to 1024"),
        (["--concurrency", "4;8"], "no list of numbers from 1 to 1024"),
        (["--concurrency", "4,1025"], "no list of numbers from 1 to 1024"),
        (["--concurrency", "9" * 5000], "no list of numbers from 1 to 1024"),
        (["--seconds", "nan"], "nan is no finite number"),
        (["--seconds", "inf"], "inf is no finite number"),
        (["--rounds", "2", "--seconds", "1"], "exclude each other"),
        (["--rounds", "0"], "0 is not in the range"),
        (["--server", "localhost"], "not HOST:PORT"),
        (["--server", "a:1", "--models", "lite", "--without", "ethnicity"], "exclude each other"),
    ],
)
def test_options_that_cannot_be_used_are_refused(photos: Path, arguments: list[str], message: str) -> None:
    done = CliRunner().invoke(main, ["bench", str(photos), *arguments])
    assert done.exit_code == 2, done.output
    assert message in done.output


def test_files_of_which_none_can_be_sent_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no photo")
    done = CliRunner().invoke(main, ["bench", str(tmp_path)])
    assert done.exit_code == 2
    assert "none of 1 files can be sent" in done.output
    with pytest.raises(InvalidInputError, match="expected photos"):
        read_workload([], lambda: None)


def test_a_server_that_is_not_there_is_exit_code_4(photos: Path) -> None:
    done = CliRunner().invoke(main, ["bench", str(photos), "--server", "127.0.0.1:9"])
    assert done.exit_code == 4
    assert "127.0.0.1:9 is unavailable" in done.stderr
    assert done.stdout == ""
