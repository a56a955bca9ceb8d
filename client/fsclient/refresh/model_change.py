"""What a change of models makes stale in results: nothing, some heads, or every photo."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from fsdata.results.parts import open_part, part_paths
from fsdata.results.schema import FACE_COLUMNS, FACES, part_schema
from fsengine.contracts.served import ServedEnsemble, ServedModels
from fsengine.contracts.steps import HEADS


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldPart:
    """A part as it lies in a folder of results.

    Attributes:
        path: Its path.
        models: What it was made with.
        fields: Field of a face to its type.
    """

    path: Path
    models: ServedModels
    fields: dict[str, pa.DataType]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChange:
    """What differs between results and what is served.

    Attributes:
        photos_because: Why every photo is stale; None where none is.
        heads: Steps of the heads to run on the stored embeddings, in the order of `fsengine.contracts.steps.HEADS`.
        gone: Steps of the heads that are no longer served.
        described: Whether what the parts say of their models differs at all.
    """

    photos_because: str | None
    heads: tuple[str, ...]
    gone: tuple[str, ...]
    described: bool

    @property
    def any(self) -> bool:
        """Return whether there is anything to do."""
        return self.photos_because is not None or bool(self.heads or self.gone) or self.described


def held_parts(folder: Path) -> list[HeldPart]:
    """Return the parts of a folder, oldest first.

    Raises:
        ResultsError: One cannot be read.
    """
    parts = []
    for path in part_paths(folder) if folder.is_dir() else []:
        with open_part(path) as part:
            fields = {f.name: f.type for f in part.schema.field(FACES).type.value_type}
            parts.append(HeldPart(path=path, models=part.info.models, fields=fields))
    return parts


def compare(parts: Iterable[HeldPart], served: ServedEnsemble) -> ModelChange:
    """Compare parts with what is served; what is stale in one part is stale in all."""
    changes = [_compare(part, served) for part in parts]
    heads = {step for change in changes for step in change.heads}
    gone = {step for change in changes for step in change.gone}
    return ModelChange(
        photos_because=next((c.photos_because for c in changes if c.photos_because is not None), None),
        heads=tuple(step for step in HEADS if step in heads),
        gone=tuple(step for step in HEADS if step in gone),
        described=any(change.described for change in changes),
    )


def _compare(part: HeldPart, served: ServedEnsemble) -> ModelChange:
    old, new = part.models, served.models
    wanted = {f.name: f.type for f in part_schema(served).field(FACES).type.value_type}
    # Fields of faces whose head is a model of its own; the others come from detect, align and embed.
    maker = {FACE_COLUMNS[o]: head.step for head in served.heads.values() for o in head.outputs.values()}
    unfit = [name for name, dtype in wanted.items() if part.fields.get(name) != dtype]
    stale = {step for step in HEADS if step in new.models and old.models.get(step) != new.models[step]}
    stale |= {maker[name] for name in unfit if name in maker}
    heads = tuple(step for step in HEADS if step in stale)
    return ModelChange(
        photos_because=_photos_because(old, served, heads, [name for name in unfit if name not in maker]),
        heads=heads,
        gone=tuple(step for step in HEADS if step in old.models and step not in new.models),
        described=old != new or part.fields != wanted,
    )


def _photos_because(old: ServedModels, served: ServedEnsemble, heads: tuple[str, ...], unfit: list[str]) -> str | None:
    """Return why the photos must be scored again, or None where the stored embeddings do."""
    new = served.models
    if old.preprocessing_id != new.preprocessing_id:
        return f"the preprocessing changed ({old.preprocessing_id} to {new.preprocessing_id})"
    for step in sorted({*old.models, *new.models} - set(HEADS)):
        if old.models.get(step) != new.models.get(step):
            return f"the {step} model changed ({old.models.get(step)} to {new.models.get(step)})"
    for step in heads:
        if step not in served.heads or not served.heads[step].reads_embedding:
            return f"the {step} model changed, and it reads a crop of the photo"
    if unfit:
        return f"the parts hold no column {', '.join(unfit)} as it is served"
    return None
