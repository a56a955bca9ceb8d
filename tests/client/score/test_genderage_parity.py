"""InsightFace's genderage v1 through the ensemble against the same network outside it, on labelled adults.

The model is old and weak; that both give the same is the point, not the figure. The figure hangs on where the
landmarks come from: a detector that sees a chip shrunk into the middle of a black square puts them elsewhere than one
that sees it at 128 px. So each way of looking is compared with what was measured outside in that way.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from built_full_size_pack import full_size_artifacts
from fsengine.repository.assemble import Target, assemble
from fsengine.server.embedded import EmbeddedServer

pytestmark = pytest.mark.triton

LONG = bool(os.environ.get("FACESTATS_LONG_TESTS"))
Rows = dict[str, dict[str, Any]]
GENDERS = ["female", "male"]
POINTS = 0.02
MEASURED_IN_A_PADDED_SQUARE = {"utkface": 0.836, "fairface": 0.706}


def adults(shared: Path, dataset: str) -> list[dict[str, str]]:
    """Return the labels of UTKFace from 18 years, of FairFace from its bucket of 20."""
    with (shared / "samples" / "labelled" / "labels.tsv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter="\t") if row["dataset"] == dataset]
    youngest = {"utkface": 18, "fairface": 20}[dataset]
    return [row for row in rows if int((row["age_years"] or row["age_bucket"].split("-")[0]).rstrip("+")) >= youngest]


def served_accuracy(rows: Rows, shared: Path, dataset: str) -> tuple[float, float]:
    """Return the share of adults whose gender is right, and the share on whom a face was found."""
    labelled = adults(shared, dataset)
    hits = [
        GENDERS[int(np.argmax(faces[0]["gender_probability"]))] == row["gender"]
        for row in labelled
        if (faces := rows[row["file"]]["faces"])
    ]
    return float(np.mean(hits)), len(hits) / len(labelled)


@pytest.fixture(scope="module")
def padded_server(full_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory, shared: Path) -> Any:
    """The full-size pack's encoder and age/gender; its detector sees a photo in the middle of a black square."""
    from fsexport.artifact.origins import StatedLicence, resolve
    from fsexport.detect.detector_artifact import export_detector_artifact
    from fsexport.detect.scrfd import ScrfdSettings
    from fsexport.detect.views import View
    from fsexport.packs.pack_builder import build_pack

    folder = tmp_path_factory.mktemp("padded")
    given = resolve([str(shared / "weights" / "insightface" / "det_500m.onnx")], StatedLicence())
    settings = ScrfdSettings(views=(View(frame_px=320, window_px=640, score_threshold=0.5),))
    photos = [shared / "samples" / "photos" / "portrait" / "obama.jpg"]
    export_detector_artifact(given.files, given.origin, settings, photos, folder / "detect", print)
    artifacts = full_size_artifacts()
    build_pack("padded", "a test", [folder / "detect", artifacts / "embed", artifacts / "age_gender"], folder / "pack")
    assemble(folder / "pack", folder / "repository", target=Target.PIP)
    with EmbeddedServer(folder / "repository") as server:
        yield server


@pytest.mark.parametrize(
    "dataset",
    ["utkface", pytest.param("fairface", marks=pytest.mark.skipif(not LONG, reason="FACESTATS_LONG_TESTS runs it"))],
)
def test_in_a_padded_square_it_gives_the_figures_that_were_measured_so(
    padded_server: EmbeddedServer, shared: Path, dataset: str, ingested: Callable[[EmbeddedServer, str], Rows]
) -> None:
    accuracy, found = served_accuracy(ingested(padded_server, f"labelled/{dataset}"), shared, dataset)
    assert found > 0.97
    assert accuracy == pytest.approx(MEASURED_IN_A_PADDED_SQUARE[dataset], abs=POINTS)


@pytest.mark.parametrize("dataset", ["utkface", "fairface"])
def test_at_insightfaces_two_sizes_it_gives_what_insightface_gives(
    full_server: EmbeddedServer, shared: Path, dataset: str, ingested: Callable[[EmbeddedServer, str], Rows]
) -> None:
    cv2 = pytest.importorskip("cv2")
    ort = pytest.importorskip("onnxruntime")
    scrfd = pytest.importorskip("insightface.model_zoo.scrfd", reason="insightface is missing; it is the oracle")
    face_align = pytest.importorskip("insightface.utils.face_align")
    detector = scrfd.SCRFD(model_file=str(shared / "weights" / "insightface" / "det_500m.onnx"))
    network = ort.InferenceSession(str(shared / "weights" / "genderage_v1" / "genderage_v1_112.onnx"))
    hits = []
    for row in adults(shared, dataset):
        photo = cv2.imread(str(shared / "samples" / row["file"]))
        boxes, landmarks = detector.detect(photo)
        if not len(boxes):
            continue
        crop = face_align.norm_crop(photo, landmarks[0])[..., ::-1]  # BGR to RGB
        (answer,) = network.run(None, {"data": crop.transpose(2, 0, 1)[None].astype(np.float32)})
        hits.append(GENDERS[int(np.argmax(answer[0, :2]))] == row["gender"])
    accuracy, _ = served_accuracy(ingested(full_server, "labelled"), shared, dataset)
    assert accuracy == pytest.approx(np.mean(hits), abs=POINTS)
