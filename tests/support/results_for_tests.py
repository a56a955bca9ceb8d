"""Folders of results with histories: photos that were changed, done again and moved between parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsclient.testing import ensemble
from fsdata.results.parts import PartNumbers, PartWriter, locked
from fsdata.results.rows import PhotoFile, PhotoRow
from fsdata.results.schema import part_schema
from fsdata.results.status import Status
from fsengine.contracts.served import ServedEnsemble

SERVED = ensemble()
WITHOUT_EMBEDDINGS = replace(SERVED, outputs={n: s for n, s in SERVED.outputs.items() if n != "face_embedding"})


def row_of(
    source: str,
    num_faces: int = 1,
    *,
    value: float = 0.5,
    status: Status | None = None,
    served: ServedEnsemble = SERVED,
    num_bytes: int = 1,
    mtime_ns: int = 1,
) -> PhotoRow:
    """Return the row of a photo; the numbers of face n are `value` + n."""
    numbers: NDArray[np.float32] = np.arange(num_faces, dtype=np.float32) + np.float32(value)
    faces = {}
    for name, shape in served.outputs.items():
        if shape[0] == -1:
            faces[name] = np.broadcast_to(numbers.reshape(-1, *[1] * (len(shape) - 1)), (num_faces, *shape[1:]))
    return PhotoRow(
        photo=PhotoFile(source=source, num_bytes=num_bytes, mtime_ns=mtime_ns, content_hash=f"hash of {source}"),
        status=status or (Status.OK if num_faces else Status.NO_FACE),
        width=640,
        height=480,
        faces=faces if num_faces else {},
        attempts=1,
        infer_ms=value,
    )


def write_parts(folder: Path, *parts: list[PhotoRow], served: ServedEnsemble = SERVED) -> Path:
    """Write rows into new parts of a folder."""
    with locked(folder):
        writer = PartWriter(PartNumbers(folder), part_schema(served), served.models.model_set_id)
        for rows in parts:
            writer.write(rows)
    return folder


def random_history(seed: int, *, num_rows: int = 200, num_sources: int = 60) -> list[list[PhotoRow]]:
    """Return the rows of parts in which sources come back, with the same file or another one."""
    rng = np.random.default_rng(seed)
    names = [f"/photos/{'ä' * (n % 3)}{n}/{'x' * int(rng.integers(1, 40))}.jpg" for n in range(num_sources)]
    rows = []
    for number in range(num_rows):
        status = list(Status)[int(rng.integers(len(Status)))]
        num_faces = int(rng.integers(1, 4)) if status is Status.OK else 0
        rows.append(
            row_of(
                names[int(rng.integers(num_sources))],
                num_faces,
                value=float(number),
                status=status,
                num_bytes=int(rng.integers(-1, 2)),
                mtime_ns=int(rng.integers(-1, 2)) * 10**18,
            )
        )
    ends = sorted({int(end) for end in rng.integers(1, num_rows, 5)})
    return [part for part in (rows[a:b] for a, b in zip([0, *ends], [*ends, num_rows], strict=True)) if part]


def latest_of(parts: list[list[PhotoRow]]) -> list[PhotoRow]:
    """Return the last row of each source in the order of the rows, as a dict finds them."""
    last: dict[str, int] = {}
    rows = [row for part in parts for row in part]
    for number, row in enumerate(rows):
        last[row.photo.source] = number
    return [rows[number] for number in sorted(last.values())]


def faces_of(rows: list[PhotoRow]) -> list[dict[str, Any]]:
    """Return some columns of the faces of rows, flat."""
    return [
        {
            "source": row.photo.source,
            "face_index": index,
            "x0": float(row.faces["face_box"][index, 0]),
            "embedding": row.faces["face_embedding"][index].tolist(),
            "gender": "female",
            "age_years": float(row.faces["age_years"][index, 0]),
        }
        for row in rows
        for index in range(row.num_faces)
    ]
