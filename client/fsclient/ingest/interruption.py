"""How a run is told to stop: once to finish what is in flight, twice to give that up, and later to end at once."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SAID = (
    "photos in flight are finished and written; once more gives them up",
    "what was scored is written; if that takes too long, once more ends at once",
)
_PATIENCE_S = 3.0
"""How long whoever gave up a run lets it write: keys that are hit again and again shall not cost rows."""


class Interruption:
    """The wish to stop a run, from a signal or another thread.

    Attributes:
        say: Called with what a request does, in words.
    """

    def __init__(self) -> None:
        self.say: Callable[[str], object] = lambda _: None
        self._heard: Callable[[], None] | None = None
        self._num_requests = 0
        self._given_up_at = 0.0

    def _count(self) -> None:
        self._num_requests += 1
        if self._num_requests == 2:
            self._given_up_at = time.monotonic()

    @contextmanager
    def heard_by(self, listener: Callable[[], None]) -> Iterator[None]:
        """Have a function of the running event loop called on each request while the context lasts."""
        loop = asyncio.get_running_loop()

        def hear() -> None:
            self._count()
            if self._num_requests <= len(_SAID):
                loop.call_soon_threadsafe(self.say, _SAID[self._num_requests - 1])
            loop.call_soon_threadsafe(listener)

        self._heard = hear
        try:
            yield
        finally:
            self._heard = None

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Turn Ctrl-C and SIGTERM into requests while somebody listens; at other times they interrupt as usual.

        One that comes some seconds after the second ends the process as the signal does by itself, since a store may
        have it wait for a minute: parts are whole or not there, as after a kill.

        Python handles signals in the main thread alone: in another one this does nothing.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(number: int, frame: FrameType | None) -> None:
            if self._num_requests > 1 and time.monotonic() - self._given_up_at > _PATIENCE_S:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)
            elif self._heard is not None:
                self._heard()
            elif self._num_requests == 0:
                signal.default_int_handler(number, frame)
            else:  # a run that was told to stop is about to return
                self._count()

        before = [signal.signal(number, handle) for number in _SIGNALS]
        try:
            yield
        finally:
            for number, handler in zip(_SIGNALS, before, strict=True):
                signal.signal(number, handler)
