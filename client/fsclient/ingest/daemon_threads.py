"""Threads that wait for stores and clusters, and keep no process alive where nobody waits for them any more.

Python joins the threads of `concurrent.futures.ThreadPoolExecutor` before a process ends, however long that takes.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class DaemonExecutor(Executor):
    """Does work in threads, which are started as they are needed."""

    def __init__(self, most: int, name: str) -> None:
        """Prepare.

        Args:
            most: Threads at most.
            name: Of the threads.
        """
        self._most = most
        self._name = name
        self._work: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._num_idle = threading.Semaphore(0)
        self._threads: list[threading.Thread] = []
        self._waiting: set[Future[Any]] = set()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Have something done; see `concurrent.futures.Executor.submit`."""
        future: Future[T] = Future()

        def work() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    result = fn(*args, **kwargs)
                except BaseException as exc:  # noqa: BLE001 - whoever waits gets it
                    future.set_exception(exc)
                else:
                    future.set_result(result)

        self._waiting.add(future)
        future.add_done_callback(self._waiting.discard)
        self._work.put(work)
        if not self._num_idle.acquire(blocking=False) and len(self._threads) < self._most:
            thread = threading.Thread(target=self._do, name=f"{self._name}-{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the threads after what was submitted; see `concurrent.futures.Executor.shutdown`."""
        if cancel_futures:
            for future in [*self._waiting]:
                future.cancel()
        for _ in self._threads:
            self._work.put(None)
        if wait:
            for thread in self._threads:
                thread.join()

    def _do(self) -> None:
        while (work := self._work.get()) is not None:
            work()
            self._num_idle.release()


async def in_daemon(do: Callable[[], T]) -> T:
    """Return what a function returns that blocks."""
    executor = DaemonExecutor(1, "facestats-wait")
    try:
        return await asyncio.wrap_future(executor.submit(do))
    finally:
        executor.shutdown(wait=False)
