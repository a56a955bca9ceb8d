"""Parts of results whose faces are told by their embeddings, for training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fsdata.results.schema import part_schema
from fsengine.contracts.served import ServedEnsemble, ServedModels

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
