"""Put exported artifacts together into a pack: complete, or without its `pack.json`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from fsengine.errors import InvalidInputError, PackError
from fsengine.hashing import file_sha256
from fsengine.packs import PACK_FILE, Pack, PackModel, write_pack
from fsengine.preprocessing import CropSpec, Preprocessing
from fsengine.steps import AGE_GENDER, ALIGN, ATTRACTIVENESS, DETECT, EMBED, ETHNICITY, HEADS, align_spec
from fsexport.align import export_align
from fsexport.exported import RECORD_FILE, Exported, read_exported

_ORDER = (DETECT, ALIGN, EMBED, ATTRACTIVENESS, ETHNICITY, AGE_GENDER)


def build_pack(name: str, description: str, folders: Sequence[Path], out: Path) -> Pack:
    """Copy artifacts into a pack, with the align graph that fits them.

    Args:
        name: Of the pack.
        description: One sentence for people.
        folders: Folders of artifacts, one a step; detect and embed are needed.
        out: Folder of the pack.

    Raises:
        InvalidInputError: A folder holds no artifact, two serve the same step, or `out` holds something else.
        PackError: The artifacts do not fit together.
    """
    artifacts = _by_step(folders)
    crop, detect, embed = artifacts[EMBED][1].crop, artifacts[DETECT][1], artifacts[EMBED][1]
    if crop is None:
        raise PackError(f"{artifacts[EMBED][0]} does not say which crop its encoder reads; export it again")
    age_gender = artifacts[AGE_GENDER][1].crop if AGE_GENDER in artifacts else None
    max_faces = detect.outputs[0].shape[0]
    labels: dict[str, list[str]] = {}
    for _, artifact in artifacts.values():
        labels.update(artifact.labels)
    _make_room(out, {*artifacts, ALIGN})
    models = {step: _install(folder, artifact, out) for step, (folder, artifact) in artifacts.items()}
    models[ALIGN] = _align(out, max_faces, crop, age_gender, embed)
    pack = Pack(
        name=name,
        description=description,
        preprocessing=Preprocessing(portrait=crop, age_gender=age_gender),
        max_faces=max_faces,
        embedding_width=embed.outputs[0].shape[0],
        labels=labels,
        models={step: models[step] for step in _ORDER if step in models},
    )
    write_pack(pack, out)
    return pack


def _by_step(folders: Sequence[Path]) -> dict[str, tuple[Path, Exported]]:
    found: dict[str, tuple[Path, Exported]] = {}
    for folder in folders:
        artifact = read_exported(folder)
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


def _make_room(out: Path, wanted: set[str]) -> None:
    """Make a pack's folder, without steps that are not wanted any more; it is whole again with the new `pack.json`.

    Raises:
        InvalidInputError: It holds something other than a pack, or cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        if (out / PACK_FILE).is_file():
            (out / PACK_FILE).unlink()
        elif left := [path.name for path in out.iterdir() if path.name not in _ORDER]:
            raise InvalidInputError(
                f"{out} holds {', '.join(sorted(left)[:3])} and no {PACK_FILE}; choose another folder"
            )
        for step in set(_ORDER) - wanted:
            if not (out / step / RECORD_FILE).is_file():  # artifacts of the user's own
                shutil.rmtree(out / step, ignore_errors=True)
    except OSError as exc:
        raise InvalidInputError(f"{out} cannot be written: {exc.strerror}; choose another folder") from exc


def _install(folder: Path, artifact: Exported, out: Path) -> PackModel:
    """Link or copy an artifact into a pack."""
    file = f"{artifact.step}/{artifact.file}"
    source, target = folder / artifact.file, out / file
    if not (target.exists() and target.samefile(source)):
        shutil.rmtree(target.parent, ignore_errors=True)
        target.parent.mkdir(parents=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target)
    return PackModel(
        file=file,
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
        marks=artifact.marks,
        inputs=artifact.inputs,
        outputs=artifact.outputs,
    )


def _align(out: Path, max_faces: int, portrait: CropSpec, age_gender: CropSpec | None, embed: Exported) -> PackModel:
    """Write the align graph of a pack."""
    spec = align_spec(max_faces, portrait, age_gender)
    path = export_align(out / ALIGN / "model.onnx", max_faces, portrait, age_gender)
    crops = {"portrait": asdict(portrait), "age_gender": age_gender and asdict(age_gender)}
    return PackModel(
        file=f"{ALIGN}/{path.name}",
        sha256=file_sha256(path),
        precision="fp32",
        licence="Apache-2.0",
        commercial_use=True,
        source="fsexport.align",
        source_sha256={},
        provenance={
            "exporter": embed.exporter,
            "options": crops,
            "libraries": {},
        },
        marks=(),
        inputs=spec.inputs,
        outputs=spec.outputs,
    )
