"""How fast does ingest go on this machine, where does the time go, and what memory does it take?

    python benchmarks/ingest/bench.py PHOTOS [--models PACK]

Starts the embedded server, ingests the photos once to warm up and once to measure, and prints rows.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path

from tritonclient.grpc import InferenceServerClient

from fsclient.ingest import IngestConfig, IngestSummary, find_inputs, ingest
from fsclient.models import served_repository
from fsclient.parts import locked
from fsclient.triton import TritonBackend
from fsengine.server.embedded import EmbeddedServer

PACKAGES = ("facestats", "nvidia-pytriton", "nvidia-dali-cuda130", "onnxruntime", "treelite", "numpy", "pyarrow")


class PeakMemory:
    """Samples the memory of this process and all below it: proportional set size, so that shared pages count once."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._done.wait(0.5):
            self.peak_bytes = max(self.peak_bytes, sum(map(proportional_bytes, tree(os.getpid()))))


def tree(root: int) -> list[int]:
    """Return a process and all below it."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found, queue = [], [root]
    while queue:
        process = queue.pop()
        found.append(process)
        queue += [child for child, parent in parents.items() if parent == process]
    return found


def proportional_bytes(process: int) -> int:
    try:
        for line in (Path("/proc") / str(process) / "smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        return 0
    return 0


def run(photos: str, url: str, concurrency: int) -> IngestSummary:
    async def once(out: Path) -> IngestSummary:
        backend = TritonBackend(url)
        try:
            config = IngestConfig(sources=(photos,), out=out, concurrency=concurrency)
            return await ingest(config, find_inputs(config), backend, lambda _: None)
        finally:
            await backend.close()

    with tempfile.TemporaryDirectory() as folder, locked(Path(folder)):
        return asyncio.run(once(Path(folder)))


def stage_seconds(url: str) -> dict[str, tuple[float, float, float]]:
    """Return seconds of computing and of queueing, and rows per execution, of each step so far."""
    client = InferenceServerClient(url)
    stages = {}
    for model in client.get_inference_statistics().model_stats:
        stats = model.inference_stats
        rows = model.inference_count / max(model.execution_count, 1)
        # Times are per request; an execution of several is counted for each of them.
        batches = [(b.batch_size, b.compute_infer) for b in model.batch_stats]
        compute = sum(duration.ns for _, duration in batches) / 1e9
        stages[model.name] = (compute, stats.queue.ns / 1e9, rows)
    return stages


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos")
    parser.add_argument("--models", default="demo")
    parser.add_argument("--concurrency", type=int, default=8)
    arguments = parser.parse_args()
    print("machine ", platform.processor() or platform.machine(), f"{len(os.sched_getaffinity(0))} cores")
    print("versions", *(f"{name} {version(name)}" for name in PACKAGES if _installed(name)))
    repository = served_repository(arguments.models, print)
    with PeakMemory() as memory:
        started = time.perf_counter()
        with EmbeddedServer(repository) as server:
            print(f"start-up {time.perf_counter() - started:.2f} s")
            run(arguments.photos, server.url, arguments.concurrency)
            before = stage_seconds(server.url)
            summary = run(arguments.photos, server.url, arguments.concurrency)
            after = stage_seconds(server.url)
    print(
        f"ingest   {summary.num_rows} files, {summary.num_faces} faces, {summary.seconds:.1f} s, "
        f"{summary.num_rows / summary.seconds:.2f} photos/s, {summary.num_faces / summary.seconds:.2f} faces/s"
    )
    print(f"memory   {memory.peak_bytes / 1e9:.2f} GB at most, whole process tree (PSS)")
    steps = [name for name in after if name != "facestats"]
    total = sum(after[name][0] - before[name][0] for name in steps)
    for name in sorted(steps, key=lambda name: before[name][0] - after[name][0]):
        compute = after[name][0] - before[name][0]
        queued = after[name][1] - before[name][1]
        print(f"step     {name:15}{compute:7.2f} s computing {100 * compute / total:5.1f} %{queued:9.2f} s queued")


def _installed(name: str) -> bool:
    try:
        version(name)
    except Exception:
        return False
    return True


if __name__ == "__main__":
    main()
