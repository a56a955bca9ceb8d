"""How a run is told to stop: once to finish what is in flight, twice to give that up, three times to end at once."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SAID = (
    "photos in flight are finished and written; once more gives them up",
    "what was scored is written; once more ends at once",
)


class Interruption:
    """The wish to stop a run, from a signal or another thread.

    Attributes:
        say: Called with what a request does, in words.
    """

    def __init__(self) -> None:
        self.say: Callable[[str], object] = lambda _: None
        self._heard: Callable[[], None] | None = None
        self._num_requests = 0

    @contextmanager
    def heard_by(self, listener: Callable[[], None]) -> Iterator[None]:
        """Have a function of the running event loop called on each request while the context lasts."""
        loop = asyncio.get_running_loop()

        def hear() -> None:
            self._num_requests += 1
            loop.call_soon_threadsafe(self.say, _SAID[min(self._num_requests, len(_SAID)) - 1])
            loop.call_soon_threadsafe(listener)

        self._heard = hear
        try:
            yield
        finally:
            self._heard = None

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Turn Ctrl-C and SIGTERM into requests while somebody listens; at other times they interrupt as usual.

        The third one ends the process as the signal does by itself: parts are whole or not there, as after a kill.

        Python handles signals in the main thread alone: in another one this does nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: FrameType | None) -> None:
            if self._num_requests > 1:  # a store may have it wait for a minute
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            elif self._heard is not None:
                self._heard()
            elif self._num_requests == 0:
                signal.default_int_handler(number, frame)
            else:  # a run that was told to stop is about to return
                self._num_requests += 1

        before = [signal.signal(number, handle) for number in _SIGNALS]
        try:
            yield
        finally:
            for number, handler in zip(_SIGNALS, before, strict=True):
                signal.signal(number, handler)
