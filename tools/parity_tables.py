"""Make the parity tables of docs/guides/models.md: all that the test assets hold, exported and compared on photos.

python tools/parity_tables.py --assets ../shared --artifacts build/parity
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

from fsengine.contracts.steps import ATTRACTIVENESS, DETECT
from fsengine.registry.model_source import find_source
from fsengine.registry.store import stored
from fsengine.terminal.messages import Say, say
from fsexport.artifact.exported import Exported, Origin
from fsexport.artifact.origins import StatedLicence, resolve
from fsexport.artifact.parity import parity_table
from fsexport.artifact.precision import Precision
from fsexport.detect.detector_artifact import detector_precision, export_detector_artifact, settings_for
from fsexport.detect.merge import MOST_FACES
from fsexport.embed.clip_artifact import UNTRAINED, export_clip_artifact
from fsexport.embed.open_clip_loader import ClipSource
from fsexport.heads.attractiveness_artifact import export_attractiveness_artifact, read_scores
from fsexport.heads.forest_artifact import export_forest_artifact
from fsexport.heads.genderage_artifact import export_age_gender_artifact
from fsexport.heads.head_inputs import HeadInputs
from fsexport.heads.linear_head import LinearHead, export_linear_head_artifact
from fsexport.heads.rating_mlp import read_torch_mlp
from fsexport.inputs.decoded_photos import list_photos
from fsexport.sources.sklearn_pickle import read_scaled_classifier
from fstraining.fits.forest import fit_classifier
from full_size_pack import require_assets
from tool_command import ToolCommand, assets_option

_DETECTORS = ("weights/insightface/det_500m.onnx", "weights/insightface/scrfd_2.5g_bnkps_dynamic.onnx")
_GENDERAGE = "weights/genderage_v1/genderage_v1_112.onnx"
_V4 = "weights/facestats_v4"
_GOLDEN = "golden/clip_vitb32_embeddings.parquet"
_FETCHED_DETECTORS = (("centerface",), ("blazeface-short", "blazeface-full"))
_REGRESSOR = "attractiveness_regressor.pt"
# Each regressor with the table and the column of the scores that it made.
_REGRESSORS = {
    "src_models": ("metadata/attractiveness_scores.parquet", "attractiveness_raw"),
    "models": (_GOLDEN, "stored_attractiveness_models_pt"),
}
_SEED = 20260101


def write_tables(assets: Path, folder: Path, say: Say) -> str:
    """Export everything and return the comparisons as a Markdown table.

    Args:
        assets: Folder of the test assets.
        folder: Folder of the artifacts; unchanged ones are kept.
        say: Called with each line of progress.

    Raises:
        InvalidInputError: A file of the assets is missing.
        ExportError: A model cannot be converted, or differs from its source.
    """
    require_assets(assets, _files())
    photos = list_photos(assets / "samples" / "photos")
    encoders = _encoders(folder, photos, say)
    detectors = _detectors(folder, assets, photos, say)
    return parity_table([*encoders, *detectors, *_heads(folder, assets, photos, say)])


def _files() -> list[str]:
    """Return the files of the assets that are read, but for the photos."""
    regressors = [file for name, (table, _) in _REGRESSORS.items() for file in (f"{name}/{_REGRESSOR}", table)]
    classifiers = [f"src_models/{head.value}_clf.pkl" for head in LinearHead]
    v4 = dict.fromkeys((_GOLDEN, *regressors, *classifiers))
    return [*_DETECTORS, _GENDERAGE, *(f"{_V4}/{file}" for file in v4)]


def _encoders(folder: Path, photos: list[Path], say: Say) -> Iterator[Exported]:
    origin = Origin(source="open_clip ViT-B-32, seeded weights", licence="MIT", commercial_use=True, marks=(UNTRAINED,))
    for precision in Precision:
        out = folder / f"clip-{precision.value}"
        yield export_clip_artifact(ClipSource(seed=_SEED), origin, precision, photos, out, say)


def _detectors(folder: Path, assets: Path, photos: list[Path], say: Say) -> Iterator[Exported]:
    sources = [[str(assets / file)] for file in _DETECTORS]
    for fetched in _FETCHED_DETECTORS:
        if all(stored(find_source(name)) for name in fetched):
            sources.append(list(fetched))
        else:
            say(f"{' and '.join(fetched)} left out: fsclient models fetch {' '.join(fetched)}")
    for names in sources:
        given = resolve(names, StatedLicence())
        settings = settings_for(given.files, MOST_FACES)
        for precision in dict.fromkeys((Precision.FP32, detector_precision(settings, Precision.FP16))):
            out = folder / f"{DETECT}-{given.files[0].stem}-{precision.value}"
            yield export_detector_artifact(given.files, given.origin, settings, photos, out, say, precision=precision)


def _heads(folder: Path, assets: Path, photos: list[Path], say: Say) -> Iterator[Exported]:
    genderage = resolve([str(assets / _GENDERAGE)], StatedLicence())
    yield export_age_gender_artifact(genderage.files[0], genderage.origin, photos, folder / "genderage", say)
    v4 = assets / _V4
    golden = _golden(v4 / _GOLDEN)
    for name, (table, column) in _REGRESSORS.items():
        given = resolve([str(v4 / name / _REGRESSOR)], StatedLicence())
        layers, reference = read_torch_mlp(given.files[0]), read_scores(v4 / table, column)
        out = folder / f"{ATTRACTIVENESS}-{name}"
        yield export_attractiveness_artifact(layers, reference, given.origin, out, say, golden)
    for head in LinearHead:
        given = resolve([str(v4 / "src_models" / f"{head.value}_clf.pkl")], StatedLicence())
        classifier = read_scaled_classifier(given.files[0])
        yield export_linear_head_artifact(classifier, head, given.origin, folder / f"linear-{head.value}", say, golden)
    yield _forest(folder / "forest", say)


def _golden(path: Path) -> HeadInputs:
    """Return the real CLIP embeddings of FaceStats v4."""
    import pyarrow.parquet as pq

    rows = np.array(pq.read_table(path)["embedding"].to_pylist(), np.float32)
    return HeadInputs(rows=rows, text=f"{len(rows)} real CLIP embeddings")


def _forest(folder: Path, say: Say) -> Exported:
    """Export a small forest that was fitted on drawn numbers."""
    rng = np.random.default_rng(_SEED)
    features = rng.normal(size=(700, 32)).astype(np.float32)
    forest = fit_classifier(features, features[:, :7].argmax(axis=1), 7, rounds=20, leaves=7, seed=_SEED)
    with tempfile.TemporaryDirectory(prefix="facestats-") as temporary:
        text = Path(temporary) / "forest.txt"
        forest.save_model(str(text))
        origin = Origin(source="LightGBM on drawn numbers", licence="Apache-2.0", commercial_use=True)
        return export_forest_artifact(text, [str(label) for label in range(7)], origin, folder, say)


@click.command(cls=ToolCommand, context_settings={"help_option_names": ["-h", "--help"]})
@assets_option
@click.option(
    "--artifacts",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of the artifacts; unchanged ones are kept.",
)
def main(assets: Path, artifacts: Path) -> None:
    """Print the parity tables of docs/guides/models.md: all that the test assets hold, in every precision.

    Example: python tools/parity_tables.py --assets ../shared --artifacts build/parity
    """
    click.echo(write_tables(assets, artifacts, say), nl=False)


if __name__ == "__main__":
    main()
