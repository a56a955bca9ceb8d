"""The `test` pack: full-size graphs from the test assets, with every head, for tests and measurements.

CLIP and the ethnicity forest have seeded random weights, because trained ones may not be had where tests run;
the pack marks them, and every head that reads them, `untrained weights`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from fsengine.contracts.steps import AGE_GENDER, ATTRACTIVENESS, DETECT, EMBED
from fsengine.contracts.steps import ETHNICITY as ETHNICITY_STEP
from fsengine.errors import InvalidInputError
from fsengine.packs.pack import Pack
from fsexport.align.face_crops import shipped_photos
from fsexport.artifact.exported import Origin, file_hashes
from fsexport.artifact.origins import Given, StatedLicence, resolve
from fsexport.detect.detector_artifact import export_detector_artifact, settings_for
from fsexport.detect.merge import MOST_FACES
from fsexport.embed.clip_artifact import UNTRAINED, Precision, export_clip_artifact
from fsexport.embed.open_clip_loader import ClipSource
from fsexport.heads.attractiveness_artifact import export_attractiveness_artifact
from fsexport.heads.forest_artifact import export_forest_artifact
from fsexport.heads.genderage_artifact import export_age_gender_artifact
from fsexport.heads.rating_mlp import read_torch_mlp
from fsexport.heads.trees import FAIRFACE_CLASSES, fit_classifier
from fsexport.packs.pack_builder import build_pack

ASSETS_VARIABLE = "FACESTATS_TEST_ASSETS"

_SCRFD = "weights/insightface/det_500m.onnx"
_GENDERAGE = "weights/genderage_v1/genderage_v1_112.onnx"
_ATTRACTIVENESS = "weights/facestats_v4/models/attractiveness_regressor.pt"
_SEED = 20260101
_FOREST_ROWS = 700


def assets_folder() -> Path:
    """Return the folder of the test assets: `FACESTATS_TEST_ASSETS`, or `shared` beside the source tree.

    Raises:
        InvalidInputError: It is not there.
    """
    override = os.environ.get(ASSETS_VARIABLE)
    folder = Path(override) if override else Path(__file__).resolve().parents[3] / "shared"
    if not (folder / _SCRFD).is_file():
        raise InvalidInputError(
            f"the test pack is made from the test assets, and {folder / _SCRFD} is missing; "
            f"set {ASSETS_VARIABLE} to their folder"
        )
    return folder


def build_test_pack(folder: Path, artifacts: Path, say: Callable[[str], None]) -> Pack:
    """Build the pack.

    Args:
        folder: Where it shall lie.
        artifacts: Folder of its artifacts; unchanged ones are kept.
        say: Called with each line of progress.

    Raises:
        InvalidInputError: The test assets are missing.
        MissingDependencyError: torch, open_clip or LightGBM is.
        ExportError: A model cannot be converted.
    """
    assets = assets_folder()
    photos = shipped_photos()

    def given(file: str) -> Given:
        return resolve([str(assets / file)], StatedLicence())

    scrfd, genderage, regressor = given(_SCRFD), given(_GENDERAGE), given(_ATTRACTIVENESS)
    settings = settings_for(scrfd.files, MOST_FACES)
    export_detector_artifact(scrfd.files, scrfd.origin, settings, photos, artifacts / DETECT, say)
    seeded = Origin(
        source=f"open_clip ViT-B-32, random weights, seed {_SEED}",
        licence="MIT",
        commercial_use=True,
        marks=(UNTRAINED,),
    )
    clip = export_clip_artifact(ClipSource(seed=_SEED), seeded, Precision.FP32, photos, artifacts / EMBED, say)
    generator = np.random.default_rng(_SEED)
    origin = replace(regressor.origin, marks=(*regressor.origin.marks, UNTRAINED))
    layers = read_torch_mlp(regressor.files[0])
    export_attractiveness_artifact(layers, generator.normal(3.0, 0.5, 10_000), origin, artifacts / ATTRACTIVENESS, say)
    _export_forest(clip.outputs[0].shape[0], generator, artifacts / ETHNICITY_STEP, say)
    export_age_gender_artifact(genderage.files[0], genderage.origin, photos, artifacts / AGE_GENDER, say)
    return build_pack(
        "test",
        "full-size graphs for tests: SCRFD, CLIP ViT-B/32 with seeded weights, every head",
        [artifacts / step for step in (DETECT, EMBED, ATTRACTIVENESS, ETHNICITY_STEP, AGE_GENDER)],
        folder,
    )


def _export_forest(width: int, generator: np.random.Generator, folder: Path, say: Callable[[str], None]) -> None:
    """Fit a small forest on random data and export it from its text form, as a user's would be."""
    features = generator.normal(0.0, width**-0.5, (_FOREST_ROWS, width)).astype(np.float32)
    classes = generator.integers(0, len(FAIRFACE_CLASSES), _FOREST_ROWS)
    forest = fit_classifier(features, classes, len(FAIRFACE_CLASSES), rounds=20, leaves=7, seed=_SEED)
    with tempfile.TemporaryDirectory(prefix="facestats-") as beside:
        text = Path(beside) / "forest.txt"
        forest.save_model(str(text))
        origin = Origin(
            source=f"LightGBM on random data, seed {_SEED}",
            licence="Apache-2.0",
            commercial_use=True,
            sources=file_hashes(text),
            marks=(UNTRAINED,),
        )
        export_forest_artifact(text, FAIRFACE_CLASSES, origin, folder, say)
