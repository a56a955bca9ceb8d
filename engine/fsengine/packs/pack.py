"""Model packs: a folder with a `pack.json` and the artifacts that it names.

A pack says everything that its models leave open in the contracts of `fsengine.contracts.steps`: crops, embedding
width, faces per photo, class labels, licences and marks. `pack.json` is written last, so a pack with one is
whole.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fsengine.contracts import steps
from fsengine.contracts.label_rules import check_labels
from fsengine.contracts.preprocessing import Preprocessing
from fsengine.contracts.served import ETHNICITY, GENDER, ServedModels
from fsengine.contracts.tensors import ModelSpec, TensorSpec
from fsengine.errors import PackError
from fsengine.files.hashing import file_sha256
from fsengine.files.json_record import read_json, write_json

PACK_FILE = "pack.json"

PACK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
PACK_NAME_RULE = "1 to 100 letters, digits, dots, dashes and underlines, a letter or a digit first"

PRECISIONS = ("fp32", "fp16", "int8", "int8-symmetric", "fp8")
HALF_PRECISIONS = frozenset({"fp16", "int8-symmetric", "fp8"})
"""Those whose graphs hold fp16, on which ONNX Runtime's CPU provider can crash at its highest optimization level."""

_REQUIRED_STEPS = (steps.DETECT, steps.ALIGN, steps.EMBED)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackModel:
    """One model of a pack.

    Attributes:
        file: Path of the artifact below the pack's folder, with `/`.
        sha256: Its hash in hex.
        precision: One of `PRECISIONS`.
        licence: SPDX identifier or the licence's own name.
        commercial_use: Whether that licence allows commercial use.
        source: Where the weights come from.
        source_sha256: Hash of each source file, by its name.
        provenance: How the artifact was made: `exporter` with its version, and its `options`.
        marks: What a reader must know of its results, for example `untrained weights`.
        inputs: Its tensors as served, checked against the contract.
        outputs: The same.
    """

    file: str
    sha256: str
    precision: str
    licence: str
    commercial_use: bool
    source: str
    source_sha256: Mapping[str, str]
    provenance: Mapping[str, Any]
    marks: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def __post_init__(self) -> None:
        path = Path(self.file)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise PackError(f"pack file {self.file!r} must be a path below the pack's folder")
        if self.precision not in PRECISIONS:
            raise PackError(
                f"pack file {self.file!r} has precision {self.precision!r}, expected {', '.join(PRECISIONS)}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """A model pack.

    Attributes:
        name: Its name on the command line.
        description: One sentence for people.
        preprocessing: The pixels that its models expect.
        max_faces: The most faces that detect gives of a photo, 1 to `steps.FACE_BATCH_LIMIT`.
        embedding_width: Width of the embedding.
        labels: Head (`gender`, `ethnicity`) to class labels.
        models: Step to its model.
        thresholds: Head to the least probability of its likeliest class; below it the head abstains.
    """

    name: str
    description: str
    preprocessing: Preprocessing
    max_faces: int
    embedding_width: int
    labels: Mapping[str, list[str]]
    models: Mapping[str, PackModel]
    thresholds: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not PACK_NAME.fullmatch(self.name):
            raise PackError(f"pack name {self.name[:100]!r}: expected {PACK_NAME_RULE}")
        for head, labels in self.labels.items():
            try:
                check_labels(labels)
            except (ValueError, TypeError) as exc:
                raise PackError(f"pack {self.name!r}, labels of {head}: {exc}") from exc
        for head, threshold in self.thresholds.items():
            if head not in self.labels or not 0 <= threshold < 1:
                raise PackError(
                    f"pack {self.name!r}: threshold of {head!r} is {threshold!r}, expected 0 to 1 of a head with labels"
                )
        known = {*_REQUIRED_STEPS, *steps.HEADS}
        if unknown := set(self.models) - known:
            raise PackError(f"pack {self.name!r} has models for {sorted(unknown)}; known steps: {sorted(known)}")
        if missing := set(_REQUIRED_STEPS) - set(self.models):
            raise PackError(f"pack {self.name!r} lacks a model for {sorted(missing)}")
        if not 1 <= self.max_faces <= steps.FACE_BATCH_LIMIT:
            raise PackError(
                f"pack {self.name!r}: max_faces is {self.max_faces}, expected 1 to {steps.FACE_BATCH_LIMIT}, "
                "the most rows of one execution of a step on faces"
            )
        for step, label in ((steps.ETHNICITY, ETHNICITY), (steps.AGE_GENDER, GENDER)):
            if step in self.models and not self.labels.get(label):
                raise PackError(f"pack {self.name!r} has a model for {step} and no labels for {label!r}")
        for spec in self.specs():
            model = self.models.get(spec.name)
            if model is not None and (model.inputs, model.outputs) != (spec.inputs, spec.outputs):
                raise PackError(
                    f"pack {self.name!r}, step {spec.name}: its tensors are {_names(model.inputs, model.outputs)}, "
                    f"expected {_names(spec.inputs, spec.outputs)}; export the model again"
                )

    def specs(self) -> list[ModelSpec]:
        """Return the contract of every step that the pack serves, in the order of the ensemble."""
        age_gender = self.preprocessing.age_gender
        embedding = steps.face_embedding(self.embedding_width)
        specs = [
            steps.decode_spec(),
            steps.detect_spec(self.max_faces),
            steps.align_spec(self.max_faces, self.preprocessing.portrait, age_gender),
            steps.embed_spec(self.preprocessing.portrait, self.embedding_width),
        ]
        if steps.ATTRACTIVENESS in self.models:
            with_interval = steps.ATTRACTIVENESS_INTERVAL in self.models[steps.ATTRACTIVENESS].outputs
            specs.append(steps.attractiveness_spec(self.embedding_width, with_interval=with_interval))
        if steps.ETHNICITY in self.models:
            forest = not self.models[steps.ETHNICITY].file.endswith(".onnx")
            specs.append(steps.ethnicity_spec(self.embedding_width, len(self.labels[ETHNICITY]), forest=forest))
        if steps.AGE_GENDER in self.models:
            source = embedding if age_gender is None else steps.age_gender_crop(age_gender)
            outputs = self.models[steps.AGE_GENDER].outputs
            specs.append(
                steps.age_gender_spec(
                    source,
                    len(self.labels[GENDER]),
                    with_age=steps.AGE_YEARS in outputs,
                    with_interval=steps.AGE_INTERVAL in outputs,
                )
            )
        return specs

    def without(self, heads: tuple[str, ...]) -> Pack:
        """Return the pack with some heads switched off.

        Raises:
            PackError: One of them is not a head of the pack.
        """
        present = [head for head in steps.HEADS if head in self.models]
        for head in heads:
            if head not in present:
                raise PackError(f"pack {self.name!r} has no head {head!r} to switch off; it has {present}")
        off = {steps.ETHNICITY: ETHNICITY, steps.AGE_GENDER: GENDER}
        gone = {off.get(head) for head in heads}
        return replace(
            self,
            labels={k: v for k, v in self.labels.items() if k not in gone},
            models={step: model for step, model in self.models.items() if step not in heads},
            thresholds={k: v for k, v in self.thresholds.items() if k not in gone},
        )

    @property
    def encoder_id(self) -> str:
        """Return the id of what the embedding means: pixels, encoder and options, in whatever precision it runs."""
        model = self.models[steps.EMBED]
        options = {k: v for k, v in model.provenance.get("options", {}).items() if k != "photos"}
        pixels = replace(self.preprocessing, age_gender=None).preprocessing_id
        text = json.dumps([pixels, model.source, dict(model.source_sha256), options], sort_keys=True)
        return "enc-" + hashlib.sha256(text.encode()).hexdigest()[:12]

    def served(self) -> ServedModels:
        """Return what a server of this pack says of itself."""
        preprocessing_id = self.preprocessing.preprocessing_id
        models = {step: f"{step}-{model.sha256[:12]}-{model.precision}" for step, model in sorted(self.models.items())}
        text = json.dumps([preprocessing_id, models], sort_keys=True)
        marks: dict[str, list[str]] = {}
        for step, model in self.models.items():
            for mark in model.marks:
                marks.setdefault(mark, []).append(step)
        return ServedModels(
            pack=self.name,
            model_set_id="set-" + hashlib.sha256(text.encode()).hexdigest()[:16],
            preprocessing_id=preprocessing_id,
            models=models,
            labels=dict(self.labels),
            marks=marks,
            licences={step: model.licence for step, model in self.models.items()},
            encoder_id=self.encoder_id,
            thresholds=dict(self.thresholds),
        )


def read_pack(folder: Path) -> Pack:
    """Read a pack's description without touching its artifacts.

    Raises:
        PackError: There is no `pack.json`, or it does not describe a pack.
    """
    if not (folder / PACK_FILE).is_file():
        raise PackError(f"{folder} holds no {PACK_FILE}; expected a model pack")
    return read_json(folder / PACK_FILE, Pack, lambda text: PackError(f"{text}; expected the description of a pack"))


def write_pack(pack: Pack, folder: Path) -> Path:
    """Write `pack.json`, the last act of making a pack, and return its path."""
    path = folder / PACK_FILE
    write_json(path, pack)
    return path


def verify_pack(folder: Path) -> Pack:
    """Read a pack and compare every artifact with its hash.

    Raises:
        PackError: A file is missing or differs from what `pack.json` says.
    """
    pack = read_pack(folder)
    for step, model in pack.models.items():
        path = folder / model.file
        if not path.is_file():
            raise PackError(f"pack {pack.name!r}, step {step}: {path} is missing; build or fetch the pack again")
        if (found := file_sha256(path)) != model.sha256:
            raise PackError(
                f"pack {pack.name!r}, step {step}: {path} has sha256 {found}, expected {model.sha256}; "
                "the file was altered: build or fetch the pack again"
            )
    return pack


def _names(*groups: tuple[TensorSpec, ...]) -> str:
    """Return tensors for a message."""
    return " -> ".join(", ".join(f"{t.name} {t.dtype.value}{list(t.shape)}" for t in group) for group in groups)
