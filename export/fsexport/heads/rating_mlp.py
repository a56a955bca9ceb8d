"""The attractiveness head: an MLP on the embedding and its percentile in a reference distribution, in one graph."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts.steps import (
    ATTRACTIVENESS_DECILE,
    ATTRACTIVENESS_INTERVAL,
    ATTRACTIVENESS_PERCENTILE,
    ATTRACTIVENESS_SCORE,
    attractiveness_spec,
)
from fsengine.contracts.tensors import DType
from fsengine.errors import ExportError, MissingDependencyError
from fsexport.artifact.onnx_file import save_onnx
from fsexport.graphs.contract_io import model_values
from fsexport.graphs.graph_builder import GraphBuilder

NUM_QUANTILES = 1001
"""Quantiles that stand for the reference distribution; the percentile is exact to 0.1."""

MOST_WEIGHTS = 1 << 26
"""Of one layer; no head on an embedding comes near it."""

_LAYER_KEY = re.compile(r"net\.(\d{1,4})\.(?:weight|bias)")

Layer = tuple[NDArray[np.float32], NDArray[np.float32]]


def layer_scores(layers: Sequence[Layer], embeddings: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return float64 (N,), the scores of embeddings (N, D), computed in float64."""
    value = embeddings.astype(np.float64)
    for position, (weight, bias) in enumerate(layers):
        value = value @ weight.T.astype(np.float64) + bias
        value = np.maximum(value, 0) if position < len(layers) - 1 else value
    return value[:, 0]


def export_attractiveness(
    layers: Sequence[Layer], reference: NDArray[np.float64], out_path: Path, *, half_width: float | None = None
) -> Path:
    """Write the graph of the head.

    Args:
        layers: (weight, bias) of each linear layer, float32 (out, in) and (out,); ReLU between them. The last
            one has one output.
        reference: float64 (R,), scores of the reference distribution, in any order.
        out_path: Where it shall lie.
        half_width: Half of the score's conformal interval; None for a head without one.

    Raises:
        ExportError: The layers do not fit together, or the reference has fewer than two different scores.
    """
    _check(layers, reference)
    spec = attractiveness_spec(layers[0][0].shape[1], with_interval=half_width is not None)
    graph = GraphBuilder()
    value = spec.inputs[0].name
    for position, (weight, bias) in enumerate(layers):
        value = graph.add("Gemm", value, graph.constant(weight), graph.constant(bias), transB=1)
        if position < len(layers) - 1:
            value = graph.add("Relu", value)
    graph.rename(value, ATTRACTIVENESS_SCORE.name)
    quantiles = np.quantile(reference, np.linspace(0, 1, NUM_QUANTILES)).astype(np.float32)
    share = _percentile(graph, value, quantiles)
    graph.rename(share, ATTRACTIVENESS_PERCENTILE.name)
    # Tenths from 0 to 9, the last one with its upper end; counted from 1.
    tenth = graph.add("Min", graph.add("Floor", graph.add("Div", share, graph.number(10))), graph.number(9))
    graph.rename(graph.add("Add", tenth, graph.number(1)), ATTRACTIVENESS_DECILE.name)
    if half_width is not None:
        ends = graph.constant(np.array([[-half_width, half_width]], np.float32))
        graph.rename(graph.add("Add", value, ends), ATTRACTIVENESS_INTERVAL.name)
    return save_onnx(graph.model(spec.name, *model_values(spec)), out_path)


def percentile(scores: NDArray[np.float32], reference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of a reference distribution at or below each score, 0 to 100, as the graph computes it.

    Linear between the quantiles; see `NUM_QUANTILES`.
    """
    shares = np.linspace(0, 100, NUM_QUANTILES)
    return np.interp(scores, np.quantile(reference, shares / 100), shares)


def read_torch_mlp(path: Path) -> list[Layer]:
    """Read the linear layers of a saved torch `state_dict`, without running any code that it holds.

    Covers FaceStats v4's `attractiveness_regressor.pt`, in both of its architectures: keys `net.N.weight` and
    `net.N.bias`, N rising.

    Raises:
        MissingDependencyError: torch is not installed.
        ExportError: The file is not such a state.
    """
    try:
        import torch
    except ImportError as exc:
        raise MissingDependencyError(f"reading {path} needs torch: pip install 'facestats[export]'") from exc
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as exc:  # torch raises pickle, zip and runtime errors alike
        raise ExportError(f"{path} is not a state that torch loads with weights_only: {exc}") from exc
    return _layers(state, path)


def _layers(state: object, path: Path) -> list[Layer]:
    """Return the layers of a state, whatever else a file may hold in its place."""
    if not isinstance(state, dict) or not all(isinstance(key, str) for key in state):
        raise ExportError(f"{path} holds a {type(state).__name__}, expected a state_dict")
    numbers = sorted({int(match[1]) for key in state if (match := _LAYER_KEY.fullmatch(key))})
    expected = {f"net.{n}.{part}" for n in numbers for part in ("weight", "bias")}
    if not numbers or set(state) != expected:
        raise ExportError(f"{path} has keys {sorted(state)[:8]}, expected net.N.weight and net.N.bias alone")
    return [(_array(state, f"net.{n}.weight", 2, path), _array(state, f"net.{n}.bias", 1, path)) for n in numbers]


def _array(state: dict[str, object], key: str, axes: int, path: Path) -> NDArray[np.float32]:
    """Return a tensor of a state as an array."""
    import torch

    value = state[key]
    if (
        not isinstance(value, torch.Tensor)
        or value.layout is not torch.strided
        or not value.is_floating_point()
        or value.ndim != axes
        or not 0 < value.numel() <= MOST_WEIGHTS
    ):
        shape = list(value.shape) if isinstance(value, torch.Tensor) else ""
        raise ExportError(
            f"{path}: {key} is a {type(value).__name__} {shape}, expected floating-point numbers on {axes} axes, at "
            f"most {MOST_WEIGHTS:,} of them"
        )
    array: NDArray[np.float32] = value.detach().float().contiguous().numpy()
    if not np.isfinite(array).all():
        raise ExportError(f"{path}: {key} holds numbers that are not finite")
    return array


def _check(layers: Sequence[Layer], reference: NDArray[np.float64]) -> None:
    shapes = [weight.shape for weight, _ in layers]
    fits = all(bias.shape == weight.shape[:1] for weight, bias in layers)
    chained = fits and all(shapes[i][0] == shapes[i + 1][1] for i in range(len(shapes) - 1))
    if not shapes or not chained or shapes[-1][0] != 1:
        raise ExportError(f"layers of shapes {shapes} (out, in) do not form an MLP with one output")
    if len(np.unique(reference)) < 2 or not np.isfinite(reference).all():
        raise ExportError("the reference distribution needs at least two different, finite scores")


def _percentile(graph: GraphBuilder, score: str, quantiles: NDArray[np.float32]) -> str:
    """Return the percentile of scores (N, 1) by a piecewise linear look-up."""
    last = len(quantiles) - 1
    table = graph.constant(quantiles)
    reached = graph.add("Cast", graph.add("GreaterOrEqual", score, table), to=DType.INT64.onnx)  # (N, quantiles)
    count = graph.add("ReduceSum", reached, graph.ints(1), keepdims=1)
    lower = graph.add("Max", graph.add("Sub", count, graph.ints(1)), graph.ints(0))
    lower = graph.add("Min", lower, graph.ints(last - 1))
    low = graph.add("Gather", table, lower, axis=0)
    high = graph.add("Gather", table, graph.add("Add", lower, graph.ints(1)), axis=0)
    width = graph.add("Max", graph.add("Sub", high, low), graph.number(1e-12))
    part = graph.add("Clip", graph.add("Div", graph.add("Sub", score, low), width), graph.number(0), graph.number(1))
    position = graph.add("Add", graph.add("Cast", lower, to=DType.FP32.onnx), part)
    return str(graph.add("Mul", position, graph.number(100 / last)))
