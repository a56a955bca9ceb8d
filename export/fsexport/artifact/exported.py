"""An exported model: a folder with one artifact and its record, `artifact.json`.

The record is written last, so a folder with one is whole. It says what the artifact was made from and how, and an
export whose record would be the same is not done again.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from fsengine.contracts.label_rules import check_labels
from fsengine.contracts.preprocessing import CropSpec
from fsengine.contracts.tensors import ModelSpec, TensorSpec
from fsengine.errors import ExportError, FaceStatsError, InvalidInputError
from fsengine.files.hashing import file_sha256
from fsengine.files.json_record import write_json
from fsexport.artifact.parity import Parity, require_parity

RECORD_FILE = "artifact.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a model comes from.

    Attributes:
        source: For people.
        licence: SPDX identifier or the licence's own name.
        commercial_use: Whether it allows commercial use.
        sources: Name of each source file to its SHA-256.
        marks: What a reader must know of its results, for example `untrained weights`.
    """

    source: str
    licence: str
    commercial_use: bool
    sources: Mapping[str, str] = field(default_factory=dict)
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportJob:
    """What is to be exported.

    Attributes:
        step: The step that it serves.
        origin: Its source.
        options: Everything else that decides the artifact.
        precision: One of `fsengine.packs.pack.PRECISIONS`.
        file: Name of the artifact.
        libraries: Packages whose versions may change the artifact.
    """

    step: str
    origin: Origin
    options: Mapping[str, Any] = field(default_factory=dict)
    precision: str = "fp32"
    file: str = "model.onnx"
    libraries: tuple[str, ...] = ("onnx",)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportResult:
    """What an exporter says of the artifact that it wrote.

    Attributes:
        spec: Its tensors.
        crop: The crop that it reads, or None.
        labels: Head to class labels.
        parity: Comparisons with its source.
        reads: The encoder whose embeddings a head was trained on, see `Pack.encoder_id`; empty where it is not known.
        thresholds: Head to the least probability of its likeliest class.
    """

    spec: ModelSpec
    crop: CropSpec | None = None
    labels: Mapping[str, list[str]] = field(default_factory=dict)
    parity: tuple[Parity, ...] = ()
    reads: str = ""
    thresholds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """The record of an artifact; see `ExportJob`, `Origin` and `ExportResult` for what it repeats.

    Attributes:
        sha256: Hash of the artifact.
        exporter: Program and version.
        code: Hash of the exporter's own source files, so that a changed exporter exports again.
        measured_marks: What measuring the artifact showed that a reader must know, beside `marks`.
    """

    step: str
    file: str
    sha256: str
    precision: str
    source: str
    sources: Mapping[str, str]
    licence: str
    commercial_use: bool
    marks: tuple[str, ...]
    exporter: str
    code: str
    options: Mapping[str, Any]
    libraries: Mapping[str, str]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    crop: CropSpec | None
    labels: Mapping[str, list[str]]
    parity: tuple[Parity, ...]
    reads: str
    thresholds: Mapping[str, float]
    measured_marks: tuple[str, ...] = ()

    @property
    def all_marks(self) -> tuple[str, ...]:
        """Return what a reader of its results must know."""
        return tuple(dict.fromkeys((*self.marks, *self.measured_marks)))


def export_artifact(
    job: ExportJob, folder: Path, make: Callable[[Path], ExportResult], say: Callable[[str], None]
) -> Exported:
    """Export a model into a folder, whole or not at all; one that is there and would be the same is kept.

    Args:
        job: What decides the artifact.
        folder: Where artifact and record shall lie.
        make: Writes the artifact to a path and says what it is.
        say: Called with each line for people.

    Raises:
        InvalidInputError: The folder holds the artifact of another step or another file of its name, or cannot be
            written.
        ExportError: The export differs from its source by more than its limits.
    """
    key = _key(job)
    before = _read(folder)
    if before is not None and before.step != job.step:
        raise InvalidInputError(
            f"{folder} holds an artifact of {before.step}, not of {job.step}; choose another folder"
        )
    if before is not None and _key_of(before) == key and _is_whole(before, folder):
        say(f"{job.step}: unchanged, {folder / before.file}")
        return before
    if (folder / job.file).exists() and not (folder / RECORD_FILE).exists():
        raise InvalidInputError(
            f"{folder / job.file} is there already and is no artifact of fsexport (no {RECORD_FILE} beside it); choose "
            "another folder"
        )
    say(f"{job.step}: exporting {job.origin.source} ({job.precision})")
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".writing-", dir=folder) as temporary:
            path = Path(temporary) / job.file
            result = _run_exporter(job, make, path)
            require_parity(result.parity)
            if before is None:
                # Should the run die between the two, the folder is known as ours and its artifact as not whole.
                (folder / RECORD_FILE).write_text("{}")
            path.replace(folder / job.file)
            exported = Exported(
                sha256=file_sha256(folder / job.file),
                inputs=result.spec.inputs,
                outputs=result.spec.outputs,
                crop=result.crop,
                labels=dict(result.labels),
                parity=result.parity,
                reads=result.reads,
                thresholds=dict(result.thresholds),
                **key,
            )
            write_json(folder / RECORD_FILE, exported)
    except OSError as exc:
        raise InvalidInputError(f"{folder} cannot be written: {exc.strerror or exc}; choose another folder") from exc
    finally:
        if is_new and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    for row in result.parity:
        cosine = "" if row.least_cosine is None else f", least cosine {row.least_cosine:.7f}"
        say(f"  {row.quantity}: within {row.largest_difference:.2g} of {row.reference}{cosine}, on {row.inputs}")
    return exported


def _run_exporter(job: ExportJob, make: Callable[[Path], ExportResult], path: Path) -> ExportResult:
    """Run an exporter; what a model that is not what it seems to be makes a library raise is explained."""
    try:
        return make(path)
    except (FaceStatsError, OSError, ImportError):
        raise
    except Exception as exc:  # onnx, ONNX Runtime, torch and LightGBM share no base but Exception
        raise ExportError(
            f"{job.origin.source} cannot be exported ({type(exc).__name__}: {exc}); is it the model that it is said to "
            "be?"
        ) from exc


def note_measured_marks(exported: Exported, folder: Path, marks: tuple[str, ...]) -> Exported:
    """Write into an artifact's record what measuring it showed; marks of an earlier measurement go.

    Raises:
        InvalidInputError: The record cannot be written.
    """
    noted = replace(exported, measured_marks=marks)
    if noted != exported:
        try:
            write_json(folder / RECORD_FILE, noted)
        except OSError as exc:
            raise InvalidInputError(f"{folder} cannot be written: {exc.strerror or exc}") from exc
    return noted


def read_exported(folder: Path) -> Exported:
    """Read an artifact's record and compare the artifact with its hash.

    Raises:
        InvalidInputError: The folder holds no whole artifact, or it was altered.
    """
    exported = _read(folder)
    if exported is None:
        raise InvalidInputError(
            f"{folder} holds no {RECORD_FILE}; expected a folder that an `fsexport` command wrote with --out"
        )
    if not _is_whole(exported, folder):
        raise InvalidInputError(f"{folder / exported.file} is missing or was altered; export it again")
    return exported


def exported_step(folder: Path) -> str | None:
    """Return the step that a folder's artifact serves; None where the folder has no record, or a broken-off one."""
    record = _read(folder)
    return None if record is None else record.step


def file_hashes(*files: Path) -> dict[str, str]:
    """Return the name of each source file with its SHA-256.

    Raises:
        InvalidInputError: One cannot be read.
    """
    try:
        return {file.name: file_sha256(file) for file in files}
    except OSError as exc:
        raise InvalidInputError(f"{exc.filename} cannot be read: {exc.strerror}") from exc


def _key(job: ExportJob) -> dict[str, Any]:
    """Return what decides an artifact, as fields of its record."""
    return {
        "step": job.step,
        "file": job.file,
        "precision": job.precision,
        "source": job.origin.source,
        "sources": dict(job.origin.sources),
        "licence": job.origin.licence,
        "commercial_use": job.origin.commercial_use,
        "marks": tuple(job.origin.marks),
        "exporter": f"fsexport {version('facestats')}",
        "code": _code_hash(),
        "options": json.loads(json.dumps(job.options)),
        "libraries": {name: version(name) for name in job.libraries},
    }


def _key_of(exported: Exported) -> dict[str, Any]:
    results = {"sha256", "inputs", "outputs", "crop", "labels", "parity", "reads", "thresholds", "measured_marks"}
    return {item.name: getattr(exported, item.name) for item in fields(Exported) if item.name not in results}


def _code_hash() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _is_whole(exported: Exported, folder: Path) -> bool:
    try:
        return file_sha256(folder / exported.file) == exported.sha256
    except OSError:
        return False


def _read(folder: Path) -> Exported | None:
    """Return a folder's record; None where it has none, or one of another version."""
    try:
        exported = msgspec.json.decode((folder / RECORD_FILE).read_bytes(), type=Exported)
        for labels in exported.labels.values():
            check_labels(labels)
    except (OSError, ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return None
    is_complete = exported.inputs and exported.outputs and Path(exported.file).name == exported.file
    return exported if is_complete else None
