"""One event loop in a thread of its own, on which every blocking client of this process runs.

A blocking call must work where an event loop runs already (a notebook), and from several threads at once. It is one
loop for all, because grpc's asynchronous channels do not share a process between loops without complaining.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, TypeVar

from fsengine.errors import InvalidInputError

T = TypeVar("T")

CallBack = Callable[[Callable[[], object]], Awaitable[None]]
"""Has a function called in the thread that waits for a coroutine, and waits until it was."""

Call = Callable[[Callable[[], object]], None]
"""Has a function called in the thread that waits for a coroutine, some time later."""

logger = logging.getLogger(__name__)

_lock = threading.Lock()
_started: tuple[int, asyncio.AbstractEventLoop, threading.Thread] | None = None
"""The process that the loop was started in, the loop and its thread: a fork has none of its parent's threads."""


def background_loop() -> asyncio.AbstractEventLoop:
    """Return the loop, started on first use.

    Raises:
        InvalidInputError: This is the loop's own thread, which must not wait for itself.
    """
    global _started
    with _lock:
        if _started is None or _started[0] != os.getpid():
            loop = asyncio.new_event_loop()
            thread = threading.Thread(target=_run, args=(loop,), name="fsclient", daemon=True)
            thread.start()
            _started = (os.getpid(), loop, thread)
        if threading.current_thread() is _started[2]:
            raise InvalidInputError("Client was called from inside its own event loop; use AsyncClient there")
        return _started[1]


def submit(work: Coroutine[Any, Any, T]) -> Future[T]:
    """Start a coroutine on the loop and return its future."""
    try:
        loop = background_loop()
    except BaseException:
        work.close()
        raise
    return asyncio.run_coroutine_threadsafe(work, loop)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the loop and return its result; Ctrl-C cancels it.

    Raises:
        BaseException: Whatever the coroutine raises.
    """
    future = submit(work)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


def run_with_calls_back(make_work: Callable[[CallBack, Call], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine that has things done in the calling thread: slow ones, which Ctrl-C stops there, and reports.

    What a function that is called back raises cancels the coroutine; it is raised here once that has ended.

    Args:
        make_work: Given two ways to call back, one that waits for the call and one that does not, returns the
            coroutine.

    Raises:
        BaseException: Whatever the coroutine or a function that is called back raises.
    """
    loop = background_loop()
    calls: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()

    async def call_and_wait(function: Callable[[], object]) -> None:
        done = asyncio.Event()

        def call() -> None:
            function()
            loop.call_soon_threadsafe(done.set)

        calls.put(call)
        await done.wait()

    async def begin() -> asyncio.Task[T]:
        task = asyncio.create_task(make_work(call_and_wait, calls.put))
        task.add_done_callback(lambda _: calls.put(None))
        return task

    task = run(begin())
    try:
        while (call := calls.get()) is not None:
            call()
    except BaseException:
        loop.call_soon_threadsafe(task.cancel)
        while calls.get() is not None:
            pass
        with suppress(BaseException):
            task.exception()  # has been asked for, so that asyncio does not complain
        raise
    return task.result()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    """Run the loop for as long as the process lives: SystemExit in a task ends the task, not the loop."""
    asyncio.set_event_loop(loop)
    while True:
        try:
            loop.run_forever()
        except BaseException:
            logger.debug("a task ended the event loop, which goes on", exc_info=True)
