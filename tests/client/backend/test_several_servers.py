"""Several servers in turn: what one is lost and comes back, and what a busy one is asked again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray

from fsclient import Client, DeadlineError, InferenceError, ServerBusyError, ServerUnavailableError
from fsclient.backend import several_servers
from fsclient.backend.server_retries import RetryPolicy, ask_again
from fsclient.backend.several_servers import SeveralServers
from fsclient.models.name_to_repository import served_repository
from fsclient.testing import FakeBackend, ensemble
from fsengine.contracts.served import ServedEnsemble
from fsengine.server.embedded import EmbeddedServer
from fsengine.server.listening import LOOPBACK, Listening, free_port


class Switchable(FakeBackend):
    """A backend that can be lost or busy."""

    error: Exception | None = None

    async def served(self) -> ServedEnsemble:
        if self.error is not None and not isinstance(self.error, ServerBusyError):
            raise self.error
        return await super().served()

    async def infer(self, data: bytes, outputs: Sequence[str], **how: Any) -> dict[str, NDArray[Any]]:
        if self.error is not None:
            raise self.error
        return await super().infer(data, outputs, **how)


async def ask(servers: SeveralServers, times: int) -> None:
    for _ in range(times):
        await servers.infer(b"photo", ["face_box"], orientation=1)


def test_servers_are_asked_in_turn_and_a_lost_one_is_left_out_until_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(several_servers, "LOST_FOR_S", 0.05)
    one, two = Switchable(), Switchable()
    servers = SeveralServers({"one:1": one, "two:1": two})

    async def run() -> None:
        await servers.served()
        await ask(servers, 4)
        assert (len(one.requests), len(two.requests)) == (2, 2)
        two.error = ServerUnavailableError("gone")
        await ask(servers, 4)
        assert (len(one.requests), len(two.requests)) == (6, 2)
        two.error = None
        await asyncio.sleep(0.1)
        await ask(servers, 4)
        assert (len(one.requests), len(two.requests)) == (8, 4)
        one.error = two.error = ServerUnavailableError("gone")
        with pytest.raises(ServerUnavailableError):
            await ask(servers, 1)

    asyncio.run(run())


class Hanging(FakeBackend):
    async def served(self) -> ServedEnsemble:
        await asyncio.sleep(3600)
        raise AssertionError


def test_one_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(several_servers, "_LATE_AFTER_S", 0.1)
    monkeypatch.setattr(several_servers, "LOST_FOR_S", 0.0)
    steady = FakeBackend()
    servers = SeveralServers({"hangs:1": Hanging(), "steady:1": steady})

    async def run() -> None:
        started = time.monotonic()
        await servers.served()
        await ask(servers, 4)
        assert time.monotonic() - started < 5
        assert len(steady.requests) == 4

    asyncio.run(run())


def test_a_busy_server_is_passed_over_and_not_lost() -> None:
    one, two = Switchable(), Switchable()
    servers = SeveralServers({"one:1": one, "two:1": two})
    one.error = ServerBusyError("busy")

    async def run() -> None:
        await servers.served()
        await ask(servers, 4)
        assert len(two.requests) == 4
        two.error = ServerUnavailableError("gone")
        with pytest.raises(ServerBusyError):
            await ask(servers, 1)
        one.error = None
        await ask(servers, 1)
        assert len(one.requests) == 1

    asyncio.run(run())


def test_a_server_that_hangs_costs_one_photo_s_time_and_is_left_out() -> None:
    one, two = Switchable(), Switchable()
    servers = SeveralServers({"one:1": one, "two:1": two})

    async def run() -> None:
        await servers.served()
        one.error = DeadlineError("hangs")
        for _ in range(2):
            with contextlib.suppress(DeadlineError):
                await ask(servers, 1)
        await ask(servers, 5)
        assert len(two.requests) >= 6

    asyncio.run(run())
    hanging = Switchable()
    hanging.error = DeadlineError("hangs")
    both = SeveralServers({"one:1": two, "hanging:1": hanging})
    assert asyncio.run(both.served()).models.model_set_id == "set-1"


def test_servers_of_different_models_are_refused_at_once_or_when_one_comes_back() -> None:
    one, two = Switchable(), Switchable()
    servers = SeveralServers({"one:1": one, "two:1": two})
    two.error = ServerUnavailableError("gone")
    two.ensemble = ensemble("set-2")

    async def run() -> None:
        await servers.served()
        two.error = None
        servers._lost_until.clear()
        with pytest.raises(InferenceError, match=r"one:1 serves fake \(set-1\) and two:1 serves fake \(set-2\)"):
            await ask(servers, 2)
        with pytest.raises(InferenceError, match="serves fake"):
            await servers.served()

    asyncio.run(run())


def test_a_busy_server_is_asked_for_a_time_and_not_a_number_of_times() -> None:
    asked = []

    async def busy_at_first(_: int) -> int:
        asked.append(time.monotonic())
        if len(asked) < 20:
            raise ServerBusyError("busy")
        return len(asked)

    policy = RetryPolicy(attempts=2, first_wait_s=0.001, longest_wait_s=0.002, busy_s=10)
    assert asyncio.run(ask_again(busy_at_first, policy)) == 20
    asked.clear()
    with pytest.raises(ServerBusyError):
        asyncio.run(ask_again(busy_at_first, replace(policy, busy_s=0)))
    assert len(asked) == 1


@pytest.mark.triton
def test_a_run_over_two_servers_survives_the_loss_of_one_and_uses_it_again(photos: Path) -> None:
    repository = served_repository("lite", print)
    names = ["obama.jpg", "coffee.jpg", "hopper.jpg", "gauss.jpg"]
    port = free_port(LOOPBACK)
    with EmbeddedServer(repository) as steady:
        shaky = EmbeddedServer(repository, listening=Listening(grpc_port=port))
        shaky.start()
        try:
            with Client(f"{steady.url},{shaky.url}") as client:
                faces = []
                for number, photo in enumerate(client.score_many([photos / name for name in names * 8], concurrency=4)):
                    faces.append(len(photo.faces))
                    if number == 8:
                        shaky.stop()
                    if number == 16:
                        shaky = EmbeddedServer(repository, listening=Listening(grpc_port=port))
                        shaky.start()
                assert faces == faces[:4] * 8
                deadline = time.monotonic() + 30
                while _photos(shaky) == 0 and time.monotonic() < deadline:
                    client.score(photos / "coffee.jpg")
                assert _photos(shaky) > 0
        finally:
            shaky.stop()


def _photos(server: EmbeddedServer) -> int:
    from tritonclient.grpc import InferenceServerClient

    client = InferenceServerClient(server.url)
    counted = {model.name: model.inference_count for model in client.get_inference_statistics().model_stats}
    client.close()
    return counted["facestats"]
