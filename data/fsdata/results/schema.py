"""The schema of a part: one row per photo, its faces nested.

A head that is not served has no column. Fixed-size lists are never null, because pyarrow cannot read a null
back from one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import pyarrow as pa

from fsengine.contracts.meanings import MEANINGS
from fsengine.contracts.served import EMBEDDING, ServedEnsemble, ServedModels
from fsengine.errors import InvalidInputError, ResultsError
from fsengine.files.json_record import convert
from fsengine.files.stores.store_path import AnyPath

METADATA_KEY = b"facestats"
FORMAT_VERSION = 1

FACES = "faces"

FACE_COLUMNS: Mapping[str, str] = {
    "face_box": "box",
    "face_landmarks": "landmarks",
    "face_score": "score",
    "face_embedding": "embedding",
    "attractiveness": "attractiveness",
    "attractiveness_percentile": "attractiveness_percentile",
    "attractiveness_decile": "attractiveness_decile",
    "attractiveness_interval": "attractiveness_interval",
    "ethnicity_probability": "ethnicity_probability",
    "gender_probability": "gender_probability",
    "age_years": "age_years",
    "age_interval_years": "age_interval_years",
}
"""Ensemble output to the name of its field, in the order of the fields."""

EMBEDDING_COLUMN = FACE_COLUMNS[EMBEDDING]
"""Absent where a run stored no embeddings."""

UNITS = {
    "mtime_ns": "nanoseconds since 1970-01-01 UTC",
    "etag": "what a store calls this version of the object, or of the shard that holds the photo; null for a file",
    "width": "pixels of the upright photo",
    "height": "pixels of the upright photo",
    "converted": "why the decoder got another form of the photo than the file; null where it got the file",
    "read_ms": "milliseconds to read and hash the file, and to convert it",
    "infer_ms": "milliseconds from request to answer, waiting included",
    **{column: MEANINGS[output].text for output, column in FACE_COLUMNS.items()},
}

PHOTO_FIELDS = (
    pa.field("source", pa.string(), nullable=False),
    pa.field("bytes", pa.int64(), nullable=False),
    pa.field("mtime_ns", pa.int64(), nullable=False),
    pa.field("etag", pa.string()),
    pa.field("content_hash", pa.string()),
    pa.field("width", pa.int32()),
    pa.field("height", pa.int32()),
    pa.field("status", pa.string(), nullable=False),
    pa.field("reason", pa.string()),
    pa.field("converted", pa.string()),
    pa.field("faces_truncated", pa.bool_(), nullable=False),
    pa.field("model_set_id", pa.string(), nullable=False),
    pa.field("attempts", pa.int32(), nullable=False),
    pa.field("read_ms", pa.float32(), nullable=False),
    pa.field("infer_ms", pa.float32()),
)

COLUMNS = (*(field.name for field in PHOTO_FIELDS), FACES)
"""Every column of a part."""

LATER_COLUMNS = frozenset({"converted", "etag"})
"""Columns that parts of earlier versions lack; they read as null there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartInfo:
    """What the metadata of a part says.

    Attributes:
        models: What was served.
        runtime: What served it.
    """

    models: ServedModels
    runtime: str


def face_type(shape: tuple[int, ...]) -> pa.DataType:
    """Return the Arrow type of one face's value in an output of shape (-1, ...)."""
    dtype: pa.DataType = pa.float32()
    inner = shape[1:]
    if inner == (1,):
        return dtype
    for size in reversed(inner):
        dtype = pa.list_(pa.field("element", dtype, nullable=False), size)
    return dtype


def face_outputs(ensemble: ServedEnsemble) -> list[str]:
    """Return the outputs of the ensemble that become fields of a face."""
    return [name for name in FACE_COLUMNS if name in ensemble.outputs]


def part_schema(ensemble: ServedEnsemble) -> pa.Schema:
    """Return the schema of parts written from what is served, with units and models in its metadata."""
    faces = pa.list_(
        pa.field(
            "element",
            pa.struct(
                [
                    pa.field(FACE_COLUMNS[name], face_type(ensemble.outputs[name]), nullable=False)
                    for name in face_outputs(ensemble)
                ]
            ),
            nullable=False,
        )
    )
    record = {
        "format": FORMAT_VERSION,
        "served": asdict(ensemble.models),
        "runtime": ensemble.runtime,
        "units": UNITS,
    }
    return pa.schema(
        [*PHOTO_FIELDS, pa.field(FACES, faces, nullable=False)], metadata={METADATA_KEY: json.dumps(record)}
    )


def holds_embeddings(part: pa.Schema) -> bool:
    """Return whether the faces of a part have embeddings."""
    return any(field.name == EMBEDDING_COLUMN for field in part.field(FACES).type.value_type)


def no_embeddings(path: AnyPath) -> InvalidInputError:
    """Return the error for results, or a master table, that are read for embeddings and hold none."""
    return InvalidInputError(
        f"{path} holds no embeddings: they were left out when its photos were scored (`fsclient ingest "
        "--no-embedding`); ingest the photos into another --out without that option"
    )


def read_info(schema: pa.Schema, origin: str) -> PartInfo:
    """Read what a part says of its models.

    Args:
        schema: The part's schema.
        origin: Its path, for messages.

    Raises:
        ResultsError: It is no part, or one of another format.
    """
    raw = (schema.metadata or {}).get(METADATA_KEY)
    if raw is None:
        raise ResultsError(f"{origin} was not written by `fsclient ingest`: its metadata has no 'facestats'")
    try:
        record = json.loads(raw)
        found = record["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise ResultsError(f"{origin} was not written by `fsclient ingest`: its 'facestats' is no record") from exc
    if found != FORMAT_VERSION:
        raise ResultsError(
            f"{origin} has format {found}, this fsclient reads {FORMAT_VERSION}; use the fsclient that wrote it"
        )
    return convert(
        {"models": record.get("served"), "runtime": record.get("runtime")},
        PartInfo,
        lambda reason: ResultsError(
            f"{origin} has metadata that is damaged ({reason}); bring back a copy of it, or move it away and run again"
        ),
    )
