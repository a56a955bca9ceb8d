"""Put exported models together into a pack: complete, or without its `pack.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fsengine.packs import PACK_FILE, Pack, PackModel, file_sha256, write_pack
from fsengine.preprocessing import Preprocessing
from fsengine.steps import (
    AGE_GENDER,
    ALIGN,
    ATTRACTIVENESS,
    DETECT,
    EMBED,
    ETHNICITY,
    age_gender_crop,
    age_gender_spec,
    align_spec,
    attractiveness_spec,
    detect_spec,
    embed_spec,
    ethnicity_spec,
    face_embedding,
)
from fsengine.tensors import ModelSpec

ARTIFACT_FILES = {
    DETECT: "detect/model.onnx",
    ALIGN: "align/model.onnx",
    EMBED: "embed/model.onnx",
    ATTRACTIVENESS: "attractiveness/model.onnx",
    ETHNICITY: "ethnicity/checkpoint.tl",
    AGE_GENDER: "age_gender/model.onnx",
}
"""Where the artifact of each step lies in a pack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOrigin:
    """Where a model of a pack comes from.

    Attributes:
        source: For people.
        sources: Name of each source file to its path; their hashes go into the pack.
        licence: SPDX identifier or the licence's own name.
        marks: What a reader must know of its results.
    """

    source: str
    licence: str
    sources: Mapping[str, str]
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PackDesign:
    """What a pack is, besides its artifacts; see `fsengine.packs.Pack`."""

    name: str
    description: str
    preprocessing: Preprocessing
    max_faces: int
    embedding_width: int
    labels: Mapping[str, list[str]]
    origins: Mapping[str, ModelOrigin]


def begin_pack(folder: Path) -> None:
    """Make a pack's folder; one that was whole is not any more until `finish_pack`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PACK_FILE).unlink(missing_ok=True)


def finish_pack(design: PackDesign, folder: Path) -> Pack:
    """Describe the artifacts that lie in a folder and make it a pack.

    Raises:
        PackError: They do not fit the contracts.
    """
    models = {}
    for step, origin in design.origins.items():
        spec = _spec(design, step)
        models[step] = PackModel(
            file=ARTIFACT_FILES[step],
            sha256=file_sha256(folder / ARTIFACT_FILES[step]),
            precision="fp32",
            licence=origin.licence,
            source=origin.source,
            source_sha256=dict(origin.sources),
            marks=origin.marks,
            inputs=spec.inputs,
            outputs=spec.outputs,
        )
    pack = Pack(
        name=design.name,
        description=design.description,
        preprocessing=design.preprocessing,
        max_faces=design.max_faces,
        embedding_width=design.embedding_width,
        labels=dict(design.labels),
        models=models,
    )
    write_pack(pack, folder)
    return pack


def _spec(design: PackDesign, step: str) -> ModelSpec:
    """Return the contract of a step of a design."""
    crops = design.preprocessing
    width = design.embedding_width
    match step:
        case "detect":
            return detect_spec(design.max_faces)
        case "align":
            return align_spec(design.max_faces, crops.portrait, crops.age_gender)
        case "embed":
            return embed_spec(crops.portrait, width)
        case "attractiveness":
            return attractiveness_spec(width)
        case "ethnicity":
            return ethnicity_spec(width, len(design.labels["ethnicity"]))
        case "age_gender":
            crop = crops.age_gender
            return age_gender_spec(face_embedding(width) if crop is None else age_gender_crop(crop))
    raise AssertionError(f"no contract for step {step!r}")
