"""What a running server says of itself: whether it is well, what it serves, how much waits in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fsclient.backend.address import Access, parse_address
from fsclient.backend.triton import REQUEST_TIMEOUT_S, TritonBackend
from fsengine.contracts.preprocessing import MAX_PHOTO_FILE_BYTES, MAX_PHOTO_PIXELS
from fsengine.contracts.served import ServedEnsemble
from fsengine.errors import DeadlineError, ServerUnavailableError


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """One server.

    Attributes:
        server: Its address.
        problem: Why it is not ready; None where it is.
        served: What it serves; None where it did not say.
        steps: Step to its instances, and where the server gives its statistics to requests, faces or photos,
            executions, mean milliseconds in the queue and of computing.
    """

    server: str
    problem: str | None = None
    served: ServedEnsemble | None = None
    steps: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return it as values that `json.dumps` takes."""
        told: dict[str, Any] = {"server": self.server, "ready": self.problem is None, "problem": self.problem}
        if self.served is None:
            return told
        models = self.served.models
        return {
            **told,
            "runtime": self.served.runtime,
            "pack": models.pack,
            "model_set_id": models.model_set_id,
            "models": dict(models.models),
            "heads": sorted(self.served.heads),
            "outputs": list(self.served.outputs),
            "labels": dict(models.labels),
            "thresholds": dict(models.thresholds),
            "marks": dict(models.marks),
            "licences": dict(models.licences),
            "limits": {"photo_bytes": MAX_PHOTO_FILE_BYTES, "photo_pixels": MAX_PHOTO_PIXELS},
            "steps": {name: dict(step) for name, step in self.steps.items()},
        }


async def server_statuses(server: str, access: Access) -> list[ServerStatus]:
    """Return the status of each server that an address names.

    Raises:
        InvalidInputError: It is no address.
        AccessDeniedError: One of them does not let the caller in.
    """
    address = parse_address(server, access)
    return [await _status(target, tls=address.tls, access=access) for target in address.targets]


async def _status(target: str, *, tls: bool, access: Access) -> ServerStatus:
    backend = TritonBackend(target, tls=tls, access=access, request_timeout_s=REQUEST_TIMEOUT_S)
    try:
        served = await backend.served()
        return ServerStatus(server=target, served=served, steps=await _steps(backend))
    except (ServerUnavailableError, DeadlineError) as exc:
        return ServerStatus(server=target, problem=str(exc))
    finally:
        await backend.close()


async def _steps(backend: TritonBackend) -> dict[str, dict[str, float]]:
    instances, counted = await backend.instances(), await backend.statistics()
    steps: dict[str, dict[str, float]] = {}
    for name, number in instances.items():
        steps[name] = {"instances": number}
        if counted is not None and (model := counted.get(name)) is not None:
            requests = max(model.requests, 1)
            steps[name] |= {
                "requests": model.requests,
                "rows": model.rows,
                "executions": model.executions,
                "queue_ms": model.queue_ns / requests / 1e6,
                "compute_ms": model.compute_ns / requests / 1e6,
            }
    return steps
