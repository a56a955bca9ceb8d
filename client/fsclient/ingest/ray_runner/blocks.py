"""What passes through Ray Data: entries on their way to be read, photos on their way to a server, and answers."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from fsclient.photos.photo_file import Photo
from fsengine.errors import FaceStatsError

_NUMBERED = pa.schema([("number", pa.int64()), ("item", pa.large_binary())])
"""Of entries and of photos: the number that the driver gave each, and the rest pickled."""

_ANSWERS = pa.schema([("answer", pa.large_binary())])


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOutcome:
    """A photo that was read.

    Attributes:
        photo: It, ready for a server; or why it could not be had.
        read_s: Seconds that it took, conversion included.
    """

    photo: Photo | FaceStatsError
    read_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of the photos of one block; those that nothing is said of were not begun.

    Attributes:
        numbers: Of the photos that have rows, in their order.
        num_faces: Of each of them.
        rows: Their rows in Arrow's IPC form, empty where there is none.
        left: Numbers of photos that could not be had or that no server could be had for, and why.
        error: What ends the run.
    """

    numbers: Sequence[int] = ()
    num_faces: Sequence[int] = ()
    rows: bytes = b""
    left: Sequence[tuple[int, FaceStatsError]] = field(default=())
    error: FaceStatsError | None = None


def numbered_block(items: Iterable[tuple[int, bytes]]) -> pa.Table:
    """Return a block of numbered pickles."""
    numbers, pickled = [], []
    for number, item in items:
        numbers.append(number)
        pickled.append(item)
    return pa.table([pa.array(numbers, pa.int64()), pa.array(pickled, pa.large_binary())], schema=_NUMBERED)


def numbered_items(block: pa.Table) -> Iterator[tuple[int, bytes]]:
    """Yield the numbers and the pickles of a block."""
    for number, item in zip(block["number"], block["item"], strict=True):
        yield number.as_py(), item.as_py()


def answer_block(answer: Answer) -> pa.Table:
    """Return an answer as a block."""
    pickled = pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
    return pa.table([pa.array([pickled], pa.large_binary())], schema=_ANSWERS)


def answers_in(block: pa.Table) -> Iterator[Answer]:
    """Yield the answers of a block."""
    if "answer" in block.column_names:  # a block of nothing has no columns
        for pickled in block["answer"]:
            yield pickle.loads(pickled.as_py())  # noqa: S301 - from a worker of this run


def packed_rows(rows: pa.Table) -> bytes:
    """Return rows in Arrow's IPC form."""
    (batch,) = rows.combine_chunks().to_batches()
    packed: bytes = batch.serialize().to_pybytes()
    return packed


def unpacked_rows(packed: bytes, schema: pa.Schema) -> pa.Table:
    """Return the rows that `packed_rows` packed."""
    return pa.Table.from_batches([pa.ipc.read_record_batch(pa.py_buffer(packed), schema)])
