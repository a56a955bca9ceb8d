"""What a change of models makes stale in results: nothing, some heads, or every photo."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from fsdata.results.part_reading import open_part
from fsdata.results.parts import part_paths
from fsdata.results.schema import EMBEDDING_COLUMN, FACE_COLUMNS, FACES, part_schema
from fsengine.contracts.served import ServedEnsemble, ServedModels
from fsengine.contracts.steps import HEADS


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPart:
    """A part as it lies in a folder of results.

    Attributes:
        path: Its path.
        models: What it was made with.
        fields: Field of a face to its type.
    """

    path: Path
    models: ServedModels
    fields: dict[str, pa.DataType]

    @property
    def holds_embeddings(self) -> bool:
        """Return whether its faces have embeddings."""
        return EMBEDDING_COLUMN in self.fields


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChange:
    """What differs between results and what is served.

    Attributes:
        rescore_reason: Why every photo is stale; None where none is.
        heads: Steps of the heads to run on the stored embeddings, in the order of `fsengine.contracts.steps.HEADS`.
        removed_heads: Steps of the heads that are no longer served.
        removes_embeddings: Whether embeddings are stored that are no longer wanted.
        metadata_differs: Whether what the parts say of their models differs at all.
    """

    rescore_reason: str | None
    heads: tuple[str, ...]
    removed_heads: tuple[str, ...]
    removes_embeddings: bool
    metadata_differs: bool

    @property
    def is_change(self) -> bool:
        """Return whether there is anything to do."""
        return (
            self.rescore_reason is not None
            or bool(self.heads or self.removed_heads)
            or self.removes_embeddings
            or self.metadata_differs
        )


def stored_parts(folder: Path) -> list[StoredPart]:
    """Return the parts of a folder, oldest first.

    Raises:
        ResultsError: One cannot be read.
    """
    parts = []
    for path in part_paths(folder) if folder.is_dir() else []:
        with open_part(path) as part:
            fields = {f.name: f.type for f in part.schema.field(FACES).type.value_type}
            parts.append(StoredPart(path=path, models=part.info.models, fields=fields))
    return parts


def compare(parts: Iterable[StoredPart], served: ServedEnsemble) -> ModelChange:
    """Compare parts with what is served; what is stale in one part is stale in all.

    Args:
        parts: The parts.
        served: What is served, `without_embedding` where none are to be stored.
    """
    changes = [_compare(part, served) for part in parts]
    heads = {step for change in changes for step in change.heads}
    removed = {step for change in changes for step in change.removed_heads}
    return ModelChange(
        rescore_reason=next((c.rescore_reason for c in changes if c.rescore_reason is not None), None),
        heads=tuple(step for step in HEADS if step in heads),
        removed_heads=tuple(step for step in HEADS if step in removed),
        removes_embeddings=any(change.removes_embeddings for change in changes),
        metadata_differs=any(change.metadata_differs for change in changes),
    )


def _compare(part: StoredPart, served: ServedEnsemble) -> ModelChange:
    old, new = part.models, served.models
    wanted = {f.name: f.type for f in part_schema(served).field(FACES).type.value_type}
    # Fields of faces whose head is a model of its own; the others come from detect, align and embed.
    step_of_field = {FACE_COLUMNS[o]: head.step for head in served.heads.values() for o in head.outputs.values()}
    mismatched_fields = [name for name, dtype in wanted.items() if part.fields.get(name) != dtype]
    stale = {step for step in HEADS if step in new.models and old.models.get(step) != new.models[step]}
    stale |= {step_of_field[name] for name in mismatched_fields if name in step_of_field}
    heads = tuple(step for step in HEADS if step in stale)
    return ModelChange(
        rescore_reason=_rescore_reason(
            part, served, heads, [name for name in mismatched_fields if name not in step_of_field]
        ),
        heads=heads,
        removed_heads=tuple(step for step in HEADS if step in old.models and step not in new.models),
        removes_embeddings=part.holds_embeddings and EMBEDDING_COLUMN not in wanted,
        metadata_differs=old != new or part.fields != wanted,
    )


def _rescore_reason(
    part: StoredPart, served: ServedEnsemble, heads: tuple[str, ...], mismatched_fields: list[str]
) -> str | None:
    """Return why the photos must be scored again, or None where the stored embeddings do."""
    old, new = part.models, served.models
    if old.preprocessing_id != new.preprocessing_id:
        return f"the preprocessing changed ({old.preprocessing_id} to {new.preprocessing_id})"
    for step in sorted({*old.models, *new.models} - set(HEADS)):
        if old.models.get(step) != new.models.get(step):
            return f"the {step} model changed ({old.models.get(step)} to {new.models.get(step)})"
    for step in heads:
        if step not in served.heads or not served.heads[step].reads_embedding:
            return f"the {step} model changed, and it reads a crop of the photo"
        if not part.holds_embeddings:
            return f"the {step} model changed, and no embeddings were stored that it could read"
    if mismatched_fields:
        return f"the parts hold no column {', '.join(mismatched_fields)} as it is served"
    return None
