"""Build the `demo` pack: small, permissively licensed or our own throughout, shipped with the project.

BlazeFace finds faces, pooled features of the face mesh network describe them, and linear and forest heads are
fitted on FairFace crops. It shows the whole path on any machine; it is a demonstration and says so.

    pip download --no-deps mediapipe==0.10.14
    python tools/build_demo_pack.py --wheel mediapipe-0.10.14-*.whl --labels labels.tsv --out packs/demo
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from demo_pack.fairface_crops import LabelledFace, Split, largest_faces, read_fairface
from demo_pack.mesh_encoder import MESH_SIDE_PX, export_demo_encoder, export_mesh_features
from demo_pack.pack_card import CARD_FILE, card_text, head_figures
from demo_pack.projection import fit_projection
from fsengine.contracts.preprocessing import CropKind, CropSpec
from fsengine.contracts.served import ETHNICITY, GENDER
from fsengine.contracts.steps import (
    AGE_GENDER,
    DETECT,
    EMBED,
    age_gender_spec,
    detect_spec,
    embed_spec,
    ethnicity_spec,
    face_embedding,
)
from fsengine.contracts.steps import ETHNICITY as ETHNICITY_STEP
from fsengine.files.atomic import temporary_file
from fsengine.packs.pack import Pack
from fsengine.terminal.messages import say
from fsexport.align.align_graph import export_align
from fsexport.artifact.exported import ExportJob, ExportResult, Origin, export_artifact
from fsexport.detect.blazeface import BlazeFaceSettings, export_blazeface
from fsexport.heads.genderage import GENDER_LABELS
from fsexport.heads.linear_age_gender import export_linear_age_gender, predict_age_gender
from fsexport.heads.trees import FAIRFACE_CLASSES, export_trees, fold_temperature
from fsexport.packs.pack_builder import build_pack
from fsexport.sources.mediapipe_wheel import (
    FACE_DETECTION_FULL_RANGE,
    FACE_DETECTION_SHORT_RANGE,
    FACE_LANDMARK,
    SOURCE,
    WheelModel,
)
from fstraining.fits.forest import best_temperature, fit_classifier
from fstraining.fits.linear import fit_age_gender
from tool_command import ToolCommand, summary

DEMONSTRATION = "demonstration"
FIGURES_FILE = "figures.json"

CROP = CropSpec(kind=CropKind.ARCFACE, side_px=MESH_SIDE_PX)
EMBEDDING_WIDTH = 128

_PROJECTION_RIDGE = 0.3
_HEAD_RIDGE = 0.3
_ROUNDS = 60
_LEAVES = 4
_SEED = 20260101


@dataclass(frozen=True, slots=True, kw_only=True)
class _Faces:
    """Labelled faces that were found: features float32 (N, P) and labels (N,)."""

    features: NDArray[np.float32]
    gender: NDArray[np.int64]
    ethnicity: NDArray[np.int64]
    years: NDArray[np.float64]
    split: NDArray[np.str_]


def build_demo_pack(wheel: Path, labels: Path, folder: Path, say: Callable[[str], None]) -> Pack:
    """Build the pack.

    Args:
        wheel: The wheel of mediapipe 0.10.14.
        labels: Table of the labelled FairFace crops, see `read_fairface`.
        folder: Where the pack shall lie.
        say: Called with each line of progress.

    Raises:
        InvalidInputError: The labels cannot be read.
        MissingDependencyError: LightGBM is not installed.
        ExportError: A model cannot be converted.
    """
    with tempfile.TemporaryDirectory(prefix="facestats-") as work:
        return _build(wheel, labels, Path(work), folder, say)


def _build(wheel: Path, labels: Path, work: Path, folder: Path, say: Callable[[str], None]) -> Pack:
    """Export every artifact below `work` and put them together in `folder`."""
    settings = BlazeFaceSettings()
    detect_job = ExportJob(
        step=DETECT,
        origin=_mediapipe("BlazeFace, both ranges", FACE_DETECTION_SHORT_RANGE, FACE_DETECTION_FULL_RANGE),
        options=asdict(settings),
    )

    def make_detect(path: Path) -> ExportResult:
        export_blazeface([wheel], path, settings)
        return ExportResult(spec=detect_spec(settings.merge.max_faces))

    export_artifact(detect_job, work / DETECT, make_detect, say)
    align = export_align(work / "align.onnx", settings.merge.max_faces, CROP, None)
    faces = _read_faces(wheel, read_fairface(labels), work / DETECT / detect_job.file, align, say)
    fit = faces.split == Split.FIT.value
    projection = fit_projection(faces.features[fit], _targets(faces)[fit], EMBEDDING_WIDTH, _PROJECTION_RIDGE)

    def make_embed(path: Path) -> ExportResult:
        export_demo_encoder(wheel, projection, CROP, path)
        return ExportResult(spec=embed_spec(CROP, EMBEDDING_WIDTH), crop=CROP)

    embed_job = ExportJob(
        step=EMBED,
        origin=_mediapipe("face mesh features, projected", FACE_LANDMARK),
        options={
            "width": EMBEDDING_WIDTH,
            "ridge": _PROJECTION_RIDGE,
            "projection": hashlib.sha256(projection.matrix.tobytes()).hexdigest()[:16],
        },
    )
    export_artifact(embed_job, work / EMBED, make_embed, say)
    embeddings = projection.embed(faces.features)
    head = fit_age_gender(embeddings[fit], faces.gender[fit] == 1, faces.years[fit], _HEAD_RIDGE)

    def make_age_gender(path: Path) -> ExportResult:
        export_linear_age_gender(head, path)
        return ExportResult(spec=age_gender_spec(face_embedding(EMBEDDING_WIDTH)), labels={GENDER: GENDER_LABELS})

    age_gender_job = ExportJob(step=AGE_GENDER, origin=_OURS, options={"ridge": _HEAD_RIDGE})
    export_artifact(age_gender_job, work / AGE_GENDER, make_age_gender, say)
    forest = fit_classifier(
        embeddings[fit], faces.ethnicity[fit], len(FAIRFACE_CLASSES), rounds=_ROUNDS, leaves=_LEAVES, seed=_SEED
    )
    calibrate = faces.split == Split.CALIBRATE.value
    scores = np.asarray(forest.predict(embeddings[calibrate], raw_score=True))
    temperature = best_temperature(scores, faces.ethnicity[calibrate])
    fold_temperature(forest, temperature)

    def make_ethnicity(path: Path) -> ExportResult:
        export_trees(forest, path)
        spec = ethnicity_spec(EMBEDDING_WIDTH, len(FAIRFACE_CLASSES))
        return ExportResult(spec=spec, labels={ETHNICITY: FAIRFACE_CLASSES})

    ethnicity_job = ExportJob(
        step=ETHNICITY_STEP,
        origin=_OURS,
        options={"rounds": _ROUNDS, "leaves": _LEAVES, "seed": _SEED, "temperature": round(temperature, 6)},
        file="checkpoint.tl",
        libraries=("lightgbm", "treelite"),
    )
    export_artifact(ethnicity_job, work / ETHNICITY_STEP, make_ethnicity, say)
    test = faces.split == Split.TEST.value
    second_gender, years = predict_age_gender(head, embeddings[test])
    figures = {
        "data": "FairFace crops (CC BY 4.0), kept out of fitting by content hash",
        "fitted_on": int(fit.sum()),
        "temperature": round(temperature, 3),
        **head_figures(
            genders=faces.gender[test],
            predicted_genders=(second_gender > 0.5).astype(np.int64),
            ethnicities=faces.ethnicity[test],
            predicted_ethnicities=np.asarray(forest.predict(embeddings[test])).argmax(axis=1),
            years=faces.years[test],
            predicted_years=years,
        ),
    }
    pack = build_pack(
        "demo",
        "a demonstration: BlazeFace, pooled face mesh features, small heads; ships with the project",
        [work / step for step in (DETECT, EMBED, ETHNICITY_STEP, AGE_GENDER)],
        folder,
    )
    with temporary_file(folder / FIGURES_FILE) as temporary:
        temporary.write_text(json.dumps(figures, indent=1) + "\n")
    with temporary_file(folder / CARD_FILE) as temporary:
        temporary.write_text(card_text(pack, figures))
    return pack


def _read_faces(
    wheel: Path, labelled: list[LabelledFace], detect: Path, align: Path, say: Callable[[str], None]
) -> _Faces:
    """Cut out every labelled face and compute its features; crops without a face are left out."""
    import onnxruntime as ort

    say(f"features of {len(labelled)} FairFace crops")
    with tempfile.TemporaryDirectory(prefix="facestats-") as temporary:
        features_file = export_mesh_features(wheel, CROP, Path(temporary) / "features.onnx")
        session = ort.InferenceSession(str(features_file), providers=["CPUExecutionProvider"])
    crops = largest_faces([face.path for face in labelled], detect, align)
    found = [
        (face, session.run(None, {"portrait_crop": crop[None]})[0][0])
        for face, crop in zip(labelled, crops, strict=True)
        if crop is not None
    ]
    say(f"{len(found)} of them have a face")
    kept = [face for face, _ in found]
    return _Faces(
        features=np.stack([features for _, features in found]),
        gender=np.array([GENDER_LABELS.index(face.gender) for face in kept]),
        ethnicity=np.array([FAIRFACE_CLASSES.index(face.ethnicity) for face in kept]),
        years=np.array([face.age_years for face in kept]),
        split=np.array([face.split.value for face in kept]),
    )


def _targets(faces: _Faces) -> NDArray[np.float64]:
    """Return what the embedding's first directions shall tell apart: classes but one, gender, age; (N, 8)."""
    classes = np.eye(len(FAIRFACE_CLASSES))[faces.ethnicity][:, 1:]
    return np.column_stack([classes, 2.0 * faces.gender - 1.0, faces.years / 25.0])


def _mediapipe(what: str, *models: WheelModel) -> Origin:
    return Origin(
        source=f"{what}, from {SOURCE}",
        licence="Apache-2.0",
        commercial_use=True,
        sources={model.member: model.sha256 for model in models},
        marks=(DEMONSTRATION,),
    )


_OURS = Origin(
    source="fitted by fsexport on FairFace crops (CC BY 4.0)",
    licence="Apache-2.0",
    commercial_use=True,
    marks=(DEMONSTRATION,),
)


@click.command(cls=ToolCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--wheel",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="Wheel of mediapipe 0.10.14; it is read, not installed.",
)
@click.option(
    "--labels",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    help="Table of labelled FairFace crops (tab-separated).",
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the pack.")
def main(wheel: Path, labels: Path, out: Path) -> None:
    """Build the demo pack that ships with the project.

    \b
    Example:
      pip download --no-deps mediapipe==0.10.14
      python tools/build_demo_pack.py --wheel mediapipe-0.10.14-*.whl --labels labels.tsv --out packs/demo
    """  # noqa: D301
    say(summary(build_demo_pack(wheel, labels, out, say)))
    click.echo(out)


if __name__ == "__main__":
    main()
