"""Age and gender as linear functions of the embedding, exported as one small graph."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts.served import GENDER
from fsengine.contracts.steps import (
    AGE_GENDER,
    AGE_INTERVAL,
    AGE_YEARS,
    age_gender_spec,
    face_embedding,
    gender_probability,
)
from fsexport.artifact.exported import Exported, ExportJob, ExportResult, Origin, export_artifact
from fsexport.artifact.onnx_file import run_graph, save_onnx
from fsexport.artifact.parity import compare
from fsexport.graphs.contract_io import model_values
from fsexport.graphs.graph_builder import GraphBuilder
from fsexport.heads.head_inputs import HeadInputs

OLDEST_YEARS = 100.0
PROBABILITY_LIMIT = 1e-5
AGE_LIMIT_YEARS = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearAgeGender:
    """A fitted head.

    Attributes:
        gender_weight: float32 (D,), of the log-odds of the second gender label.
        gender_bias: Of the same.
        age_weight: float32 (D,), in years.
        age_bias: In years.
    """

    gender_weight: NDArray[np.float32]
    gender_bias: float
    age_weight: NDArray[np.float32]
    age_bias: float


def predict_age_gender(
    head: LinearAgeGender, embeddings: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the probability of the second gender (N,) and the age in years (N,)."""
    odds = embeddings.astype(np.float64) @ head.gender_weight + head.gender_bias
    years = embeddings.astype(np.float64) @ head.age_weight + head.age_bias
    return 1 / (1 + np.exp(-odds)), np.clip(years, 0, OLDEST_YEARS)


def export_linear_age_gender(head: LinearAgeGender, out_path: Path, half_width_years: float | None = None) -> Path:
    """Write the graph of a head on the embedding.

    Args:
        head: The head.
        out_path: Where it shall lie.
        half_width_years: Half of the age's conformal interval; None for a head without one.
    """
    width = len(head.gender_weight)
    spec = age_gender_spec(face_embedding(width), with_interval=half_width_years is not None)
    graph = GraphBuilder()
    # The softmax over (0, log-odds) is the pair of probabilities.
    weights = np.column_stack([np.zeros(width), head.gender_weight]).astype(np.float32)
    bias = np.array([0.0, head.gender_bias], np.float32)
    odds = graph.add("Gemm", spec.inputs[0].name, graph.constant(weights), graph.constant(bias))
    graph.rename(graph.add("Softmax", odds, axis=1), gender_probability(2).name)
    years = graph.add(
        "Gemm",
        spec.inputs[0].name,
        graph.constant(head.age_weight[:, None]),
        graph.constant(np.array([head.age_bias], np.float32)),
    )
    clipped = graph.add("Clip", years, graph.number(0), graph.number(OLDEST_YEARS))
    graph.rename(clipped, AGE_YEARS.name)
    if half_width_years is not None:
        ends = graph.add("Add", years, graph.constant(np.array([[-half_width_years, half_width_years]], np.float32)))
        graph.rename(graph.add("Clip", ends, graph.number(0), graph.number(OLDEST_YEARS)), AGE_INTERVAL.name)
    return save_onnx(graph.model(spec.name, *model_values(spec)), out_path)


def export_linear_age_gender_artifact(
    head: LinearAgeGender,
    labels: Sequence[str],
    origin: Origin,
    folder: Path,
    say: Callable[[str], None],
    inputs: HeadInputs,
    *,
    half_width_years: float,
    reads: str,
    options: Mapping[str, Any],
) -> Exported:
    """Export a head as the step of age and gender, compared with itself in float64.

    Args:
        head: The head.
        labels: The two genders, in its order.
        origin: Where it comes from.
        folder: Where the artifact shall lie.
        say: Called with each line for people.
        inputs: Embeddings to compare on.
        half_width_years: Half of the age's conformal interval.
        reads: The encoder that the head was trained on; empty where it is not known.
        options: How the head was made, for its record.

    Raises:
        ExportError: The graph differs from the head.
    """
    weights = head.gender_weight.tobytes() + head.age_weight.tobytes()
    job = ExportJob(
        step=AGE_GENDER,
        origin=origin,
        options={
            "weights": hashlib.sha256(weights).hexdigest()[:16],
            "half_width_years": half_width_years,
            "labels": list(labels),
            **options,
        },
        libraries=("onnx", "onnxruntime"),
    )

    def make(path: Path) -> ExportResult:
        export_linear_age_gender(head, path, half_width_years)
        found = run_graph(path, {"face_embedding": inputs.rows})
        second, ages = predict_age_gender(head, inputs.rows)
        reference = "the trained head in float64"
        parity = (
            compare(
                found[gender_probability(2).name][:, 1],
                second,
                quantity="gender probability",
                reference=reference,
                inputs=inputs.text,
                limit=PROBABILITY_LIMIT,
            ),
            compare(
                found[AGE_YEARS.name][:, 0],
                ages,
                quantity="age, years",
                reference=reference,
                inputs=inputs.text,
                limit=AGE_LIMIT_YEARS,
            ),
        )
        spec = age_gender_spec(face_embedding(inputs.rows.shape[1]), with_interval=True)
        return ExportResult(spec=spec, labels={GENDER: list(labels)}, parity=parity, reads=reads)

    return export_artifact(job, folder, make, say)
