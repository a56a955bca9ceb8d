"""Build the `lite` pack: small models under permissive licences, which ship with the project.

CenterFace finds faces, dlib's recogniser and face-api's age and gender network describe them as one encoder, and heads
are trained by `fstrain` on FairFace crops that `fsclient ingest` scored with this very encoder.

    fsclient models fetch centerface face-api-recogniser face-api-recogniser-manifest face-api-age-gender \
        face-api-age-gender-manifest
    python tools/build_lite_pack.py --crops fairface_train --work build/lite --out packs/lite
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from fsclient import Client
from fsclient.commands.ingest_bar import IngestBar
from fsdata.labels.joining import join_results
from fsdata.labels.readers.data_sets import Kind, read_labels
from fsengine.contracts.served import RECOGNISES_PEOPLE
from fsengine.contracts.steps import AGE_GENDER, DETECT, EMBED, ETHNICITY, FACE_BATCH_LIMIT
from fsengine.files.atomic import temporary_file
from fsengine.packs.pack import Pack
from fsengine.packs.shipped import SHIPPED_PACK
from fsengine.terminal.messages import Say, say
from fsexport.artifact.exported import Origin, note_measured_marks
from fsexport.artifact.origins import StatedLicence, resolve
from fsexport.detect.detector_artifact import export_detector_artifact, settings_for
from fsexport.embed.face_api_artifact import CROP, Projection, export_face_api_artifact, read_face_api
from fsexport.inputs.decoded_photos import default_photos
from fsexport.inputs.real_faces import all_faces
from fsexport.packs.pack_builder import build_pack
from fstraining.heads.age_gender import train_age_gender
from fstraining.heads.ethnicity import train_ethnicity
from fstraining.heads.training_options import TrainingOptions
from lite_pack.pack_card import CARD_FILE, card_text
from lite_pack.projection import fit_projection
from lite_pack.training_crops import TrainingCrops, unpack_crops
from record_golden import record_golden
from tool_command import ToolCommand, summary

SMALL = "lite: small permissive models"
DETECTOR = "centerface"
ENCODER = (
    "face-api-recogniser",
    "face-api-recogniser-manifest",
    "face-api-age-gender",
    "face-api-age-gender-manifest",
)
DATA_LICENCE = "CC BY 4.0"
THRESHOLD = 0.5
"""Probability below which no ethnicity is named."""

_PROJECTED = 4
"""The projection is fitted on every fourth crop, without its labels: 2,800 faces settle 64 components."""


def build_lite_pack(source: Path, work: Path, out: Path, say: Say) -> Pack:
    """Build the pack; what an earlier run left in `work` and is unchanged is kept.

    Args:
        source: Folder of the labelled crops, see `unpack_crops`.
        work: Folder of what is made on the way.
        out: Where the pack shall lie.
        say: Called with each line for people.

    Raises:
        InvalidInputError: The crops, or a source of weights, are not there.
        MissingDependencyError: A library is not installed.
        ExportError: A model cannot be converted.
    """
    work.mkdir(parents=True, exist_ok=True)
    crops = unpack_crops(source, work / "crops")
    encoder_pack = _encoder_pack(crops, work, say)
    with Client.embedded(str(encoder_pack), on_message=say) as client, IngestBar() as bar:
        client.ingest(crops.folder, work / "results", progress=bar)
    faces = join_results(work / "results", read_labels(crops.labels, Kind.FAIRFACE))
    say("labelled photos found: " + ", ".join(f"{count} {how}" for how, count in faces.joined.items()))
    data = f"FairFace, {len(crops.photos):,} crops, balanced over class, gender and age as far as the data go"
    for step, train in ((ETHNICITY, train_ethnicity), (AGE_GENDER, train_age_gender)):
        options = TrainingOptions(
            out=work / step, data_name=data, data_licence=DATA_LICENCE, commercial_use=True, threshold=THRESHOLD
        )
        head = train(faces, options, say)
        note_measured_marks(head, options.out, (*head.measured_marks, SMALL))
    pack = build_pack(
        SHIPPED_PACK,
        "small permissive models: CenterFace, dlib's recogniser with face-api's age network, trained heads",
        [work / step for step in (DETECT, EMBED, ETHNICITY, AGE_GENDER)],
        out,
    )
    with temporary_file(out / CARD_FILE) as temporary:
        temporary.write_text(card_text(pack, {step: work / step for step in (ETHNICITY, AGE_GENDER)}))
    record_golden(out)
    return pack


def _encoder_pack(crops: TrainingCrops, work: Path, say: Say) -> Path:
    """Export detector and encoder, and put them together into a pack without heads."""
    given = resolve([DETECTOR], StatedLicence())
    settings = settings_for(given.files, FACE_BATCH_LIMIT)
    origin = replace(given.origin, marks=(SMALL,))
    detect = export_detector_artifact(given.files, origin, settings, default_photos(), work / DETECT, say)
    detector = work / DETECT / detect.file
    weights = resolve(ENCODER, StatedLicence())
    kept = work / "projection.npz"
    if not kept.is_file():
        fitted = fit_projection(read_face_api(weights.files), crops.photos[::_PROJECTED], detector, say)
        np.savez(kept, mean=fitted.mean, components=fitted.components)
    arrays = np.load(kept)
    projection = Projection(mean=arrays["mean"], components=arrays["components"])
    origin = Origin(
        source="dlib's face recogniser and face-api's age and gender network, from npm's @vladmandic/face-api 1.7.15",
        licence=weights.origin.licence,
        commercial_use=weights.origin.commercial_use,
        sources=weights.origin.sources,
        marks=(SMALL, RECOGNISES_PEOPLE),
    )
    faces = all_faces(default_photos(), CROP, detector)
    export_face_api_artifact(weights.files, projection, faces, origin, work / EMBED, say)
    build_pack(f"{SHIPPED_PACK}-encoder", "no heads", [work / DETECT, work / EMBED], work / "encoder")
    return work / "encoder"


@click.command(cls=ToolCommand, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--crops",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    help="Folder of labelled FairFace crops: labels.tsv and tar files.",
)
@click.option(
    "--work", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of what is made on the way."
)
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder of the pack.")
def main(crops: Path, work: Path, out: Path) -> None:
    """Build the lite pack that ships with the project, from sources that were fetched before.

    \b
    Example:
      fsclient models fetch centerface face-api-recogniser face-api-recogniser-manifest \\
          face-api-age-gender face-api-age-gender-manifest
      python tools/build_lite_pack.py --crops fairface_train --work build/lite --out packs/lite
    """  # noqa: D301
    say(summary(build_lite_pack(crops, work, out, say)))
    click.echo(out)


if __name__ == "__main__":
    main()
