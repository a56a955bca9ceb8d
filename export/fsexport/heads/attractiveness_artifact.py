"""An attractiveness MLP and its reference distribution as the attractiveness step."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts.steps import (
    ATTRACTIVENESS,
    ATTRACTIVENESS_PERCENTILE,
    ATTRACTIVENESS_SCORE,
    attractiveness_spec,
)
from fsengine.errors import InvalidInputError, MissingDependencyError
from fsexport.artifact.exported import Exported, ExportJob, ExportResult, Origin, export_artifact
from fsexport.artifact.onnx_file import run_graph
from fsexport.artifact.parity import compare
from fsexport.heads.head_inputs import HeadInputs, random_inputs
from fsexport.heads.rating_mlp import NUM_QUANTILES, Layer, export_attractiveness, layer_scores

SCORE_LIMIT = 1e-4
QUANTILE_STEP = 100 / (NUM_QUANTILES - 1)
"""The graph holds a thousand quantiles of the distribution; between its own scores it is linear."""

_SCORE_COLUMNS = ("attractiveness", "attractiveness_raw", "score")


def export_attractiveness_artifact(
    layers: Sequence[Layer],
    reference: NDArray[np.float64],
    origin: Origin,
    folder: Path,
    say: Callable[[str], None],
    inputs: HeadInputs | None = None,
    *,
    half_width: float | None = None,
    reads: str = "",
    options: Mapping[str, Any] | None = None,
) -> Exported:
    """Export an attractiveness head.

    Args:
        layers: See `fsexport.heads.rating_mlp`.
        reference: float64 (R,), scores of the reference distribution.
        origin: Where both come from.
        folder: Where the artifact shall lie.
        say: Called with each line for people.
        inputs: Embeddings to compare on; None draws some.
        half_width: Half of the score's conformal interval; None for a head without one.
        reads: The encoder that the head was trained on; empty where it is not known.
        options: How the head was made, for its record.

    Raises:
        ExportError: The layers do not fit together, or the export differs from them.
    """
    shapes = [list(weight.shape) for weight, _ in layers]
    job = ExportJob(
        step=ATTRACTIVENESS,
        origin=origin,
        options={
            "layers": shapes,
            "weights": hashlib.sha256(b"".join(part.tobytes() for layer in layers for part in layer)).hexdigest()[:16],
            "reference": hashlib.sha256(np.sort(reference).tobytes()).hexdigest()[:16],
            "half_width": half_width,
            **(options or {}),
        },
        libraries=("onnx", "onnxruntime"),
    )

    def make(path: Path) -> ExportResult:
        export_attractiveness(layers, reference, path, half_width=half_width)
        width = layers[0][0].shape[1]
        given = inputs or random_inputs(width)
        found = run_graph(path, {"face_embedding": given.rows})
        scores = layer_scores(layers, given.rows)
        parity = (
            compare(
                found[ATTRACTIVENESS_SCORE.name],
                scores[:, None],
                quantity="score",
                reference="the layers in float64",
                inputs=given.text,
                limit=SCORE_LIMIT,
            ),
            compare(
                found[ATTRACTIVENESS_PERCENTILE.name][:, 0],
                np.searchsorted(np.sort(reference), scores, side="right") * 100 / len(reference),
                quantity="percentile, 0 to 100",
                reference="shares of the whole reference distribution",
                inputs=given.text,
                limit=QUANTILE_STEP + 100 / len(reference),
            ),
        )
        spec = attractiveness_spec(width, with_interval=half_width is not None)
        return ExportResult(spec=spec, parity=parity, reads=reads)

    return export_artifact(job, folder, make, say)


def read_scores(path: Path, column: str | None) -> NDArray[np.float64]:
    """Read a reference distribution: a column of a Parquet or CSV file.

    Args:
        path: The file.
        column: Its column; by default the first of `attractiveness`, `attractiveness_raw`, `score` that is there and
            holds numbers with a fraction.

    Raises:
        InvalidInputError: It cannot be read, or has no such column of numbers.
        MissingDependencyError: pyarrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import csv as pa_csv
        from pyarrow import parquet as pq
    except ImportError as exc:
        raise MissingDependencyError("reading scores needs pyarrow: pip install facestats") from exc
    try:
        table = pq.read_table(path) if path.suffix == ".parquet" else pa_csv.read_csv(path)
        candidates = [
            name for name in _SCORE_COLUMNS if name in table.column_names and pa.types.is_floating(table[name].type)
        ]
        name = column or (candidates[0] if candidates else "")
        if name not in table.column_names:
            wanted = repr(column) if column else f"one of {', '.join(_SCORE_COLUMNS)} that holds floating-point numbers"
            raise InvalidInputError(
                f"{path} has columns {', '.join(table.column_names)}; expected {wanted}. Name the right one "
                "with --column"
            )
        scores = table[name].drop_null().cast(pa.float64()).to_numpy()
    except (OSError, pa.ArrowException) as exc:
        raise InvalidInputError(f"{path} is not a Parquet or CSV file of scores: {exc}") from exc
    return np.asarray(scores[np.isfinite(scores)], np.float64)
