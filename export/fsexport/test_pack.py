"""The `test` pack: full-size graphs from the test assets, with every head, for tests and measurements.

CLIP and the ethnicity forest have seeded random weights, because trained ones may not be had where tests run;
the pack marks them, and every head that reads them, `untrained weights`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from fsengine.errors import InvalidInputError
from fsengine.packs import Pack, file_sha256
from fsengine.preprocessing import CropKind, CropSpec, Preprocessing
from fsengine.served import ETHNICITY, GENDER
from fsengine.steps import AGE_GENDER, ALIGN, ATTRACTIVENESS, DETECT, EMBED
from fsengine.steps import ETHNICITY as ETHNICITY_STEP
from fsexport.align import export_align
from fsexport.attractiveness import export_attractiveness, read_torch_mlp
from fsexport.clip import export_clip
from fsexport.detect_scrfd import ScrfdSettings, export_scrfd
from fsexport.genderage import GENDER_LABELS, V1_CROP, export_genderage
from fsexport.open_clip_loader import ClipSource
from fsexport.pack_builder import ARTIFACT_FILES, ModelOrigin, PackDesign, begin_pack, finish_pack
from fsexport.trees import FAIRFACE_CLASSES, export_trees, fit_classifier

ASSETS_VARIABLE = "FACESTATS_TEST_ASSETS"

UNTRAINED = "untrained weights"

_PORTRAIT = CropSpec(kind=CropKind.PORTRAIT, side_px=224)
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


def build_test_pack(folder: Path, say: Callable[[str], None]) -> Pack:
    """Build the pack.

    Args:
        folder: Where it shall lie.
        say: Called with each line of progress.

    Raises:
        InvalidInputError: The test assets are missing.
        MissingDependencyError: torch, open_clip or LightGBM is.
        ExportError: A model cannot be converted.
    """
    assets = assets_folder()
    begin_pack(folder)
    settings = ScrfdSettings()
    out = {step: folder / file for step, file in ARTIFACT_FILES.items()}
    say("detect: SCRFD")
    export_scrfd(assets / _SCRFD, out[DETECT], settings)
    say("align")
    export_align(out[ALIGN], settings.merge.max_faces, _PORTRAIT, V1_CROP)
    say("embed: CLIP ViT-B/32 with seeded weights")
    width = export_clip(ClipSource(seed=_SEED), _PORTRAIT, out[EMBED])
    say("attractiveness: the MLP of FaceStats v4")
    generator = np.random.default_rng(_SEED)
    layers = read_torch_mlp(assets / _ATTRACTIVENESS)
    export_attractiveness(layers, generator.normal(3.0, 0.5, 10_000), out[ATTRACTIVENESS])
    say("ethnicity: a seeded forest")
    features = generator.normal(0.0, width**-0.5, (_FOREST_ROWS, width)).astype(np.float32)
    classes = generator.integers(0, len(FAIRFACE_CLASSES), _FOREST_ROWS)
    forest = fit_classifier(features, classes, len(FAIRFACE_CLASSES), rounds=20, leaves=7, seed=_SEED)
    export_trees(forest, out[ETHNICITY_STEP])
    say("age_gender: InsightFace v1")
    export_genderage(assets / _GENDERAGE, V1_CROP, out[AGE_GENDER])
    return finish_pack(_design(assets, settings.merge.max_faces, width), folder)


def _design(assets: Path, max_faces: int, width: int) -> PackDesign:
    def origin(source: str, licence: str, *files: str, untrained: bool = False) -> ModelOrigin:
        return ModelOrigin(
            source=source,
            licence=licence,
            sources={Path(file).name: file_sha256(assets / file) for file in files},
            marks=(UNTRAINED,) if untrained else (),
        )

    insightface = "InsightFace models: non-commercial research only"
    return PackDesign(
        name="test",
        description="full-size graphs for tests: SCRFD, CLIP ViT-B/32 with seeded weights, every head",
        preprocessing=Preprocessing(portrait=_PORTRAIT, age_gender=V1_CROP),
        max_faces=max_faces,
        embedding_width=width,
        labels={GENDER: GENDER_LABELS, ETHNICITY: FAIRFACE_CLASSES},
        origins={
            DETECT: origin("InsightFace SCRFD 500M with landmarks", insightface, _SCRFD),
            ALIGN: origin("fsexport.align", "Apache-2.0"),
            EMBED: origin(f"open_clip ViT-B-32, random weights, seed {_SEED}", "MIT", untrained=True),
            ATTRACTIVENESS: origin(
                "FaceStats v4 attractiveness_regressor.pt, a random reference distribution",
                "MIT",
                _ATTRACTIVENESS,
                untrained=True,
            ),
            ETHNICITY_STEP: origin(f"LightGBM on random data, seed {_SEED}", "Apache-2.0", untrained=True),
            AGE_GENDER: origin("InsightFace gender-age v1", insightface, _GENDERAGE),
        },
    )
