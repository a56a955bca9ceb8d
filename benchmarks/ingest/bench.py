"""How fast does ingest go on this machine, where does the time go, and what memory does it take?

    python benchmarks/ingest/bench.py PHOTOS [--models PACK]

Starts the embedded server, ingests the photos once to warm up and once to measure, and prints rows.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tritonclient.grpc import InferenceServerClient

from fsclient.models.name_to_repository import served_repository
from fsengine.contracts.steps import ENSEMBLES
from fsengine.server.embedded import EmbeddedServer
from fsengine.terminal.tables import Table, show

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from machine import installed_versions, num_cores, processor
from memory_samples import MemorySamples, process_tree_bytes
from served_ingest import ingest_once

PACKAGES = ("facestats", "nvidia-pytriton", "nvidia-dali-cuda130", "onnxruntime", "treelite", "numpy", "pyarrow")


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
    parser.add_argument("--models", default="lite")
    parser.add_argument("--concurrency", type=int, default=8)
    arguments = parser.parse_args()
    print("machine ", processor(), f"{num_cores()} cores")
    print("versions", *(f"{name} {version}" for name, version in installed_versions(PACKAGES).items()))
    repository = served_repository(arguments.models, print)
    with MemorySamples(process_tree_bytes, every_s=0.5) as memory:
        started = time.perf_counter()
        with EmbeddedServer(repository) as server:
            print(f"start-up {time.perf_counter() - started:.2f} s")
            ingest_once([arguments.photos], server.url, arguments.concurrency)
            before = stage_seconds(server.url)
            summary = ingest_once([arguments.photos], server.url, arguments.concurrency)
            after = stage_seconds(server.url)
    print(
        f"ingest   {summary.num_rows} files, {summary.num_faces} faces, {summary.seconds:.1f} s, "
        f"{summary.num_rows / summary.seconds:.2f} photos/s, {summary.num_faces / summary.seconds:.2f} faces/s"
    )
    print(f"memory   {max(memory.readings) / 1e9:.2f} GB at most, whole process tree (PSS)")
    steps = [name for name in after if name not in ENSEMBLES]
    total = sum(after[name][0] - before[name][0] for name in steps)
    rows = []
    for name in sorted(steps, key=lambda name: before[name][0] - after[name][0]):
        compute = after[name][0] - before[name][0]
        queued = after[name][1] - before[name][1]
        rows.append([name, f"{compute:.2f}", f"{100 * compute / total:.1f}", f"{queued:.2f}"])
    show([Table(header=["step", "computing s", "share %", "queued s"], rows=rows, align="lrrr")])


if __name__ == "__main__":
    main()
