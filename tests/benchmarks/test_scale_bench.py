"""The simulation against closed forms of queueing theory, and its benchmark as a command; never how fast it is."""

from __future__ import annotations

import importlib.util
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("simpy")

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks" / "scale"


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"scale_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


simulation = _module("simulation")
Stage, Setting, simulate = simulation.Stage, simulation.Setting, simulation.simulate

STEPS = (
    Stage(name="decode", core_s=0.020, threads=2),
    Stage(name="detect", core_s=0.040, instances=2),
    Stage(name="embed", core_s=0.015, instances=2),
)
CLIENT = (Stage(name="client", core_s=0.001),)
CORE_S = 0.076


@pytest.mark.parametrize("num_servers", [1, 2, 3])
@pytest.mark.parametrize("cores", [1.0, 1.3, 2.0])
def test_full_cores_bound_the_throughput_whatever_the_number_of_servers(cores: float, num_servers: int) -> None:
    setting = Setting(cores=cores, in_flight=8 * num_servers, client=CLIENT, server=STEPS, num_servers=num_servers)
    outcome = simulate(setting, 2000)
    assert outcome.photos_per_s == pytest.approx(cores / CORE_S, rel=0.01)
    # The utilisation law: nothing but the ends of the run leaves a core idle.
    assert outcome.core_s / (cores * outcome.seconds) == pytest.approx(1, rel=0.01)


def test_every_photo_takes_its_core_seconds_and_no_more() -> None:
    outcome = simulate(Setting(cores=2, in_flight=5, read_s=0.01, client=CLIENT, server=STEPS, num_servers=2), 300)
    assert outcome.core_s == pytest.approx(300 * CORE_S)


def test_one_photo_in_flight_takes_the_sum_of_its_times() -> None:
    setting = Setting(cores=4, in_flight=1, read_s=0.005, client=CLIENT, server=STEPS)
    # Reading, the client, decode with two threads, and two steps with one.
    assert simulate(setting, 50).photos_per_s == pytest.approx(1 / (0.005 + 0.001 + 0.010 + 0.040 + 0.015))


@pytest.mark.parametrize("num_servers", [1, 2])
def test_with_cores_to_spare_the_step_with_the_longest_time_per_instance_bounds_each_server(num_servers: int) -> None:
    setting = Setting(cores=64, in_flight=16 * num_servers, client=CLIENT, server=STEPS, num_servers=num_servers)
    outcome = simulate(setting, 4000)
    assert outcome.photos_per_s == pytest.approx(num_servers * 2 / 0.040, rel=0.01)
    # Busy time is throughput times demand, of each stage.
    for stage in (*CLIENT, *STEPS):
        assert outcome.busy_s[stage.name] == pytest.approx(4000 * stage.core_s / stage.threads, rel=0.01)


def test_one_client_bounds_any_number_of_servers() -> None:
    client = (Stage(name="client", core_s=0.010),)
    setting = Setting(cores=64, in_flight=64, client=client, server=STEPS, num_servers=8)
    assert simulate(setting, 2000).photos_per_s == pytest.approx(100, rel=0.02)


def test_a_slow_store_bounds_photos_by_how_many_are_in_flight() -> None:
    setting = Setting(cores=64, in_flight=8, read_s=1.0, client=CLIENT, server=STEPS)
    alone_s = 1.0 + 0.001 + 0.010 + 0.040 + 0.015
    # Little's law; photos that started together never wait for each other long.
    assert simulate(setting, 800).photos_per_s == pytest.approx(8 / alone_s, rel=0.1)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_waiting_for_one_instance_is_that_of_m_d_1(load: float) -> None:
    service_s = 0.01

    def serve(environment: Any, cores: Any) -> Callable[[], Iterator[Any]]:
        station = simulation.Station(environment, cores, Stage(name="step", core_s=service_s))
        return station.serve

    # Pollaczek and Khinchine, with a service that does not vary.
    expected_s = service_s + load * service_s / (2 * (1 - load))
    assert _mean_stay_s(serve, load / service_s, cores=4) == pytest.approx(expected_s, rel=0.05)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_shared_cores_keep_computations_as_long_as_processor_sharing_does(load: float) -> None:
    service_s = 0.01

    def compute(environment: Any, cores: Any) -> Callable[[], Iterator[Any]]:
        def computation() -> Iterator[Any]:
            yield cores.compute(service_s, 1)

        return computation

    assert _mean_stay_s(compute, load / service_s, cores=1) == pytest.approx(service_s / (1 - load), rel=0.05)


def _mean_stay_s(make: Callable[..., Callable[[], Iterator[Any]]], arrivals_per_s: float, *, cores: float) -> float:
    """Return how long arrivals of a Poisson process stay, with seeded draws."""
    import simpy

    rng = random.Random(7)
    environment = simpy.Environment()
    serve = make(environment, simulation.SharedCores(environment, cores))
    stays = []

    def arrival() -> Generator[Any, Any, None]:
        begun = environment.now
        yield from serve()
        stays.append(environment.now - begun)

    def arrivals() -> Generator[Any, Any, None]:
        for _ in range(20_000):
            yield environment.timeout(rng.expovariate(arrivals_per_s))
            environment.process(arrival())

    environment.process(arrivals())
    environment.run()
    return sum(stays) / len(stays)


@pytest.mark.parametrize(
    ("limits", "cores", "expected"),
    [
        ([1, 1], 2, [1, 1]),
        ([1, 1, 1, 1], 2, [0.5, 0.5, 0.5, 0.5]),
        ([2, 1], 2, [1, 1]),
        ([4, 1], 4, [3, 1]),
        ([4, 1, 4], 4, [1.5, 1, 1.5]),
        ([8, 1], 16, [8, 1]),
        ([], 2, []),
    ],
)
def test_what_one_computation_cannot_use_the_others_share(
    limits: list[int], cores: float, expected: list[float]
) -> None:
    assert simulation.even_shares(limits, cores) == pytest.approx(expected)


@pytest.mark.parametrize(
    "wrong",
    [{"cores": 0.0}, {"in_flight": 0}, {"read_s": -1.0}, {"num_servers": 0}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_a_setting_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="needs cores > 0"):
        Setting(**({"cores": 2.0, "in_flight": 8, "server": STEPS} | wrong))


@pytest.mark.parametrize(
    "wrong", [{"core_s": -1.0}, {"instances": 0}, {"threads": 0}], ids=lambda wrong: next(iter(wrong))
)
def test_a_stage_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="needs core_s >= 0"):
        Stage(**({"name": "detect", "core_s": 0.01} | wrong))


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / "bench.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


@pytest.mark.triton
def test_every_setting_is_measured_and_predicted(tmp_path: Path, photos: Path) -> None:
    for name in ("nvidia.dali", "onnxruntime", "treelite"):
        pytest.importorskip(name)
    for name in ("obama.jpg", "coffee.jpg", "hopper.jpg"):
        shutil.copy(photos / name, tmp_path)
    done = bench(tmp_path, "--rounds", "1", "--no-ray")
    assert done.returncode == 0, done.stderr
    assert "photos: 3; rounds: 1;" in done.stdout
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    stages, settings = rows[:-6], rows[-6:]
    assert [row[0] for row in stages[2:7]] == ["converter", "client", "decode", "detect", "align"]
    assert [row[0] for row in stages[-2:]] == ["server", "all"]
    assert [row[0] for row in settings[2:5]] == ["one server", "one server, one photo in flight", "two servers"]
    for setting in settings[2:5]:
        measured, predicted, ratio = map(float, setting[1:4])
        assert ratio == pytest.approx(predicted / measured, abs=0.02)
    assert settings[5][:2] == ["two Ray workers, two servers", "left out"]


@pytest.mark.parametrize("wrong", [["--rounds", "0"], ["--limit", "0"]])
def test_what_cannot_be_meant_is_refused_before_anything_runs(wrong: list[str], photos: Path) -> None:
    done = bench(photos, *wrong)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--rounds and --limit take 1 or more" in done.stderr
