"""TensorRT's Python package: found, of a version that will do, and logging where the project logs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from fsengine.errors import MissingDependencyError, ServerError

if TYPE_CHECKING:
    import tensorrt as trt

logger = logging.getLogger(__name__)

T = TypeVar("T")

OLDEST_TENSORRT = (10, 12)
"""Strong typing is complete from here on (TensorRT OSS, strong-typing migration guide)."""

_LEVELS = (logging.CRITICAL, logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)
"""By the number of TensorRT's severity."""


def tensorrt_version() -> str:
    """Import TensorRT and return its version, for example `11.4.0.106`.

    Raises:
        MissingDependencyError: It is not installed, does not load, or is too old.
    """
    try:
        import tensorrt
    except (ImportError, OSError) as exc:
        raise MissingDependencyError(
            f"TensorRT's Python package does not load ({exc}); plans need it where there is no trtexec: build them in "
            "the server image of docker/, in the builder image where that has no trtexec, or pip install "
            "'facestats[gpu]' for the embedded server"
        ) from exc
    version = str(vars(tensorrt)["__version__"])
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_TENSORRT:
        oldest = ".".join(map(str, OLDEST_TENSORRT))
        raise MissingDependencyError(f"TensorRT is {version}, expected {oldest} or newer, best 11")
    return version


def tensorrt_logger(errors: list[str]) -> trt.ILogger:
    """Return a logger for TensorRT that hands everything to `logging`, and keeps errors for messages.

    Args:
        errors: Errors are added to it.
    """
    import tensorrt as trt

    class Log(trt.ILogger):
        """TensorRT's logger."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
            level = _LEVELS[min(int(severity), len(_LEVELS) - 1)]
            if level >= logging.ERROR:
                errors.append(msg)
            logger.log(level, "%s", msg)

    return Log()


def on_gpu(make: Callable[[], T], errors: list[str]) -> T:
    """Return an object of TensorRT that needs the GPU.

    Args:
        make: Makes it.
        errors: What TensorRT logged.

    Raises:
        ServerError: TensorRT cannot use the GPU.
    """
    try:
        return make()
    except TypeError as exc:  # pybind11's word for a null pointer
        raise ServerError(
            f"TensorRT cannot use the GPU ({last_words(errors)}); is the driver new enough for its CUDA?"
        ) from exc


def last_words(errors: list[str]) -> str:
    """Return the last errors that TensorRT logged, for a message."""
    return " | ".join(errors[-5:]) or "TensorRT logged no error"
