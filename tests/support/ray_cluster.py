"""A Ray cluster of several nodes on this machine, servers for its workers, and an ingest that uses it.

Run as a program, it is an ingest with servers of its own, for tests that kill it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsclient.backend.server_choice import ServerChoice
from fsclient.backend.server_retries import RetryPolicy
from fsclient.ingest.entry_feed import EntryFeed
from fsclient.ingest.photo_workers import Scoring
from fsclient.ingest.ray_runner.ray_backend import RayBackend
from fsclient.ingest.ray_runner.ray_cluster import RayCluster
from fsclient.ingest.ray_runner.ray_pool import RayPool
from fsclient.ingest.ray_runner.ray_settings import RaySettings
from fsclient.ingest.ray_runner.worker_servers import Connected, Servers
from fsclient.photos.entry import FileEntry
from fsclient.testing import FakeBackend, answer, ensemble
from fsdata.results.schema import face_outputs, part_schema
from fsengine.errors import FaceStatsError, ServerUnavailableError

STORE_BYTES = 90 << 20
QUICK_RETRY = RetryPolicy(attempts=2, first_wait_s=0.0, longest_wait_s=0.0)


@contextmanager
def running_cluster(num_nodes: int) -> Iterator[Any]:
    """Give a cluster of nodes of one core each."""
    from ray.cluster_utils import Cluster

    before = dict(os.environ)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(Path(__file__).parent), before.get("PYTHONPATH")]))
    soon_lost = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 3}
    node = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "include_dashboard": False, "_system_config": soon_lost}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        for _ in range(num_nodes - 1):
            cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
        cluster.wait_for_nodes()
        yield cluster
    finally:
        with suppress(Exception):
            cluster.shutdown()
        os.environ.clear()
        os.environ.update(before)


@dataclass(frozen=True)
class FakeServers:
    """Servers that answer inside the workers.

    Attributes:
        answer_s: How long each photo takes.
        model_set_id: What they serve.
        lost_after: Photos after which a worker's server is lost.
        slow_after: Photos after which it takes `slow_s` for each.
        slow_s: See there.
    """

    answer_s: float = 0.0
    model_set_id: str = "set-1"
    lost_after: int | None = None
    slow_after: int | None = None
    slow_s: float = 0.0

    def connect(self) -> Connected:
        backend = _SlowBackend(self)
        backend.ensemble = ensemble(self.model_set_id)
        return Connected(backend=backend)


class _SlowBackend(FakeBackend):
    def __init__(self, servers: FakeServers) -> None:
        super().__init__(lambda _, outputs: answer(1, outputs))
        self._servers = servers

    async def infer(
        self, data: bytes, outputs: Sequence[str], *, orientation: int, alone: bool = False
    ) -> dict[str, NDArray[np.float32]]:
        if self._servers.lost_after is not None and len(self.requests) >= self._servers.lost_after:
            raise ServerUnavailableError("the fake server is gone")
        slow = self._servers.slow_after is not None and len(self.requests) >= self._servers.slow_after
        await asyncio.sleep(self._servers.slow_s if slow else self._servers.answer_s)
        return await super().infer(data, outputs, orientation=orientation, alone=alone)


@dataclass
class RayRun:
    """One ingest by a cluster, without a folder.

    Attributes:
        pool: What scores.
        sources: Of the rows that arrived, in their order.
        num_faces: Of them.
        left: Sources that were left, and why.
        on_rows: Called after rows have arrived.
    """

    settings: RaySettings
    photos: Sequence[Path]
    concurrency: int = 8
    retry: RetryPolicy = QUICK_RETRY
    on_rows: Callable[[RayRun], object] | None = None
    pool: RayPool = field(init=False)
    sources: list[str] = field(default_factory=list)
    tables: list[pa.Table] = field(default_factory=list)
    num_faces: int = 0
    left: list[tuple[str, FaceStatsError]] = field(default_factory=list)

    def run(self) -> RayRun:
        asyncio.run(self._run())
        return self

    async def _run(self) -> None:
        cluster = RayCluster(self.settings)
        backend = RayBackend(cluster, self.retry)
        try:
            served = ensemble() if isinstance(self.settings.servers, FakeServers) else await backend.served()
            self.served = served
            scoring = Scoring(
                outputs=tuple(face_outputs(served)),
                model_set_id=served.models.model_set_id,
                retry=self.retry,
                concurrency=self.concurrency,
            )
            feed = EntryFeed(FileEntry(os.fsencode(photo)) for photo in self.photos)
            self.pool = RayPool(cluster, scoring, part_schema(served), feed, self._add, self._leave)
            await self.pool.run()
        finally:
            await backend.close()

    async def _add(self, rows: pa.Table, num_faces: int) -> None:
        self.sources += rows["source"].to_pylist()
        self.tables.append(rows)
        self.num_faces += num_faces
        if self.on_rows is not None:
            self.on_rows(self)

    def _leave(self, source: str, error: FaceStatsError) -> None:
        self.left.append((source, error))


def settings(servers: Servers | ServerChoice, address: str | None, **more: Any) -> RaySettings:
    return RaySettings(servers=servers, address=address, request_timeout_s=60.0, **more)
