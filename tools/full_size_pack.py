"""Build the full-size pack: SCRFD, CLIP ViT-B/32 (512-d) and every head, for tests and measurements.

    python tools/full_size_pack.py --assets ../shared --out packs/full-size
    fsclient ingest photos/ --models ./packs/full-size --out results

CLIP and the ethnicity forest have seeded random weights, because trained ones may be unavailable where tests run; the
pack marks them, and every head that reads them, `untrained weights`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from fsengine.contracts.steps import AGE_GENDER, ATTRACTIVENESS, DETECT, EMBED
from fsengine.contracts.steps import ETHNICITY as ETHNICITY_STEP
from fsengine.errors import InvalidInputError
from fsengine.packs.pack import Pack
from fsengine.registry.home import models_home
from fsengine.terminal.messages import say
from fsexport.artifact.exported import Origin, file_hashes
from fsexport.artifact.origins import Given, StatedLicence, resolve
from fsexport.artifact.precision import Precision
from fsexport.detect.detector_artifact import export_detector_artifact, settings_for
from fsexport.detect.merge import MOST_FACES
from fsexport.embed.clip_artifact import UNTRAINED, export_clip_artifact
from fsexport.embed.open_clip_loader import ClipSource
from fsexport.heads.attractiveness_artifact import export_attractiveness_artifact
from fsexport.heads.forest_artifact import export_forest_artifact
from fsexport.heads.genderage_artifact import export_age_gender_artifact
from fsexport.heads.rating_mlp import read_torch_mlp
from fsexport.heads.trees import FAIRFACE_CLASSES
from fsexport.inputs.decoded_photos import default_photos
from fsexport.packs.pack_builder import build_pack
from fstraining.fits.forest import fit_classifier
from tool_command import ASSETS_VARIABLE, ToolCommand, assets_option, summary

PACK_NAME = "full-size"

_SCRFD = "weights/insightface/det_500m.onnx"
_GENDERAGE = "weights/genderage_v1/genderage_v1_112.onnx"
_ATTRACTIVENESS = "weights/facestats_v4/models/attractiveness_regressor.pt"
_SEED = 20260101
_FOREST_ROWS = 700


def build_full_size_pack(assets: Path, folder: Path, artifacts: Path, say: Callable[[str], None]) -> Pack:
    """Build the pack.

    Args:
        assets: Folder of the test assets.
        folder: Where the pack shall lie.
        artifacts: Folder of its artifacts; unchanged ones are kept.
        say: Called with each line of progress.

    Raises:
        InvalidInputError: A file of the assets is missing, or `folder` holds something else.
        MissingDependencyError: torch, open_clip or LightGBM is not installed.
        ExportError: A model cannot be converted.
    """
    require_assets(assets, (_SCRFD, _GENDERAGE, _ATTRACTIVENESS))
    photos = default_photos()

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
    say(f"putting the {PACK_NAME} pack together in {folder}")
    return build_pack(
        PACK_NAME,
        "full-size graphs: SCRFD, CLIP ViT-B/32 with seeded weights, every head",
        [artifacts / step for step in (DETECT, EMBED, ATTRACTIVENESS, ETHNICITY_STEP, AGE_GENDER)],
        folder,
    )


def require_assets(assets: Path, files: Iterable[str]) -> None:
    """Check that files of the test assets are there.

    Args:
        assets: Their folder.
        files: Paths below it.

    Raises:
        InvalidInputError: One is missing.
    """
    if missing := [file for file in files if not (assets / file).is_file()]:
        others = {0: "", 1: " and 1 other file"}.get(len(missing) - 1, f" and {len(missing) - 1} other files")
        raise InvalidInputError(
            f"{assets} is not a complete folder of test assets: expected {missing[0]}{others} in it; name the folder "
            f"with --assets or {ASSETS_VARIABLE}"
        )


def _export_forest(width: int, generator: np.random.Generator, folder: Path, say: Callable[[str], None]) -> None:
    """Fit a small forest on random data and export it from its text form, as a user's would be."""
    features = generator.normal(0.0, width**-0.5, (_FOREST_ROWS, width)).astype(np.float32)
    classes = generator.integers(0, len(FAIRFACE_CLASSES), _FOREST_ROWS)
    forest = fit_classifier(features, classes, len(FAIRFACE_CLASSES), rounds=20, leaves=7, seed=_SEED)
    with tempfile.TemporaryDirectory(prefix="facestats-") as temporary:
        text = Path(temporary) / "forest.txt"
        forest.save_model(str(text))
        origin = Origin(
            source=f"LightGBM on random data, seed {_SEED}",
            licence="Apache-2.0",
            commercial_use=True,
            sources=file_hashes(text),
            marks=(UNTRAINED,),
        )
        export_forest_artifact(text, FAIRFACE_CLASSES, origin, folder, say)


@click.command(cls=ToolCommand, context_settings={"help_option_names": ["-h", "--help"]})
@assets_option
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the pack.")
@click.option(
    "--artifacts",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of its artifacts; unchanged ones are kept.  [default: artifacts/full-size below FACESTATS_MODELS]",
)
def main(assets: Path, out: Path, artifacts: Path | None) -> None:
    """Build the full-size pack from the test assets: SCRFD, CLIP (512-d, seeded weights) and every head.

    \b
    Example:
      python tools/full_size_pack.py --assets ../shared --out packs/full-size
      fsclient ingest photos/ --models ./packs/full-size --out results
    """  # noqa: D301
    pack = build_full_size_pack(assets, out, artifacts or models_home() / "artifacts" / PACK_NAME, say)
    say(summary(pack))
    click.echo(out)


if __name__ == "__main__":
    main()
