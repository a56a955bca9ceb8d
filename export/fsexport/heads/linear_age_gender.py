"""Age and gender as linear functions of the embedding: fitted in closed form, exported as one small graph."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts.steps import AGE_INTERVAL, AGE_YEARS, age_gender_spec, face_embedding, gender_probability
from fsexport.artifact.onnx_file import save_onnx
from fsexport.graphs.contract_io import model_values
from fsexport.graphs.graph_builder import GraphBuilder

OLDEST_YEARS = 100.0

_NEWTON_STEPS = 25
_CONVERGED = 1e-12


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


def fit_age_gender(
    embeddings: NDArray[np.float32], is_second_gender: NDArray[np.bool_], years: NDArray[np.float64], ridge: float
) -> LinearAgeGender:
    """Fit a logistic regression and a linear one, both with an L2 penalty on their weights.

    Args:
        embeddings: float32 (N, D), L2-normalized.
        is_second_gender: bool (N,).
        years: float64 (N,).
        ridge: Weight of the penalty.
    """
    points = np.column_stack([embeddings.astype(np.float64), np.ones(len(embeddings))])
    penalty = np.diag([*np.full(embeddings.shape[1], ridge), 0.0])
    age = np.linalg.solve(points.T @ points + penalty, points.T @ years)
    gender = np.zeros(points.shape[1])
    for _ in range(_NEWTON_STEPS):  # iteratively reweighted least squares
        chance = 1 / (1 + np.exp(-points @ gender))
        weight = np.maximum(chance * (1 - chance), 1e-9)
        step = points.T @ (is_second_gender - chance) - penalty @ gender
        change = np.linalg.solve(points.T @ (points * weight[:, None]) + penalty, step)
        gender = gender + change
        if np.abs(change).max() <= _CONVERGED * np.abs(gender).max():
            break
    return LinearAgeGender(
        gender_weight=gender[:-1].astype(np.float32),
        gender_bias=float(gender[-1]),
        age_weight=age[:-1].astype(np.float32),
        age_bias=float(age[-1]),
    )


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
