"""Put exported artifacts together into a pack: complete, or without its `pack.json`."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

from fsengine.contracts.preprocessing import CropSpec, Preprocessing
from fsengine.contracts.steps import AGE_GENDER, ALIGN, ATTRACTIVENESS, DETECT, EMBED, ETHNICITY, HEADS, align_spec
from fsengine.errors import InvalidInputError, PackError
from fsengine.files.hashing import file_sha256
from fsengine.packs.pack import PACK_FILE, Pack, PackModel, verify_pack, write_pack
from fsexport.align.align_graph import export_align
from fsexport.artifact.exported import RECORD_FILE, Exported, read_exported

_BEING_WRITTEN = ".pack-being-written"
"""Lies in a pack's folder while it is filled: what a killed run left is recognized by it."""

CARD_FILE = "card.md"
"""The model card of a trained head, beside it in a pack."""

_ARTIFACT_NAMES = ("model.onnx", "checkpoint.tl")

_ORDER = (DETECT, ALIGN, EMBED, ATTRACTIVENESS, ETHNICITY, AGE_GENDER)


def build_pack(name: str, description: str, folders: Sequence[Path], out: Path) -> Pack:
    """Copy artifacts into a pack, with the align graph that fits them.

    The artifacts are known to fit before anything in `out` is touched.

    Args:
        name: Of the pack.
        description: One sentence for people.
        folders: Folders of artifacts, one a step; detect and embed are needed.
        out: Folder of the pack: a new or empty one, or a pack, which is replaced.

    Raises:
        InvalidInputError: A folder holds no artifact, two serve the same step, or `out` holds something else.
        PackError: The artifacts do not fit together.
    """
    artifacts = _by_step(folders)
    detect, embed = artifacts[DETECT][1], artifacts[EMBED][1]
    if embed.crop is None:
        raise PackError(f"{artifacts[EMBED][0]} does not say which crop its encoder reads; export it again")
    age_gender = artifacts[AGE_GENDER][1].crop if AGE_GENDER in artifacts else None
    labels: dict[str, list[str]] = {}
    thresholds: dict[str, float] = {}
    for _, artifact in artifacts.values():
        labels.update(artifact.labels)
        thresholds.update(artifact.thresholds)
    models = {step: _pack_model(artifact) for step, (_, artifact) in artifacts.items()}
    with tempfile.TemporaryDirectory(prefix="facestats-") as temporary:
        align = Path(temporary) / "model.onnx"
        models[ALIGN] = _align(align, detect.outputs[0].shape[0], embed.crop, age_gender, embed.exporter)
        pack = Pack(
            name=name,
            description=description,
            preprocessing=Preprocessing(portrait=embed.crop, age_gender=age_gender),
            max_faces=detect.outputs[0].shape[0],
            embedding_width=embed.outputs[0].shape[0],
            labels=labels,
            models={step: models[step] for step in _ORDER if step in models},
            thresholds=thresholds,
        )
        _check_reads(pack, {str(folder): artifact.reads for folder, artifact in artifacts.values()})
        sources = {step: folder / artifact.file for step, (folder, artifact) in artifacts.items()}
        _install(pack, {**sources, ALIGN: align}, out)
    return pack


def change_heads(base: Path, changes: Mapping[str, Path | None], name: str, description: str, out: Path) -> Pack:
    """Make a pack of another one's detector and encoder with other heads.

    Args:
        base: Folder of a pack, which stays as it is.
        changes: Head to the folder of the artifact that shall serve it, or None to leave it out.
        name: Of the new pack.
        description: One sentence for people.
        out: Its folder.

    Raises:
        InvalidInputError: A folder holds no artifact, or one of another step, or `out` holds something else.
        PackError: The base is incomplete, or a head does not fit its encoder.
    """
    if out.resolve() == base.resolve():
        raise InvalidInputError(f"{out} is the pack that is changed; give the new one another name")
    if unknown := sorted(set(changes) - set(HEADS)):
        raise InvalidInputError(f"{', '.join(unknown)} is no head that can be changed; heads are {', '.join(HEADS)}")
    whole = verify_pack(base)
    former = whole.without(tuple(head for head in changes if head in whole.models))
    models, labels, thresholds = dict(former.models), dict(former.labels), dict(former.thresholds)
    sources = {step: base / model.file for step, model in models.items()}
    crop = former.preprocessing.age_gender if AGE_GENDER in models else None
    reads: dict[str, str] = {}
    for head, folder in changes.items():
        if folder is None:
            continue
        artifact = read_exported(folder)
        if artifact.step != head:
            raise InvalidInputError(
                f"{folder} serves {artifact.step}, and --use says {head}; heads are {', '.join(HEADS)}"
            )
        models[head], sources[head], reads[str(folder)] = _pack_model(artifact), folder / artifact.file, artifact.reads
        labels.update(artifact.labels)
        thresholds.update(artifact.thresholds)
        crop = artifact.crop if head == AGE_GENDER else crop
    preprocessing = replace(former.preprocessing, age_gender=crop)
    with tempfile.TemporaryDirectory(prefix="facestats-") as temporary:
        if crop != former.preprocessing.age_gender:
            sources[ALIGN] = Path(temporary) / "model.onnx"
            exporter = f"fsexport {version('facestats')}"
            models[ALIGN] = _align(sources[ALIGN], former.max_faces, preprocessing.portrait, crop, exporter)
        pack = replace(
            former,
            name=name,
            description=description,
            preprocessing=preprocessing,
            labels=labels,
            thresholds=thresholds,
            models={step: models[step] for step in _ORDER if step in models},
        )
        _check_reads(pack, reads)
        _install(pack, sources, out)
    return pack


def _by_step(folders: Sequence[Path]) -> dict[str, tuple[Path, Exported]]:
    found: dict[str, tuple[Path, Exported]] = {}
    for folder in folders:
        artifact = read_exported(folder)
        if artifact.step not in _ORDER or artifact.file not in _ARTIFACT_NAMES:
            raise InvalidInputError(
                f"{folder} says that it serves {artifact.step!r} with {artifact.file!r}; export it again"
            )
        if artifact.step in found:
            raise InvalidInputError(
                f"{folder} and {found[artifact.step][0]} both serve {artifact.step}; give one of them"
            )
        found[artifact.step] = (folder, artifact)
    if missing := {DETECT, EMBED} - set(found):
        raise InvalidInputError(
            f"a pack needs a detector and an encoder, and none was given for {', '.join(sorted(missing))}; optional "
            f"are {', '.join(HEADS)}"
        )
    return found


def _check_reads(pack: Pack, reads: Mapping[str, str]) -> None:
    """Refuse heads that were trained on another encoder or crop; folder to what its artifact reads."""
    for folder, encoder_id in reads.items():
        if encoder_id not in ("", pack.encoder_id):
            raise PackError(
                f"{folder} was trained on embeddings of {encoder_id}, and this pack's encoder with its crop is "
                f"{pack.encoder_id}; train it on results of this encoder"
            )


def _install(pack: Pack, sources: Mapping[str, Path], out: Path) -> None:
    """Write a pack into its folder.

    Raises:
        InvalidInputError: The folder holds something else, or cannot be written.
    """
    try:
        _fill(pack, sources, out)
    except OSError as exc:
        raise InvalidInputError(f"{out} cannot be written: {exc.strerror or exc}; choose another folder") from exc


def _fill(pack: Pack, sources: Mapping[str, Path], out: Path) -> None:
    """Put artifacts and `pack.json` into a pack's folder, in which there is no other pack meanwhile."""
    out.mkdir(parents=True, exist_ok=True)
    marker = out / _BEING_WRITTEN
    former = _former_files(out)
    targets = {step: out / pack.models[step].file for step in sources}
    new = {step for step, source in sources.items() if not (targets[step].exists() and targets[step].samefile(source))}
    if theirs := [str(targets[step]) for step in new if targets[step].exists() and targets[step] not in former]:
        raise InvalidInputError(f"{', '.join(sorted(theirs))} would be overwritten; choose another folder")
    marker.touch()
    (out / PACK_FILE).unlink(missing_ok=True)
    for path in former - {targets[step] for step in set(sources) - new}:
        path.unlink(missing_ok=True)
        path.with_name(CARD_FILE).unlink(missing_ok=True)
        with suppress(OSError):  # the folder of a step that holds something else stays
            path.parent.rmdir()
    for step in new:
        target = targets[step]
        target.parent.mkdir(exist_ok=True)
        try:
            os.link(sources[step], target)
        except OSError:
            shutil.copyfile(sources[step], target)
    for step, source in sources.items():
        card = source.parent / "report" / CARD_FILE
        if card.is_file():
            shutil.copyfile(card, targets[step].with_name(CARD_FILE))
    write_pack(pack, out)
    marker.unlink()


def _former_files(out: Path) -> set[Path]:
    """Return the artifacts of the pack that a folder holds, or that a killed run left there.

    Raises:
        InvalidInputError: The folder holds something other than a pack.
    """
    if (out / _BEING_WRITTEN).exists():
        return {
            out / step / name for step in _ORDER for name in _ARTIFACT_NAMES if not (out / step / RECORD_FILE).exists()
        }
    left = sorted(path.name for path in out.iterdir())
    if not left:
        return set()
    try:
        models = json.loads((out / PACK_FILE).read_bytes())["models"]
        files = [(out / step / Path(models[step]["file"]).name) for step in _ORDER if step in models]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as exc:
        raise InvalidInputError(f"{out} holds {', '.join(left[:3])} and is no pack; choose another folder") from exc
    return {path for path in files if path.is_file() and not path.with_name(RECORD_FILE).exists()}


def _pack_model(artifact: Exported) -> PackModel:
    """Return what a pack says of an artifact."""
    return PackModel(
        file=f"{artifact.step}/{artifact.file}",
        sha256=artifact.sha256,
        precision=artifact.precision,
        licence=artifact.licence,
        commercial_use=artifact.commercial_use,
        source=artifact.source,
        source_sha256=dict(artifact.sources),
        provenance={
            "exporter": artifact.exporter,
            "options": dict(artifact.options),
            "libraries": dict(artifact.libraries),
        },
        marks=artifact.all_marks,
        inputs=artifact.inputs,
        outputs=artifact.outputs,
    )


def _align(path: Path, max_faces: int, portrait: CropSpec, age_gender: CropSpec | None, exporter: str) -> PackModel:
    """Write the align graph of a pack and return what the pack says of it."""
    spec = align_spec(max_faces, portrait, age_gender)
    export_align(path, max_faces, portrait, age_gender)
    return PackModel(
        file=f"{ALIGN}/{path.name}",
        sha256=file_sha256(path),
        precision="fp32",
        licence="Apache-2.0",
        commercial_use=True,
        source="fsexport.align.align_graph",
        source_sha256={},
        provenance={
            "exporter": exporter,
            "options": {"portrait": asdict(portrait), "age_gender": age_gender and asdict(age_gender)},
            "libraries": {"onnx": version("onnx")},
        },
        marks=(),
        inputs=spec.inputs,
        outputs=spec.outputs,
    )
