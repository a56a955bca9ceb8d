"""Parts of results whose faces are told by their embeddings, for training."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fsdata.labels.record import LabelledPhoto
from fsdata.results.schema import part_schema
from fsengine.contracts.served import ServedEnsemble, ServedModels
from fsengine.photo.gate import judge

WIDTH = 4
ENCODER = "enc-0123456789ab"
SERVED = ServedModels(
    pack="a test",
    model_set_id="set-0",
    preprocessing_id="pre-0",
    models={"embed": "embed-0"},
    labels={},
    marks={},
    licences={"embed": "MIT"},
    encoder_id=ENCODER,
)
OUTPUTS = {"face_box": (-1, 4), "face_score": (-1, 1), "face_embedding": (-1, WIDTH)}


def axis(number: int) -> list[float]:
    return np.eye(WIDTH)[number].tolist()


def face(number: int, box: tuple[float, float, float, float] = (0, 0, 10, 10)) -> dict[str, Any]:
    """Make a face that is told by the axis of its embedding."""
    return {"box": list(box), "score": 0.9, "embedding": axis(number)}


def photo(name: str, *faces: dict[str, Any], **changes: Any) -> dict[str, Any]:
    values = {
        "source": f"/photos/{name}",
        "bytes": 1,
        "mtime_ns": 1,
        "content_hash": f"hash of {name}",
        "width": 100,
        "height": 100,
        "status": "ok" if faces else "no_face",
        "reason": None,
        "faces_truncated": False,
        "model_set_id": "set-0",
        "attempts": 1,
        "read_ms": 1.0,
        "infer_ms": 1.0,
        "faces": list(faces),
    }
    return {**values, **changes}


def write_part(folder: Path, number: int, *photos: dict[str, Any], models: ServedModels = SERVED) -> Path:
    schema = part_schema(ServedEnsemble(models=models, outputs=OUTPUTS, runtime="a test"))
    path = folder / f"part-{number:06d}.parquet"
    pq.write_table(pa.Table.from_pylist(list(photos), schema=schema), path)
    return path


def results_of(records: Sequence[LabelledPhoto], folder: Path) -> Path:
    """Write results of photos that are there, with embeddings that say something of their ethnicity."""
    rng = np.random.default_rng(0)
    rows = []
    for record in records:
        vector = rng.normal(size=8)
        vector[sum(map(ord, str(record.ethnicity))) % 8] += 4.0
        data = record.path.read_bytes()
        gate = judge(data)
        unit = (vector / np.linalg.norm(vector)).tolist()
        rows.append(
            photo(
                record.path.name,
                {"box": [0, 0, 8, 8], "score": 0.9, "embedding": unit},
                source=str(record.path),
                bytes=len(data),
                content_hash=hashlib.sha256(data).hexdigest(),
                width=gate.width,
                height=gate.height,
            )
        )
    folder.mkdir()
    outputs = {**OUTPUTS, "face_embedding": (-1, 8)}
    schema = part_schema(ServedEnsemble(models=SERVED, outputs=outputs, runtime="a test"))
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "part-000001.parquet")
    return folder
