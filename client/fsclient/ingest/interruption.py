"""How a run is told to stop: once to finish what is in flight, twice to give that up too."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """The wish to stop a run, from a signal or another thread."""

    def __init__(self) -> None:
        self._heard: Callable[[], None] | None = None
        self._requested = False

    @contextmanager
    def heard_by(self, listener: Callable[[], None]) -> Iterator[None]:
        """Have a function of the running event loop called on each request while the context lasts."""
        loop = asyncio.get_running_loop()

        def hear() -> None:
            self._requested = True
            loop.call_soon_threadsafe(listener)

        self._heard = hear
        try:
            yield
        finally:
            self._heard = None

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Turn Ctrl-C and SIGTERM into requests while somebody listens; at other times they interrupt as usual.

        Python handles signals in the main thread alone: in another one this does nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: FrameType | None) -> None:
            if self._heard is not None:
                self._heard()
            elif not self._requested:  # a run that was told to stop is about to return
                signal.default_int_handler(number, frame)

        before = [signal.signal(number, handle) for number in _SIGNALS]
        try:
            yield
        finally:
            for number, handler in zip(_SIGNALS, before, strict=True):
                signal.signal(number, handler)
