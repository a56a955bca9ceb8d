"""Photos made ready for the decoder: plain ones as they are, all others as bitmaps that a kept process makes of them.

Pillow decodes strangers' bytes in that process alone, whose memory and time are bounded; where it dies, it costs one
photo its answer and is started again. The bitmap is upright, in sRGB, 8 bits a channel, on white where the photo is
transparent: what a viewer shows.
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import signal
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from fsengine.contracts.steps import DECODE_FAILED
from fsengine.errors import InvalidInputError
from fsengine.photo.gate import READ_FORMATS, Gate, Refusal, Refused, judge
from fsengine.photo.headers import BITMAP_HEADER_BYTES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONVERT_TIMEOUT_S = 60.0

CONVERT_BYTES = 3 << 30
"""Address space of a process: the largest photo takes 800 MB, and as much again while its colours are converted."""

_REQUEST = struct.Struct("<QBB")
_ANSWER = struct.Struct("<BQQ")
_STATUSES = (None, Refused.CORRUPT, Refused.UNSUPPORTED, Refused.TOO_LARGE, Refused.FAILED)
"""As `fsengine.photo.convert_worker` has them, which cannot be imported here: it imports Pillow."""

_PROGRAM = (
    "import sys; sys.path += sys.argv[2:]; from fsengine.photo.convert_worker import main; main(int(sys.argv[1]))"
)
_FAULTS_OF_DATA = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE})


class Ready(NamedTuple):
    """A photo as the decoder gets it.

    Attributes:
        data: The file where it is plain, else a bitmap.
        orientation: How its pixels lie, 1 to 8.
        converted: Why it is a bitmap; None where it is the file.
    """

    data: bytes
    orientation: int
    converted: str | None


def make_ready(data: bytes, gate: Gate, orientation: int | None = None) -> Ready | Refusal:
    """Return a photo as the decoder may have it, or why it may not.

    Args:
        data: The file.
        gate: What `judge` said of it.
        orientation: How its pixels lie; None for what the file says.
    """
    number = gate.orientation if orientation is None else orientation
    if gate.refusal is not None:
        return gate.refusal
    if gate.convert is None:
        return Ready(data, number, None)
    answer = _POOL.convert(data, gate.format or "", number)
    if isinstance(answer, Refusal):
        return answer
    bitmap, note = answer
    return Ready(bitmap, 1, f"{gate.convert}: {note}" if note else gate.convert)


def read_pixels(data: bytes) -> NDArray[np.uint8]:
    """Return a photo's pixels as they are scored, uint8 (H, W, 3), RGB, upright, in sRGB.

    Args:
        data: The file.

    Raises:
        InvalidInputError: It is no photo that is read, too large or corrupt, or could not be converted.
    """
    gate = judge(data)
    answer = gate.refusal or _POOL.convert(data, gate.format or "", gate.orientation)
    if isinstance(answer, Refusal):
        raise InvalidInputError(f"{answer.status.value}: {answer.reason}")
    return bitmap_pixels(answer[0])


def decoding_error(data: bytes) -> Refusal | None:
    """Return what Pillow finds wrong with a photo that another decoder refused, or None where it decodes it."""
    gate = judge(data)
    answer = gate.refusal or _POOL.convert(data, gate.format or "", gate.orientation)
    return answer if isinstance(answer, Refusal) else None


def bitmap_pixels(bitmap: bytes) -> NDArray[np.uint8]:
    """Return the pixels of a bitmap as the converter writes them, uint8 (H, W, 3), RGB."""
    import numpy as np

    width, height = struct.unpack_from("<ii", bitmap, 18)
    rows = np.frombuffer(bitmap, np.uint8, offset=BITMAP_HEADER_BYTES).reshape(height, -1)
    return np.ascontiguousarray(rows[::-1, : 3 * width].reshape(height, width, 3)[:, :, ::-1])


class Converter:
    """Processes that convert photos: started as they are needed, kept, one photo at a time in each."""

    def __init__(self, size: int, *, timeout_s: float = CONVERT_TIMEOUT_S, memory_bytes: int = CONVERT_BYTES) -> None:
        """Prepare; nothing is started yet.

        Args:
            size: The most processes.
            timeout_s: The longest that one photo may take.
            memory_bytes: Address space of each.
        """
        self._memory_bytes = memory_bytes
        self._timeout_s = timeout_s
        self._free = threading.BoundedSemaphore(size)
        self._idle: list[subprocess.Popen[bytes]] = []

    def convert(self, data: bytes, kind: str, orientation: int) -> tuple[bytes, str] | Refusal:
        """Return the bitmap of a photo and what had to be passed over, or why there is none. Threads may share it.

        Args:
            data: The file.
            kind: Its format, one of `READ_FORMATS`.
            orientation: How its pixels lie, 1 to 8.
        """
        with self._free:
            if self._idle:
                answer = self._ask(self._idle.pop(), data, kind, orientation)
                if answer is not None and not isinstance(answer, int):
                    return answer
            # One that was kept may have died long before, so that only a new one says whose fault it is.
            try:
                worker = _started(self._memory_bytes)
            except OSError as exc:
                return Refusal(Refused.FAILED, f"no converter could be started for it: {exc.strerror or exc}")
            answer = self._ask(worker, data, kind, orientation)
        if answer is None:
            return Refusal(Refused.FAILED, f"converting it took more than {self._timeout_s:.0f} s")
        return _death(answer) if isinstance(answer, int) else answer

    def _ask(
        self, worker: subprocess.Popen[bytes], data: bytes, kind: str, orientation: int
    ) -> tuple[bytes, str] | Refusal | int | None:
        """Return a worker's answer, or its exit code where it died, or None where it took too long."""
        assert worker.stdin is not None
        assert worker.stdout is not None
        late = threading.Event()

        def kill() -> None:
            late.set()
            worker.kill()

        timer = threading.Timer(self._timeout_s, kill)
        timer.daemon = True
        timer.start()
        try:
            worker.stdin.write(_REQUEST.pack(len(data), orientation, READ_FORMATS.index(kind)))
            worker.stdin.write(data)
            worker.stdin.flush()
            header = worker.stdout.read(_ANSWER.size)
            if len(header) == _ANSWER.size:
                status, text_bytes, bitmap_bytes = _ANSWER.unpack(header)
                text = worker.stdout.read(text_bytes).decode()
                bitmap = worker.stdout.read(bitmap_bytes)
                if len(bitmap) == bitmap_bytes:
                    self._idle.append(worker)
                    return (bitmap, text) if (refused := _STATUSES[status]) is None else _refusal(refused, text)
        except OSError:
            pass  # it died: its exit code says of what
        finally:
            timer.cancel()
        _end(worker)
        return None if late.is_set() else worker.returncode

    def forget(self) -> None:
        """Let go of the processes, which another process has too."""
        self._idle.clear()

    def close(self) -> None:
        """End the processes that wait."""
        while self._idle:
            _end(self._idle.pop())


def _started(memory_bytes: int) -> subprocess.Popen[bytes]:
    """Start a worker that finds this package and Pillow wherever they lie, and nothing of the caller's folder.

    Raises:
        OSError: It cannot be started.
    """
    pillow = importlib.util.find_spec("PIL")
    assert pillow is not None
    assert pillow.submodule_search_locations
    folders = [Path(__file__).parents[2], Path(pillow.submodule_search_locations[0]).parent]
    return subprocess.Popen(
        [_python(), "-I", "-S", "-B", "-c", _PROGRAM, str(memory_bytes), *map(str, folders)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _python() -> str:
    """Return this interpreter; where another program embeds it, as Triton's stub does, the one it belongs to."""
    if Path(sys.executable).name.startswith("python"):
        return sys.executable
    return os.path.join(sys.exec_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")


def _end(worker: subprocess.Popen[bytes]) -> None:
    """Have a worker end, and wait for it."""
    for pipe in (worker.stdin, worker.stdout):
        with suppress(OSError):
            assert pipe is not None
            pipe.close()
    try:
        worker.wait(1.0)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def _refusal(status: Refused, text: str) -> Refusal:
    return Refusal(status, f"{DECODE_FAILED}: {text}" if status is Refused.CORRUPT else text)


def _death(code: int) -> Refusal:
    """Return what a worker's death says of its photo: it is at fault where its bytes led the reader astray."""
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"exit code {code}"
    if -code in _FAULTS_OF_DATA:
        return Refusal(Refused.CORRUPT, f"{DECODE_FAILED}: the converter died of it ({name})")
    return Refusal(Refused.FAILED, f"the converter gave out ({name}), perhaps for want of memory")


_POOL = Converter(len(os.sched_getaffinity(0)))
atexit.register(_POOL.close)
os.register_at_fork(after_in_child=_POOL.forget)
