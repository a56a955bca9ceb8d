"""What `bench` makes of answers, failures and counters, without a server."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from fsclient.backend.address import Access, parse_address
from fsclient.backend.served_capacity import ServedCapacity
from fsclient.backend.statistics import ModelStatistics
from fsclient.bench.benchmark import BenchResult, levels_within
from fsclient.bench.bottleneck import Stage, bound_by, foreign_requests, since, stages_of
from fsclient.bench.level import Level, latency_percentiles
from fsclient.bench.measure import Bench, BenchConfig
from fsclient.bench.perf_analyzer import perf_analyzer_line, perf_data_paths, write_perf_data
from fsclient.bench.speed_report import bench_blocks, bench_json, bench_report, notes_text
from fsclient.bench.workload import Workload, read_workload
from fsclient.cli import main
from fsclient.testing import FakeBackend, answer, ensemble
from fsengine.contracts.bench_report import BenchReport
from fsengine.errors import DeadlineError, InferenceError, InvalidInputError, PhotoRejectedError, ServerUnavailableError
from fsengine.terminal.tables import plain_text
from plain_headers import PLAIN_JPEG

INSTANCES = {"decode": 1, "detect": 2}


def statistics(requests: int = 0, **changes: int) -> ModelStatistics:
    """Return counters in which each request waits 2 us, and two requests of 3 rows make an execution of 10 us."""
    executions = requests // 2
    values = {
        "requests": requests,
        "rows": 3 * requests,
        "executions": executions,
        "request_ns": 12_000 * requests,
        "queue_ns": 2_000 * requests,
        "compute_ns": 10_000 * requests,
        "busy_ns": 10_000 * executions,
    }
    return ModelStatistics(**{**values, **changes})


class CountingBackend(FakeBackend):
    """Counts what it answers as Triton does, and a refused photo at its first step alone."""

    restricted = False
    restarts = False
    forgotten = 0
    others = 0

    def __init__(self, respond: Callable[[bytes], int], *, alone: Callable[[bytes], int] | None = None) -> None:
        super().__init__(
            lambda data, outputs: self._answered(respond(data), outputs),
            respond_alone=alone and (lambda data, outputs: self._answered_alone(alone(data), outputs)),
        )
        self.answered = 0
        self.answered_alone = 0

    def _answered(self, num_faces: int, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        self.answered += 1
        return answer(num_faces, outputs)

    def _answered_alone(self, num_faces: int, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        self.answered_alone += 1
        return answer(num_faces, outputs)

    async def statistics(self) -> dict[str, ModelStatistics] | None:
        if self.restricted:
            return None
        if self.restarts:
            return dict.fromkeys(("facestats", *INSTANCES), statistics(0 if self.answered else 5))
        others = self.others - self.forgotten if self.answered else 0
        counted = {
            "facestats": statistics(self.answered + others),
            "decode": statistics(len(self.requests) + others),
            "detect": statistics(self.answered + self.answered_alone + others),
        }
        if self.isolates:
            counted |= dict.fromkeys(("facestats_isolated", "decode_isolated"), statistics(self.answered_alone))
        return counted

    async def instances(self) -> dict[str, int]:
        return {"decode": 1, "decode_isolated": 1, "detect": 2} if self.isolates else INSTANCES


def workload(folder: Path, photos: Iterable[bytes]) -> Workload:
    """Write photos and read them."""
    paths = []
    for number, content in enumerate(photos):
        path = folder / f"{number}.jpg"
        path.write_bytes(content)
        paths.append(bytes(path))
    return read_workload(paths, lambda: None)


def measure(backend: CountingBackend, photos: Workload, concurrency: int = 2, **settings: Any) -> Level:
    async def run() -> Level:
        bench = Bench(
            workload=photos,
            config=BenchConfig(concurrencies=(concurrency,), **{"rounds": 3, **settings}),
            backend=backend,
            served=await backend.served(),
            instances=await backend.instances(),
        )
        await bench.warm_up(lambda: None)
        return await bench.measure(concurrency, lambda: None)

    return asyncio.run(run())


def faces_or(*errors: Exception) -> Callable[[bytes], int]:
    """Return an answer that is the photo's last byte as a number of faces, or one of the errors where that is above."""

    def respond(data: bytes) -> int:
        number = data[-1]
        if number >= 100:
            raise errors[number - 100]
        return number

    return respond


def test_percentiles_are_latencies_that_were_measured() -> None:
    found = latency_percentiles([float(value) for value in range(200, 0, -1)])
    assert found == {"p50": 100, "p90": 180, "p95": 190, "p99": 198, "max": 200}
    assert latency_percentiles([7.5]) == dict.fromkeys(("p50", "p90", "p95", "p99", "max"), 7.5)
    assert latency_percentiles([]) is None


def test_a_stage_has_times_per_request_and_is_busy_per_execution() -> None:
    counted = since({"detect": statistics(10)}, {"detect": statistics(110)})
    assert counted is not None
    (stage,) = stages_of(counted, {"detect": 2}, seconds=500e-6)
    assert (stage.name, stage.counted.requests, stage.counted.executions) == ("detect", 100, 50)
    assert (stage.compute_us, stage.queue_us, stage.batch_size) == (10.0, 2.0, 6.0)
    # 50 executions of 10 us, on two instances, in 500 us.
    assert stage.busy_share == pytest.approx(0.5)


def test_a_stage_without_requests_has_no_time() -> None:
    stage = Stage(name="detect", instances=1, counted=statistics(0), seconds=1.0)
    assert (stage.compute_us, stage.queue_us, stage.batch_size, stage.busy_share) == (0, 0, 0, 0)


@pytest.mark.parametrize("now", [{"detect": statistics(8)}, {}])
def test_counters_that_fell_or_went_are_no_difference(now: dict[str, ModelStatistics]) -> None:
    assert since({"detect": statistics(10)}, now) is None


def stage(name: str, busy_share: float) -> Stage:
    return Stage(name=name, instances=1, counted=statistics(2, busy_ns=round(busy_share * 1e9)), seconds=1.0)


@pytest.mark.parametrize(
    ("busy", "server_share", "client_share", "expected"),
    [
        ((0.2, 0.9), 0.9, 0.5, "detect"),
        ((0.95, 0.9), 0.9, 0.5, "decode"),
        ((0.2, 0.9), 0.3, 0.99, "detect"),
        ((0.2, 0.5), 0.9, 0.5, "concurrency"),
        ((0.2, 0.5), 0.3, 0.5, "client"),
        ((0.2, 0.5), 0.9, 0.95, "client"),
    ],
)
def test_the_busiest_stage_bounds_the_speed_where_it_hardly_rests(
    busy: tuple[float, float], server_share: float, client_share: float, expected: str
) -> None:
    stages = [stage(name, share) for name, share in zip(INSTANCES, busy, strict=True)]
    assert bound_by(stages, server_share, client_share) == expected


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


def test_large_photos_that_go_alone_are_counted_where_they_went(tmp_path: Path) -> None:
    class Merging(CountingBackend):
        capacity = ServedCapacity(large_alone=True)  # type: ignore[assignment]

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
    ("facestats", "decode", "detect", "expected"),
    [(8, 10, 8, 0), (11, 13, 11, 3), (8, 12, 8, 2), (8, 10, 17, 7), (7, 9, 7, 0)],
)
def test_more_requests_than_were_sent_are_somebody_elses(
    facestats: int, decode: int, detect: int, expected: int
) -> None:
    counted = {
        "facestats": statistics(facestats),
        "decode": statistics(decode),
        "detect": statistics(detect),
    }
    assert foreign_requests(counted, INSTANCES, sent=10, refused=2) == expected


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


def test_perf_analyzer_is_given_the_photos_that_are_sent(tmp_path: Path) -> None:
    photos = [PLAIN_JPEG + b"\1", PLAIN_JPEG + b"\2"]
    sent, file = workload(tmp_path, photos), tmp_path / "data.json"
    write_perf_data(sent, file, perf_data_paths([], overwrite=False))
    requests = json.loads(file.read_text())["data"]
    assert [base64.b64decode(one["encoded_image"]["content"]["b64"]) for one in requests] == photos
    assert [one["encoded_image"]["shape"] for one in requests] == [[1, len(photo)] for photo in photos]
    assert [base64.b64decode(one["orientation"]["b64"]) for one in requests] == [b"\1", b"\1"]


def test_perf_data_replaces_no_photo_and_no_other_file_unasked(tmp_path: Path) -> None:
    photo = tmp_path / "0.jpg"
    photo.write_bytes(PLAIN_JPEG)
    (tmp_path / "mine.json").write_text("mine")
    kept = ["bench", str(photo), "--server", "127.0.0.1:1", "--write-perf-data", str(tmp_path / "mine.json")]
    done = CliRunner().invoke(main, kept)
    assert done.exit_code == 2
    assert "replace it with --overwrite" in done.stderr
    assert (tmp_path / "mine.json").read_text() == "mine"
    done = CliRunner().invoke(main, ["bench", str(photo), "--server", "127.0.0.1:1", "--write-perf-data", str(photo)])
    assert done.exit_code == 2
    assert "one of the files that are read" in done.stderr
    assert photo.read_bytes() == PLAIN_JPEG


@pytest.mark.parametrize(
    ("server", "access", "line"),
    [
        (
            "10.0.0.1:8001",
            {},
            "perf_analyzer -m facestats -i grpc -u 10.0.0.1:8001 --async --input-data 'my data.json' "
            "--concurrency-range 64",
        ),
        (
            "grpcs://gpu:8001",
            {"certificate": Path("own.pem"), "key": Path("own.key")},
            "perf_analyzer -m facestats -i grpc -u gpu:8001 --async --input-data 'my data.json' --concurrency-range 64 "
            "--ssl-grpc-use-ssl --ssl-grpc-certificate-chain-file=own.pem --ssl-grpc-private-key-file=own.key",
        ),
        ("grpcs://gpu:8001", {"token": "a-token-of-some-length-1234567890"}, None),
    ],
)
def test_perf_analyzer_asks_the_same_server(server: str, access: dict[str, Any], line: str | None) -> None:
    shown = Access(**access)
    found = perf_analyzer_line(parse_address(server, shown), shown, Path("my data.json"), 64)
    assert found == line
