"""What waits in a Triton server and what memory it has, from its metrics."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from dataclasses import dataclass, field

from fsengine.errors import InvalidInputError, ServerUnavailableError

TIMEOUT_S = 10.0
_LINE = re.compile(r"^(nv_\w+)(?:\{([^}]*)\})? ([0-9.e+-]+)$", re.MULTILINE)
_MODEL = re.compile(r'model="([^"]*)"')
_PENDING = "nv_inference_pending_request_count"
_MEMORY = {
    "nv_cpu_memory_used_bytes": "cpu_used_bytes",
    "nv_cpu_memory_total_bytes": "cpu_total_bytes",
    "nv_gpu_memory_used_bytes": "gpu_used_bytes",
    "nv_gpu_memory_total_bytes": "gpu_total_bytes",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerMetrics:
    """A part of a server's metrics.

    Attributes:
        waiting: Model to the requests that wait for it now.
        memory: Bytes that the machine and its GPUs have, and that are used, as far as the server says.
    """

    waiting: dict[str, int] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)


def read_metrics(url: str) -> ServerMetrics:
    """Read a server's metrics.

    Args:
        url: Where they are, for example `http://127.0.0.1:8002/metrics`.

    Raises:
        InvalidInputError: It is no http or https address.
        ServerUnavailableError: They cannot be read there.
    """
    if not url.startswith(("http://", "https://")):
        raise InvalidInputError(f"metrics {url!r} are no address, for example http://127.0.0.1:8002/metrics")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310 - the scheme was checked
            text = answer.read(16 << 20).decode(errors="replace")
    except (OSError, ValueError, urllib.error.URLError) as exc:
        raise ServerUnavailableError(
            f"the metrics at {url} cannot be read: {exc}; was the server started with --metrics-port?"
        ) from exc
    metrics = ServerMetrics()
    for name, labels, value in _LINE.findall(text):
        if name == _PENDING and (model := _MODEL.search(labels)):
            metrics.waiting[model[1]] = int(float(value))
        elif name in _MEMORY:
            metrics.memory[_MEMORY[name]] = metrics.memory.get(_MEMORY[name], 0) + int(float(value))
    return metrics
