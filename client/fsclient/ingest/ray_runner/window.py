"""Photos that Ray Data is given at a time, and what it makes of them."""

from __future__ import annotations

import asyncio
import itertools
import pickle
import time
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from fsclient.ingest.daemon_threads import in_daemon
from fsclient.ingest.ray_runner.blocks import Answer, answers_in, numbered_block
from fsclient.ingest.ray_runner.ray_errors import translated_ray_errors

if TYPE_CHECKING:
    from fsclient.ingest.entry_feed import EntryFeed
    from fsclient.ingest.ray_runner.block_scorer import Work
    from fsclient.photos.entry import PhotoEntry

_ENTRIES_OF_A_TASK = 16

_WINDOW_BYTES = 256 << 20
"""Of entries that hold their photo, such as those inside a Parquet file."""

_GATHERED_S = 3.0
"""How long entries are gathered after the first."""

_PHOTOS_OF_A_CALL = 8
"""How many photos of a block a worker is reckoned to have in flight, so that it is given as many blocks as it needs."""

_WAITING_CALLS = 2
"""Blocks that wait at a worker for one that it answers."""

_READ_RETRIES = 5
"""How often a block is read again where the process that read it dies; it may die of the block."""

_SCORE_RETRIES = 100
"""The same of a block's worker; a node that is lost costs one each second until the cluster knows."""


class Window:
    """Some entries, numbered, until each has its answer.

    Attributes:
        pending: Sources of those that have none yet, by number.
        is_full: Whether there may be more behind them.
    """

    def __init__(self, entries: Sequence[PhotoEntry], *, is_full: bool) -> None:
        """Make the blocks of some entries.

        Args:
            entries: They.
            is_full: See the class.
        """
        self.is_full = is_full
        self.pending = {number: entry.source for number, entry in enumerate(entries)}
        items = ((number, pickle.dumps(entry, pickle.HIGHEST_PROTOCOL)) for number, entry in enumerate(entries))
        self._blocks = []
        while block := list(itertools.islice(items, _ENTRIES_OF_A_TASK)):
            self._blocks.append(numbered_block(block))

    @classmethod
    async def next_of(cls, feed: EntryFeed, most: int) -> Window | None:
        """Return the next entries as a window, or None where there is none left.

        A source that is searched slowly is not waited for until there are as many as there may be.
        """
        taken = await feed.take(most)
        deadline = time.monotonic() + _GATHERED_S
        while len(taken) < most and held_bytes(taken) < _WINDOW_BYTES:
            try:
                more = await asyncio.wait_for(feed.take(most - len(taken)), deadline - time.monotonic())
            except asyncio.TimeoutError:
                break
            if not more:
                break
            taken += more
        return await in_daemon(lambda: cls(taken, is_full=len(taken) == most)) if taken else None

    def answers(self, work: Work, sign: Any, nodes: list[str], num_actors: int) -> Generator[Answer, None, None]:
        """Have the window scored, and yield the answers as they come; blocks.

        Args:
            work: What the workers are for.
            sign: The actor that is the run's `StopSign`.
            nodes: Where they work, in turn.
            num_actors: How many they are.

        Raises:
            FaceStatsError: A worker met one, or the cluster was lost.
        """
        with translated_ray_errors():
            for block in self._scored(work, sign, nodes, num_actors):
                yield from answers_in(block)

    def _scored(self, work: Work, sign: Any, nodes: list[str], num_actors: int) -> Iterator[pa.Table]:
        import ray.data
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        from fsclient.ingest.ray_runner.stages import ScoringActor, read_entries

        in_turn = itertools.cycle(nodes)

        def placed() -> dict[str, Any]:
            return {"scheduling_strategy": NodeAffinitySchedulingStrategy(next(in_turn), soft=True)}

        blocks, self._blocks = self._blocks, []
        read: Any = read_entries
        num_actors = min(num_actors, len(blocks))
        calls = -(-work.scoring.concurrency // work.num_sharing // _PHOTOS_OF_A_CALL) + 1
        workers = ray.data.ActorPoolStrategy(
            size=num_actors,
            max_tasks_in_flight_per_actor=calls + _WAITING_CALLS,
            max_concurrent_calls_per_actor=calls,
            enable_true_multi_threading=True,
        )
        photos = ray.data.from_arrow(blocks).map_batches(
            read,
            batch_size=None,
            batch_format="pyarrow",
            fn_kwargs={"sign": sign},
            num_cpus=1,
            max_retries=_READ_RETRIES,
        )
        answers = photos.map_batches(
            ScoringActor,
            batch_size=None,
            batch_format="pyarrow",
            fn_constructor_args=(work, sign),
            compute=workers,
            num_cpus=0,
            max_task_retries=_SCORE_RETRIES,
            ray_remote_args_fn=placed,
        )
        yield from answers.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)


def held_bytes(entries: Sequence[PhotoEntry]) -> int:
    """Return the bytes of photos that come with their entries."""
    return sum(len(data) for entry in entries if (data := getattr(entry, "data", None)) is not None)
