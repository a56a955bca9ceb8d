"""Errors of Ray, as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fsengine.errors import FaceStatsError, ServerUnavailableError

_AGAIN = "what was scored is written: run the same command again to go on"


@contextmanager
def translated_ray_errors() -> Iterator[None]:
    """Turn errors of Ray into ours.

    Raises:
        ServerUnavailableError: The cluster, or what it held, was lost.
        FaceStatsError: What a worker did failed.
    """
    from ray.exceptions import ActorDiedError, RayError, RayTaskError

    try:
        yield
    except RayTaskError as exc:
        cause = _root(exc)
        if isinstance(cause, FaceStatsError):
            raise cause from exc
        raise FaceStatsError(
            f"a worker of the Ray cluster failed ({type(cause).__name__}: {_first_line(cause)}); {_AGAIN}"
        ) from exc
    except (RayError, ConnectionError) as exc:
        if isinstance(exc, ActorDiedError) and "creation task" in str(exc):
            raise FaceStatsError(
                f"a worker of the Ray cluster cannot start ({str(exc).strip().splitlines()[-1]}): every node needs "
                f"facestats and all that this process uses; {_AGAIN}"
            ) from exc
        raise lost_cluster(exc) from exc
    except Exception as exc:
        # Ray Data wraps what it was told by Ray in errors of its own, which are no RayError.
        if not isinstance(exc, FaceStatsError) and type(exc).__module__.startswith("ray."):
            raise lost_cluster(exc) from exc
        raise


def lost_cluster(exc: Exception) -> ServerUnavailableError:
    """Return the error for a cluster that was lost."""
    return ServerUnavailableError(f"the Ray cluster was lost ({type(exc).__name__}: {_first_line(exc)}); {_AGAIN}")


def _root(exc: BaseException) -> BaseException:
    """Return what an error began with."""
    seen = {id(exc)}
    while True:
        cause = getattr(exc, "cause", None) or exc.__cause__
        if not isinstance(cause, BaseException) or id(cause) in seen:
            return exc
        seen.add(id(cause))
        exc = cause


def _first_line(exc: BaseException) -> str:
    return (str(exc).strip().splitlines() or [""])[0]
