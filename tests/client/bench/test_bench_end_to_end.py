"""`fsclient bench` against the real embedded server: counts are exact, whatever the speed."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fsclient.backend.triton import TritonBackend
from fsclient.models.name_to_repository import served_repository
from fsdata.sample_photos import sample_photos
from fsengine.server import binary
from fsengine.server.embedded import EmbeddedServer
from terminal_for_tests import Shown, on_terminal

pytestmark = pytest.mark.triton

TIMEOUT_S = 240
STEPS = ["decode", "detect", "align", "embed", "ethnicity", "age_gender"]
STEPS_WITH_ALONE = ["decode", "decode_isolated", *STEPS[1:]]


def bench(command: list[str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, "bench", *map(str, arguments)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


@contextmanager
def serving(command: list[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `fsclient serve` and give it with its address."""
    server = subprocess.Popen([*command, "serve"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert server.stdout is not None
        yield server, server.stdout.readline().strip()
    finally:
        server.terminate()
        server.communicate(timeout=TIMEOUT_S)


@contextmanager
def measuring(command: list[str], photos: Path, url: str) -> Iterator[tuple[subprocess.Popen[str], Shown]]:
    """Start a bench that would take ten minutes, and give it when it measures, with what it shows on a terminal."""
    options = ["--server", url, "--seconds", "600", "--warm-up", "1", "--concurrency", "2"]
    with on_terminal([*command, "bench", str(photos), *options]) as (client, shown):
        # The progress bar shows a number of photos once some are done.
        assert shown.wait_for(r"2 in flight[^\r\n]* [1-9]\d* photos", TIMEOUT_S), shown.text
        yield client, shown


@pytest.fixture
def folder(tmp_path: Path, photos: Path) -> Path:
    """The shipped photos, one that is cut short and a file that is none."""
    folder = tmp_path / "photos"
    shutil.copytree(photos, folder)
    (folder / "cut.jpg").write_bytes((photos / "obama.jpg").read_bytes()[:2000])
    (folder / "notes.txt").write_text("no photo")
    return folder


def test_counts_are_exact_against_a_served_server(folder: Path, fsclient_command: list[str]) -> None:
    with serving(fsclient_command) as (_, url):
        options = ("--concurrency", "1,6", "--rounds", "1", "--warm-up", "2", "--json")
        done = bench(fsclient_command, folder, "--server", url, *options)
    assert done.returncode == 3, done.stderr
    told = json.loads(done.stdout)
    assert (told["photos"], told["failures"]) == (13, 2)
    assert told["failure_reasons"] == {"corrupt": 1, "unsupported": 1}
    assert (told["server"], told["runtime"], told["models"]["pack"]) == (url, "triton 2.51.0", "lite")
    assert told["marks"] == {
        "lite: small permissive models": ["detect", "embed", "ethnicity", "age_gender"],
        "recognises people": ["embed"],
    }
    assert [level["concurrency"] for level in told["levels"]] == [1, 6]
    assert told["photos_per_second"] == max(level["photos_per_second"] for level in told["levels"]) > 0
    no_face = sum(photo.num_faces == 0 for photo in sample_photos())
    for level in told["levels"]:
        assert (level["requests"], level["failed_requests"], level["rounds"]) == (12, 1, 1)
        assert round(level["photos_per_second"] * level["seconds"]) == 11
        assert level["notes"] == []
        stages = {stage["name"]: stage for stage in level["stages"]}
        # The photo that is cut short is decoded alone too.
        assert list(stages) == STEPS_WITH_ALONE
        assert {name: stage["requests"] for name, stage in stages.items()} == {
            **dict.fromkeys(STEPS, 11),
            "decode": 12,
            "decode_isolated": 1,
        }
        # A photo without a face is one row of the steps on faces.
        num_faces = round(level["faces_per_second"] * level["seconds"])
        rows = {name: stage["rows"] for name, stage in stages.items()}
        assert rows == {
            "decode": 12,
            "decode_isolated": 1,
            "detect": 11,
            "align": 11,
            **dict.fromkeys(("embed", "ethnicity", "age_gender"), num_faces + no_face),
        }
        for stage in stages.values():
            assert stage["batch_size"] == pytest.approx(stage["rows"] / stage["executions"], abs=0.01)
            assert stage["compute_us"] > 0
            assert 0 < stage["busy_share"] < 1.05
        assert level["bound_by"] in (*STEPS, "concurrency")
        assert 0 < level["latency_ms"]["p50"] <= level["latency_ms"]["p99"] <= level["latency_ms"]["max"]
    # With one photo in flight nothing shares a decode, and with six something does.
    alone, together = (level["stages"][0]["executions"] for level in told["levels"])
    assert together < alone == 12


def test_a_table_alone_is_on_stdout_and_the_rest_on_stderr(photos: Path, fsclient_command: list[str]) -> None:
    done = bench(fsclient_command, photos, "--models", "lite", "--concurrency", "4", "--rounds", "1", "--warm-up", "0")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("in flight  photos/s  faces/s")
    assert lines[1].split()[-2:] == ["11", "0"]
    assert [line.split()[0] for line in lines[5:-1]] == STEPS
    assert lines[-1].startswith("bound by ")
    for expected in ("starting the embedded server", "with 11 photos", "each photo once", "small permissive models"):
        assert expected in done.stderr


def test_ctrl_c_and_a_lost_server_have_their_exit_codes(photos: Path, fsclient_command: list[str]) -> None:
    with serving(fsclient_command) as (server, url):
        with measuring(fsclient_command, photos, url) as (client, shown):
            client.send_signal(signal.SIGINT)
            out, _ = client.communicate(timeout=TIMEOUT_S)
        said = shown.text
        assert client.returncode == 130, said
        assert (out, "interrupted" in said, "Traceback" in said) == ("", True, False)
        with measuring(fsclient_command, photos, url) as (client, shown):
            server.terminate()
            out, _ = client.communicate(timeout=TIMEOUT_S)
        said = shown.text
        assert client.returncode == 4, said
        assert (out, "is unavailable" in said, "Traceback" in said) == ("", True, False)


def test_a_server_that_keeps_its_statistics_is_measured_without_stages(
    photos: Path, fsclient_command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = binary.server_command
    monkeypatch.setattr(
        binary,
        "server_command",
        lambda *args: [*plain(*args), "--grpc-restricted-protocol=statistics:key=secret"],
    )
    with EmbeddedServer(served_repository("lite", print)) as server:
        options = ("--concurrency", "2", "--rounds", "3", "--warm-up", "0", "--json")
        done = bench(fsclient_command, photos / "hopper.jpg", photos / "coffee.jpg", "--server", server.url, *options)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["photos"], told["requests"], told["stages"], told["bound_by"]) == (2, 6, [], None)
    assert "does not give its statistics" in told["notes"][0]
    assert "does not give its statistics" in done.stderr


def test_the_server_says_how_many_instances_each_step_has(lite_server: EmbeddedServer) -> None:
    async def asked() -> dict[str, int]:
        backend = TritonBackend(lite_server.url)
        try:
            await backend.served()
            return await backend.instances()
        finally:
            await backend.close()

    assert asyncio.run(asked()) == dict.fromkeys(STEPS_WITH_ALONE, 1) | {"detect": 2, "embed": 2}
