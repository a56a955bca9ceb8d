"""Load the pipeline of a `dali.py` as Triton's DALI backend does: define, serialise, deserialise, build."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from fsengine.errors import PackError

if TYPE_CHECKING:
    from nvidia.dali.pipeline import Pipeline


def serialize_pipeline(path: Path, batch_size: int, gpu: int | None = None) -> bytes:
    """Import a `dali.py` and serialise its one autoserialize pipeline.

    Args:
        path: The file.
        batch_size: The most photos of one run.
        gpu: Number of the GPU that it will run on; None for the CPU.

    Raises:
        PackError: It has none, or more than one.
    """
    from nvidia.dali._utils import dali_trace

    # DALI notes where each operator was written, and cannot note files below a folder whose name is not ASCII.
    dali_trace.set_tracing(enabled=False)
    module = ModuleType("facestats_decode")
    # Not through the import system, which leaves its bytecode beside the file: the repository would be another one.
    exec(compile(path.read_bytes(), path, "exec"), vars(module))  # noqa: S102 - the pipeline of a pack that is served
    found: list[Any] = [value for value in vars(module).values() if getattr(value, "_is_autoserialize", False)]
    if len(found) != 1:
        raise PackError(f"{path} has {len(found)} @autoserialize pipelines, expected one")
    serialized: bytes = found[0](batch_size=batch_size, num_threads=1, device_id=gpu).serialize()
    return serialized


def build_pipeline(serialized: bytes, batch_size: int, num_threads: int, gpu: int | None = None) -> Pipeline:
    """Build a serialised pipeline so that each run answers the feed before it."""
    from nvidia.dali.pipeline import Pipeline

    pipeline = Pipeline.deserialize(
        serialized_pipeline=serialized,
        batch_size=batch_size,
        num_threads=num_threads,
        **({} if gpu is None else {"device_id": gpu}),
        prefetch_queue_depth=1,
        exec_pipelined=False,
        exec_async=False,
    )
    pipeline.build()
    return pipeline


def has_input(pipeline: Pipeline, name: str) -> bool:
    """Return whether a built pipeline has an external source of a name."""
    try:
        pipeline.input_feed_count(name)
    except RuntimeError:
        return False
    return True
