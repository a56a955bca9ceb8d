"""Client, server, workers and store killed, hung, cut off and full at moments that are drawn: afterwards each photo has
the row that an undisturbed run gives it.

`FACESTATS_LONG_TESTS=1` draws 50 scenarios; `FACESTATS_FAULT_SEEDS=17:18` draws that of seed 17 alone. A failure names
its seed, and what was drawn from it.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fault_places import Photos, few_photos, folder_parts, latest_rows
from fault_runs import FaultRun
from fault_scenarios import Breaks, Readers, Source, Target, draw
from fault_surroundings import Surroundings
from faulty_proxy import faulty_proxy
from long_tests import LONG
from restartable_server import CutServer, RestartableServer
from s3_server import s3_server

FIRST, _, END = os.environ.get("FACESTATS_FAULT_SEEDS", "0:50" if LONG else "3:8").partition(":")
"""The five have every source, every target and every reader among them."""

WITH_RAY = importlib.util.find_spec("ray") is not None
UNDISTURBED_S = 300.0


@pytest.fixture(scope="module")
def around(
    photos: Path, fsclient_command: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Surroundings]:
    """A server, a store with the photos, the ways to both, and what an undisturbed run gives."""
    folder = tmp_path_factory.mktemp("faults")
    server = RestartableServer(fsclient_command, folder)
    try:
        server.start()
        with (
            s3_server() as store,
            faulty_proxy(store.endpoint) as proxy,
            CutServer(f"127.0.0.1:{proxy.port}") as to_store,
            CutServer(server.url) as to_server,
        ):
            found = Surroundings(
                command=fsclient_command,
                server=server,
                to_server=to_server,
                store=store,
                proxy=proxy,
                to_store=to_store,
                photos=Photos(few_photos(photos), folder / "photos", store),
            )
            server.wait()
            _run_undisturbed(found, folder / "undisturbed")
            yield found
            assert server.end() == 0
            assert server.left() == []
    finally:
        server.clear_away()


def _run_undisturbed(around: Surroundings, out: Path) -> None:
    command = [*around.command, "ingest", str(around.photos.folder), "--out", str(out), "--server", around.server.url]
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=UNDISTURBED_S, check=False)
    around.run_s, around.exit_code = time.monotonic() - started, done.returncode
    assert around.exit_code == 3, done.stderr  # one photo is damaged
    around.expected = latest_rows(folder_parts(out), around.photos.sources(Source.FOLDER))
    assert {row["status"] for row in around.expected.values()} == {"ok", "no_face", "corrupt"}


@pytest.mark.triton
@pytest.mark.parametrize("seed", range(int(FIRST), int(END)))
def test_what_breaks_costs_no_row(seed: int, around: Surroundings, tmp_path: Path) -> None:
    run = FaultRun(draw(seed, with_ray=WITH_RAY), around, tmp_path / "target")
    try:
        run.run()
    except Exception as error:  # noqa: BLE001 - the report of the run goes with it
        pytest.fail(f"{error}\n{run.report()}\n{run.last_said()}", pytrace=not isinstance(error, AssertionError))
    finally:
        sys.stdout.write(f"{run.seconds:.1f} s, {run.report()}\n")


def test_fifty_seeds_break_everything_everywhere_and_each_draws_the_same_again() -> None:
    drawn = [draw(seed, with_ray=True) for seed in range(50)]
    assert drawn == [draw(seed, with_ray=True) for seed in range(50)]
    assert {fault.breaks for scenario in drawn for fault in scenario.faults} == {*Breaks}
    assert {(one.source, one.target) for one in drawn} == {(source, target) for source in Source for target in Target}
    assert {one.readers for one in drawn} == {*Readers}
