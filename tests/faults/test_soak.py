"""Thousands of requests, after which no process holds more memory than before: a client, Triton, each of its steps.

`FACESTATS_LONG_TESTS=1` makes 5,000 requests, `FACESTATS_SOAK_REQUESTS` as many as it says.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from encoded_photos import encoded
from fsengine.terminal.tables import Block, Table, plain_text
from long_tests import LONG
from memory_slope import slope
from restartable_server import RestartableServer
from watched_processes import Process

REQUESTS = int(os.environ.get("FACESTATS_SOAK_REQUESTS") or (5000 if LONG else 150))
WARM_UP = 0.3
"""Share of the requests after which readings count: libraries keep what the first ones made them take."""

READINGS = 60
MOST_MB_PER_THOUSAND = 1.0 if REQUESTS >= 5000 else 100.0
"""A few hundred requests are not enough to warm up, and show no more than a leak of a few pictures among them."""

ERRORS = 4.0
"""A slope counts as 0 within as many of its standard errors, or below the bound."""

MB = 1e6
LAST_WORDS_S = 60.0

CLIENT = """
import asyncio, sys
from pathlib import Path
from fsclient import AsyncClient

async def main(url, folder, requests, told_after):
    photos = [path.read_bytes() for path in sorted(Path(folder).iterdir())]
    numbers = iter(range(requests))
    done = 0
    async with AsyncClient(url) as client:
        async def ask():
            nonlocal done
            for number in numbers:
                await client.score(photos[number % len(photos)])
                done += 1
                if done % told_after == 0:
                    print(done, flush=True)
                    await asyncio.to_thread(sys.stdin.readline)
        await asyncio.gather(*(ask() for _ in range(8)))

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
"""
"""It asks with eight requests in flight; the one that ends a round waits until memory was read."""


@pytest.fixture(scope="module")
def server(fsclient_command: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RestartableServer]:
    started = RestartableServer(fsclient_command, tmp_path_factory.mktemp("soak"))
    try:
        started.start()
        started.wait()
        yield started
    finally:
        started.clear_away()


@pytest.fixture(scope="module")
def mix(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of ten photos four have a face, four have none, one has another size and kind, and one is damaged."""
    folder = tmp_path_factory.mktemp("mix")
    with Image.open(photos / "obama.jpg") as photo:
        face = photo.convert("RGB").resize((160, 200))
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    kinds = [encoded("JPEG", face), encoded("JPEG", noise)] * 4
    kinds += [encoded("PNG", face.resize((240, 300))), encoded("JPEG", face)[:200]]
    for number, data in enumerate(kinds):
        (folder / f"{number}").write_bytes(data)
    return folder


@pytest.mark.triton
def test_memory_does_not_grow_with_requests(
    server: RestartableServer, mix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told_after = max(1, REQUESTS // READINGS)
    command = [sys.executable, "-c", CLIENT, server.url, str(mix), str(REQUESTS), str(told_after)]
    with (
        (tmp_path / "said").open("w+") as said,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True) as client,
    ):
        assert client.stdin is not None
        assert client.stdout is not None
        own = Process.of(client.pid)
        assert own is not None
        running: dict[Process, str] = {}
        requests: list[int] = []
        readings: dict[Process, list[float]] = {}
        shared: list[float] = []
        for line in client.stdout:
            if not running:  # some begin with the first request
                running = {own: "client", **_named(server)}
                readings = {process: [] for process in running}
            requests.append(int(line))
            for process, read in readings.items():
                read.append(process.resident_bytes / MB)
            shared.append(_shared_bytes(server) / MB)
            client.stdin.write("\n")
            client.stdin.flush()
        assert client.wait(LAST_WORDS_S) == 0, (tmp_path / "said").read_text()
    assert requests[-1] > REQUESTS - told_after
    assert {own: "client", **_named(server)} == running, "a process of the server is another one than before"
    first = next(place for place, count in enumerate(requests) if count >= WARM_UP * REQUESTS)
    rows, growing = [], []
    for name, read in [*((running[process], read) for process, read in readings.items()), ("shared memory", shared)]:
        found = slope(requests[first:], read[first:])
        rows.append([name, f"{read[0]:.1f}", f"{read[first]:.1f}", f"{read[-1]:.1f}", str(found)])
        if found.per_thousand > MOST_MB_PER_THOUSAND and found.per_thousand > ERRORS * found.error:
            growing.append(name)
    header = ["process", "MB at first", "MB warm", "MB at last", "MB per 1000 requests"]
    with capsys.disabled():
        text: list[Block] = [
            f"\n{requests[-1]} requests, {requests[first]} of them to warm up",
            Table(header=header, rows=rows, align="lrrrr"),
        ]
        sys.stdout.write(plain_text(text) + "\n")
    assert growing == []


def _shared_bytes(server: RestartableServer) -> int:
    """Return what the server's steps hand each other tensors through."""
    assert server.first()
    regions = Path("/dev/shm").glob(f"facestats-{server.first()[0].pid}-*")
    return sum(512 * region.stat().st_blocks for region in regions)


def _named(server: RestartableServer) -> dict[Process, str]:
    """Return the server's processes with what they are."""
    found = dict.fromkeys(server.family.living(), "server")
    for process in server.triton():
        found[process] = "Triton"
    for process in server.steps():
        # Triton names an instance MODEL_GROUP_NUMBER.
        words = process.command.split()
        found[process] = next(word for word in words if word.count("_") >= 2 and word[-1].isdigit() and "/" not in word)
    return found


def test_a_leak_is_seen_and_noise_is_not() -> None:
    drawn = np.random.default_rng(1)
    requests = range(1500, 5000, 50)
    noise = drawn.normal(0.0, 0.5, len(requests)) + 200.0
    leak = slope(requests, noise + 2.0 * np.asarray(requests) / 1e3)
    assert abs(leak.per_thousand - 2.0) < 3 * leak.error
    assert leak.per_thousand > ERRORS * leak.error
    assert abs(slope(requests, noise).per_thousand) < 3 * slope(requests, noise).error
    assert slope(requests, [200.0] * len(requests)).per_thousand < 1e-9
