"""A scikit-learn classifier on the embedding as the ethnicity or the age_gender step; its labels are its own."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path

import numpy as np

from fsengine.contracts.served import ETHNICITY, GENDER
from fsengine.contracts.steps import AGE_GENDER, age_gender_spec, ethnicity_spec, face_embedding
from fsengine.contracts.steps import ETHNICITY as ETHNICITY_STEP
from fsengine.contracts.tensors import ModelSpec
from fsexport.artifact.exported import Exported, ExportJob, ExportResult, Origin, export_artifact
from fsexport.artifact.onnx_file import run_graph, save_onnx
from fsexport.artifact.parity import compare
from fsexport.graphs.contract_io import model_values
from fsexport.graphs.graph_builder import GraphBuilder
from fsexport.heads.head_inputs import HeadInputs, random_inputs
from fsexport.sources.sklearn_pickle import ScaledClassifier

PROBABILITY_LIMIT = 1e-4


class LinearHead(str, Enum):
    """What a classifier classifies."""

    GENDER = "gender"
    ETHNICITY = "ethnicity"


def export_linear_head_artifact(
    classifier: ScaledClassifier,
    head: LinearHead,
    origin: Origin,
    folder: Path,
    say: Callable[[str], None],
    inputs: HeadInputs | None = None,
) -> Exported:
    """Export a classifier.

    Args:
        classifier: From `read_scaled_classifier`.
        head: What it classifies. A gender head serves as the age_gender step, without an age.
        origin: Where it comes from.
        folder: Where the artifact shall lie.
        say: Called with each line for people.
        inputs: Embeddings to compare on; None draws some.

    Raises:
        ExportError: The export differs from the classifier.
    """
    classes, width = classifier.weight.shape
    label, spec = _contract(head, width, classes)
    job = ExportJob(
        step=spec.name,
        origin=origin,
        options={"head": head.value, "labels": classifier.labels},
        libraries=("onnx", "onnxruntime"),
    )

    def make(path: Path) -> ExportResult:
        write_linear_head(classifier, spec, path)
        given = inputs or random_inputs(width)
        row = compare(
            run_graph(path, {spec.inputs[0].name: given.rows})[spec.outputs[0].name],
            classifier.probabilities(given.rows),
            quantity=f"{head.value} probability",
            reference="scikit-learn's formulas in float64",
            inputs=given.text,
            limit=PROBABILITY_LIMIT,
        )
        return ExportResult(spec=spec, labels={label: classifier.labels}, parity=(row,))

    return export_artifact(job, folder, make, say)


def write_linear_head(classifier: ScaledClassifier, spec: ModelSpec, out_path: Path) -> Path:
    """Write the graph of a classifier; its standardization is folded into the weights, in float64."""
    weight = classifier.weight / classifier.scale
    bias = classifier.bias - weight @ classifier.mean
    graph = GraphBuilder()
    scores = graph.add(
        "Gemm",
        spec.inputs[0].name,
        graph.constant(weight.astype(np.float32)),
        graph.constant(bias.astype(np.float32)),
        transB=1,
    )
    graph.rename(graph.add("Softmax", scores, axis=1), spec.outputs[0].name)
    return save_onnx(graph.model(spec.name, *model_values(spec)), out_path)


def _contract(head: LinearHead, width: int, classes: int) -> tuple[str, ModelSpec]:
    """Return the name of the labels and the contract of a head."""
    match head:
        case LinearHead.GENDER:
            spec = age_gender_spec(face_embedding(width), classes, with_age=False)
            assert spec.name == AGE_GENDER
            return GENDER, spec
        case LinearHead.ETHNICITY:
            spec = ethnicity_spec(width, classes, forest=False)
            assert spec.name == ETHNICITY_STEP
            return ETHNICITY, spec
    raise AssertionError(f"no contract for {head}")
