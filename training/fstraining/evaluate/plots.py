"""The pictures of a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsengine.errors import MissingDependencyError
from fsengine.files.atomic import temporary_file

_SIZE_INCHES = (7.0, 5.0)
_DOTS_PER_INCH = 120


def loss_curve(
    path: Path, curves: Mapping[str, Sequence[float]], best: int, quantity: str, unit: str = "epoch"
) -> None:
    """Draw a metric over epochs or rounds, with the one that was kept.

    Args:
        path: PNG to write.
        curves: Name to values, one an epoch.
        best: The epoch that was kept, from 1.
        quantity: What is drawn, with its unit.
        unit: What one step of training is called.
    """
    with _axes(path) as axes:
        for name, values in curves.items():
            axes.plot(np.arange(1, len(values) + 1), values, label=name)
        axes.axvline(best, color="grey", linestyle=":", label=f"kept: {best}")
        axes.set(xlabel=unit, ylabel=quantity, title=f"Learning curve over {unit}s")
        axes.legend()


def size_curve(path: Path, sizes: Sequence[float], curves: Mapping[str, Sequence[float]], quantity: str) -> None:
    """Draw a metric over the number of faces trained on."""
    with _axes(path) as axes:
        for name, values in curves.items():
            axes.plot(sizes, values, marker="o", label=name)
        axes.set(xlabel="faces trained on", ylabel=quantity, title="Learning curve over the size of the training set")
        axes.legend()


def confusion_matrix(path: Path, matrix: NDArray[np.int64], labels: Sequence[str]) -> None:
    """Draw a confusion matrix: counts, coloured by the share of each row."""
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    with _axes(path) as axes:
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row in range(len(labels)):
            for column in range(len(labels)):
                colour = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, str(matrix[row, column]), ha="center", va="center", color=colour)
        axes.set_xticks(range(len(labels)), labels, rotation=35, ha="right", parse_math=False)
        axes.set_yticks(range(len(labels)), labels, parse_math=False)
        axes.set(xlabel="predicted", ylabel="labelled", title="Confusion matrix, faces kept out of training")


def reliability_diagram(path: Path, rows: Sequence[tuple[float, float, int]]) -> None:
    """Draw how often the likeliest class is right over how sure the served head is of it."""
    with _axes(path) as axes:
        axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="perfectly calibrated")
        confidences, shares, _ = zip(*rows, strict=True)
        axes.plot(confidences, shares, marker="o", label="served")
        for confidence, share, count in rows:
            axes.annotate(str(count), (confidence, share), textcoords="offset points", xytext=(6, -10), fontsize=8)
        axes.set(xlabel="probability of the likeliest class", ylabel="share right", xlim=(0, 1), ylim=(0, 1))
        axes.set_title("Reliability of the served head, faces kept out of training (faces per point)")
        axes.legend()


def scatter(
    path: Path, targets: NDArray[np.float64], predicted: NDArray[np.float64], half_width: float, unit: str
) -> None:
    """Draw predictions over targets, with the conformal interval around the diagonal."""
    low, high = float(min(targets.min(), predicted.min())), float(max(targets.max(), predicted.max()))
    with _axes(path) as axes:
        line = np.array([low, high])
        axes.fill_between(line, line - half_width, line + half_width, alpha=0.15, label="conformal interval")
        axes.plot(line, line, color="grey", linestyle=":")
        axes.scatter(targets, predicted, s=12)
        axes.set(xlabel=f"labelled, {unit}", ylabel=f"predicted, {unit}", title="Faces kept out of training")
        axes.legend()


@contextmanager
def _axes(path: Path) -> Iterator[Any]:
    """Give the axes of a picture that is written at the end."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as exc:
        raise MissingDependencyError("reports need matplotlib: pip install 'facestats[training]'") from exc
    figure = Figure(figsize=_SIZE_INCHES, dpi=_DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    yield figure.add_subplot()
    with temporary_file(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": "fstraining"})
