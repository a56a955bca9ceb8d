"""One event loop in a thread of its own, on which every blocking client of this process runs.

A blocking call must work where an event loop runs already (a notebook), and from several threads at once. It is one
loop for all, because grpc's asynchronous channels do not share a process between loops without complaining.
"""

from __future__ import annotations

import asyncio
import os
import queue
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

CallBack = Callable[[Callable[[], object]], Awaitable[None]]
"""Has a function called in the thread that waits for a coroutine, and waits until it was."""

_lock = threading.Lock()
_started: tuple[int, asyncio.AbstractEventLoop] | None = None
"""The process that the loop was started in, and the loop: a fork has none of its parent's threads."""


def background_loop() -> asyncio.AbstractEventLoop:
    """Return the loop, started on first use."""
    global _started
    with _lock:
        if _started is None or _started[0] != os.getpid():
            loop = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="fsclient", daemon=True).start()
            _started = (os.getpid(), loop)
        return _started[1]


def submit(work: Coroutine[Any, Any, T]) -> Future[T]:
    """Start a coroutine on the loop and return its future."""
    return asyncio.run_coroutine_threadsafe(work, background_loop())


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the loop and return its result; Ctrl-C cancels it.

    Raises:
        Exception: Whatever the coroutine raises.
    """
    future = submit(work)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def run_with_calls_back(make_work: Callable[[CallBack], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine that has slow things done in the calling thread, where Ctrl-C stops them at once.

    Args:
        make_work: Given a way to call back, returns the coroutine.

    Raises:
        Exception: Whatever the coroutine or a function that is called back raises.
    """
    calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    async def call_back(function: Callable[[], object]) -> None:
        loop = asyncio.get_running_loop()
        done = asyncio.Event()

        def call() -> None:
            function()
            loop.call_soon_threadsafe(done.set)

        calls.put(call)
        await done.wait()

    future = submit(make_work(call_back))
    future.add_done_callback(lambda _: calls.put(None))
    try:
        while (call := calls.get()) is not None:
            call()
        return future.result()
    except BaseException:
        future.cancel()
        raise
