"""Turns are given in order, none is lost, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from fsgateway.admission import Admission, Turns
from fsgateway.gateway_limits import GatewayLimits
from fsgateway.photo_answers import while_wanted
from fsgateway.problems import ClientGoneError, Problem


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 10))


def test_turns_come_in_the_order_in_which_they_were_asked_for() -> None:
    async def main() -> None:
        turns, order = Turns(1), []

        async def wait(number: int) -> None:
            async with turns.take(5) as taken:
                assert taken
                order.append(number)
                await asyncio.sleep(0)

        await asyncio.gather(*(wait(number) for number in range(5)))
        assert order == list(range(5))

    run(main())


def test_a_turn_that_does_not_come_in_time_is_none() -> None:
    async def main() -> None:
        turns = Turns(1)
        async with turns.take(1):
            async with turns.take(0.01) as taken:
                assert not taken
            assert turns.num_waiting == 0
        async with turns.take(0.01) as taken:
            assert taken

    run(main())


@pytest.mark.parametrize("granted", [False, True])
def test_a_turn_of_one_who_is_cancelled_goes_to_the_next(granted: bool) -> None:
    async def main() -> None:
        turns = Turns(1)

        async def wait() -> None:
            async with turns.take(5) as taken:
                assert taken

        async with turns.take(1):
            first, second = asyncio.create_task(wait()), asyncio.create_task(wait())
            await asyncio.sleep(0.01)
            if not granted:
                first.cancel()
        # The turn was just passed on to the first, which has not run yet.
        first.cancel()
        await second
        async with turns.take(0.01) as taken:
            assert taken

    run(main())


def test_what_is_held_and_counted_is_given_back() -> None:
    async def main() -> None:
        admission = Admission(GatewayLimits(held_bytes=10, requests=2, batches=1, photos_at_server=2, waiting=1))
        for _ in range(3):
            with admission.request() as one, admission.request(batch=True) as other:
                one.add(6)
                with pytest.raises(Problem, match="bytes"):
                    other.add(5)
                one.release(2)
                other.add(5)
                with pytest.raises(Problem, match="as many requests"), admission.request():
                    pass
        with admission.request(batch=True), pytest.raises(Problem, match="1 batches"), admission.request(batch=True):
            pass

    run(main())


def test_photos_of_requests_with_several_leave_turns_to_others() -> None:
    async def main() -> None:
        admission = Admission(GatewayLimits(photos_at_server=2, wait_s=0.01))
        async with admission.one_of_many(1):
            with pytest.raises(Problem, match="turn did not come"):
                async with admission.one_of_many(0.01):
                    pass
            async with admission.photo():
                with pytest.raises(Problem, match="turn did not come"):
                    async with admission.photo():
                        pass

    run(main())


class Caller:
    """A caller of whom nothing more comes, or who leaves."""

    def __init__(self, leaves: bool) -> None:
        self._leaves = leaves

    async def receive(self) -> dict[str, Any]:
        await asyncio.sleep(0.01 if self._leaves else 100)
        return {"type": "http.disconnect"}


@pytest.mark.parametrize(("leaves", "error"), [(True, ClientGoneError), (False, Problem)])
def test_an_answer_that_nobody_waits_for_is_cancelled(leaves: bool, error: type[Exception]) -> None:
    async def main() -> None:
        ended: list[str] = []

        async def work() -> None:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise

        with pytest.raises(error) as raised:
            await while_wanted(Caller(leaves), work(), 0.05)  # type: ignore[arg-type]
        assert ended == ["cancelled"]
        assert leaves or raised.value.status == 504  # type: ignore[attr-defined]

    run(main())
