"""Heads that `fstrain` made, served by Triton: they answer as the trained model does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from built_full_size_pack import full_size_artifacts
from fsdata.labels.joining import join_results
from fsengine.contracts.served import ETHNICITY
from fsengine.contracts.steps import (
    ATTRACTIVENESS,
    ATTRACTIVENESS_DECILE,
    ATTRACTIVENESS_INTERVAL,
    ATTRACTIVENESS_PERCENTILE,
    ATTRACTIVENESS_SCORE,
    FACE_BATCH_LIMIT,
    FIL_INPUT,
    FIL_OUTPUT,
)
from fsengine.packs.pack import read_pack
from fsengine.repository.assemble import Target, assemble
from fsengine.server.embedded import EmbeddedServer
from fsexport.artifact.exported import read_exported
from fsexport.artifact.onnx_file import run_graph
from fsexport.heads.trees import FAIRFACE_CLASSES, checkpoint_probabilities
from fsexport.packs.pack_builder import build_pack, change_heads

pytestmark = pytest.mark.triton

for library in ("torch", "lightgbm", "matplotlib", "optuna"):
    pytest.importorskip(library, reason=f"{library} is missing; training needs it")

TIMEOUT_S = 900
AGREEMENT = 1e-5
"""Float32 in another order, on scores of about 10 at most."""


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr


def fstrain(*arguments: str | Path) -> None:
    run([sys.executable, "-c", "from fstraining.cli import main; main()", *map(str, arguments)])


def ask(
    server: EmbeddedServer, model: str, name: str, rows: NDArray[np.float32], outputs: list[str]
) -> dict[str, NDArray[np.float32]]:
    """Return a model's outputs for all rows, asked for in batches of several sizes."""
    grpc = pytest.importorskip("tritonclient.grpc")
    found: dict[str, list[NDArray[np.float32]]] = {output: [] for output in outputs}
    with grpc.InferenceServerClient(server.url) as client:
        start = 0
        for size in (1, 7, FACE_BATCH_LIMIT, FACE_BATCH_LIMIT, FACE_BATCH_LIMIT):
            part = rows[start : start + size]
            start += size
            if not len(part):
                break
            given = grpc.InferInput(name, list(part.shape), "FP32")
            given.set_data_from_numpy(np.ascontiguousarray(part))
            asked = [grpc.InferRequestedOutput(output) for output in outputs]
            result = client.infer(model, [given], outputs=asked, client_timeout=60)
            for output in outputs:
                found[output].append(result.as_numpy(output))
    return {output: np.concatenate(parts) for output, parts in found.items()}


def layers_of(path: Path) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return weight (out, in) and bias of each linear layer of an exported graph, in their order."""
    onnx = pytest.importorskip("onnx")
    graph = onnx.load(path).graph
    constants = {item.name: onnx.numpy_helper.to_array(item).astype(np.float64) for item in graph.initializer}
    return [(constants[node.input[1]], constants[node.input[2]]) for node in graph.node if node.op_type == "Gemm"]


@pytest.fixture(scope="module")
def golden(shared: Path) -> Path:
    """Table of 412 real CLIP embeddings with the scores that FaceStats v4 gave them."""
    return shared / "weights" / "facestats_v4" / "golden" / "clip_vitb32_embeddings.parquet"


def test_an_attractiveness_head_is_served_as_it_was_trained(
    full_server: EmbeddedServer, golden: Path, tmp_path: Path
) -> None:
    head = tmp_path / "attractiveness"
    fstrain(
        *("attractiveness", "--table", golden, "--score", "stored_attractiveness_models_pt"),
        *("--licence", "MIT", "--out", head),
    )
    exported = read_exported(head)
    assert exported.licence == "MIT"
    parts = full_size_artifacts()
    build_pack("trained", "a test", [parts / "detect", parts / "embed", head], tmp_path / "pack")
    assemble(tmp_path / "pack", tmp_path / "repository", target=Target.PIP)
    table = pq.read_table(golden)
    rows = np.array(table["embedding"].to_pylist(), np.float64)
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    assert rows.shape == (412, 512)
    outputs = [tensor.name for tensor in exported.outputs]
    with EmbeddedServer(tmp_path / "repository") as server:
        served = ask(server, ATTRACTIVENESS, "face_embedding", rows, outputs)

    value = rows.astype(np.float64)
    layers = layers_of(head / exported.file)
    for position, (weight, bias) in enumerate(layers):
        value = value @ weight.T + bias
        value = np.maximum(value, 0) if position < len(layers) - 1 else value
    score = served[ATTRACTIVENESS_SCORE.name]
    np.testing.assert_allclose(score, value, atol=AGREEMENT)
    graph = run_graph(head / exported.file, {"face_embedding": rows})
    np.testing.assert_allclose(score, graph[ATTRACTIVENESS_SCORE.name], atol=AGREEMENT)
    np.testing.assert_allclose(
        served[ATTRACTIVENESS_INTERVAL.name], graph[ATTRACTIVENESS_INTERVAL.name], atol=AGREEMENT
    )
    # A score's unit in the last place is as much of a percentile as the scores are dense there.
    np.testing.assert_allclose(served[ATTRACTIVENESS_PERCENTILE.name], graph[ATTRACTIVENESS_PERCENTILE.name], atol=0.02)
    assert (served[ATTRACTIVENESS_DECILE.name] == graph[ATTRACTIVENESS_DECILE.name]).mean() > 0.99
    assert set(served[ATTRACTIVENESS_DECILE.name][:, 0].tolist()) == set(range(1, 11))
    report = json.loads((head / "report" / "report.json").read_text())
    assert report["figures"]["pearson"]["interval"][0] > 0.5
    assert report["figures"]["mean_absolute_error"]["interval"][1] < report["chance"]["mean_absolute_error"]


def test_an_ethnicity_head_is_served_as_it_was_trained(
    lite_server: EmbeddedServer, scored_assets: Callable[..., Path], shared: Path, tmp_path: Path
) -> None:
    labels, head = shared / "samples" / "labelled" / "labels.tsv", tmp_path / "ethnicity"
    results = scored_assets(lite_server, "labelled/fairface")
    fstrain(
        *("ethnicity", "--results", results, "--labels", labels),
        *("--licence", "CC BY 4.0", "--out", head),
    )
    exported = read_exported(head)
    lite = Path(__file__).resolve().parents[3] / "packs" / "lite"
    assert exported.reads == read_pack(lite).encoder_id
    assert exported.labels == {ETHNICITY: FAIRFACE_CLASSES}
    pack = change_heads(lite, {ETHNICITY: head}, "trained", "a test", tmp_path / "pack")
    assert pack.thresholds[ETHNICITY] == exported.thresholds[ETHNICITY]
    assert set(pack.models) == set(read_pack(lite).models)
    assemble(tmp_path / "pack", tmp_path / "repository", target=Target.PIP)

    from fsdata.labels.readers.data_sets import read_labels

    faces = join_results(results, read_labels(labels))
    assert len(faces.records) > 480
    with EmbeddedServer(tmp_path / "repository") as server:
        served = ask(server, ETHNICITY, FIL_INPUT, faces.embeddings, [FIL_OUTPUT])[FIL_OUTPUT]
    expected = checkpoint_probabilities(head / exported.file, faces.embeddings)
    np.testing.assert_allclose(served, expected, atol=AGREEMENT)
    np.testing.assert_allclose(served.sum(axis=1), 1, atol=AGREEMENT)
    report = json.loads((head / "report" / "report.json").read_text())
    accuracy, chance = report["figures"]["accuracy"], report["chance"]["accuracy"]
    assert accuracy["interval"][0] > chance
    # The faces that were kept out, by the split that the training made, as served.
    from fstraining.data.face_splits import split_faces

    test = split_faces(faces, seed=0).test
    truth = np.array([FAIRFACE_CLASSES.index(str(record.ethnicity)) for record in faces.records])
    assert accuracy["n"] == len(test)
    assert (served[test].argmax(axis=1) == truth[test]).mean() == pytest.approx(accuracy["value"], abs=1e-3)
