"""The charts of a training report, each an SVG element with a text for those who do not see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsdata.pictures.chart_style import COLOURS, GREY, drawn_chart
from fsdata.pictures.html_page import PageFigure
from fstraining.evaluate.metrics import LEAST_GROUP


def group_bars(
    name: str, unit: str, groups: Sequence[Mapping[str, Any]], overall: Mapping[str, Any]
) -> PageFigure | None:
    """Draw a figure for every group that has enough faces, with its interval; None where no group has.

    Args:
        name: The figure, as the groups call it.
        unit: What it counts in; empty for a share.
        groups: Rows of `group_table`.
        overall: The figure of all faces.
    """
    rows = [row for row in groups if name in row]
    if not rows:
        return None
    title, places = name.replace("_", " "), np.arange(len(rows))
    values = np.array([row[name]["value"] for row in rows], np.float64)
    ends = np.array([row[name]["interval"] for row in rows], np.float64)
    reach = np.maximum(np.stack([values - ends[:, 0], ends[:, 1] - values]), 0)
    with drawn_chart(height=1.1 + 0.26 * len(rows)) as chart:
        attributes = list(dict.fromkeys(row["attribute"] for row in rows))
        colours = [COLOURS[attributes.index(row["attribute"]) % len(COLOURS)] for row in rows]
        chart.axes.barh(places, values, height=0.62, color=colours, alpha=0.75)
        chart.axes.errorbar(values, places, xerr=reach, fmt="none", ecolor="#222222", elinewidth=1.1, capsize=2.5)
        whole = f"all faces: {overall['value']:.2f}"
        chart.axes.axvline(overall["value"], color=GREY, linestyle=":", label=whole)
        chart.axes.set_yticks(places, [f"{_short(str(row['group']))} (n = {row['n']})" for row in rows])
        chart.axes.invert_yaxis()
        chart.axes.set(xlabel=", ".join(filter(None, [title, unit])), xlim=(min(0.0, float(ends.min())), None))
        chart.axes.grid(False, axis="y")
        chart.axes.legend(loc="lower right", bbox_to_anchor=(1, 1))
    told = ", ".join(f"{row['group']} {row[name]['value']:.2f}" for row in rows)
    note = f"lines are 95 % intervals; groups of fewer than {LEAST_GROUP} faces are left out"
    return PageFigure(f"By group: {title}", chart.svg, f"{title} by group: {told}", note)


def loss_curve(curves: Mapping[str, Sequence[float]], best: int, quantity: str, unit: str = "epoch") -> PageFigure:
    """Draw a metric over epochs or rounds, with the one that was kept.

    Args:
        curves: Name to values, one an epoch.
        best: The epoch that was kept, from 1.
        quantity: What is drawn, with its unit.
        unit: What one step of training is called.
    """
    with drawn_chart() as chart:
        for colour, (name, values) in zip(COLOURS, curves.items(), strict=False):
            chart.axes.plot(np.arange(1, len(values) + 1), values, color=colour, label=name)
        chart.axes.axvline(best, color=GREY, linestyle=":", label=f"kept: {best}")
        chart.axes.set(xlabel=unit, ylabel=quantity)
        chart.axes.legend()
    told = ", ".join(f"{name} {values[best - 1]:.2f}" for name, values in curves.items() if len(values) >= best)
    return PageFigure(f"Learning curve over {unit}s", chart.svg, f"{quantity} at the {unit} kept, {best}: {told}")


def size_curve(sizes: Sequence[float], curves: Mapping[str, Sequence[float]], quantity: str) -> PageFigure:
    """Draw a metric over the number of faces trained on."""
    with drawn_chart() as chart:
        for colour, (name, values) in zip(COLOURS, curves.items(), strict=False):
            chart.axes.plot(sizes, values, color=colour, marker="o", markersize=4, label=name)
        chart.axes.set(xlabel="faces trained on", ylabel=quantity, xlim=(0, None))
        chart.axes.legend()
    told = ", ".join(f"{name} {values[0]:.2f} to {values[-1]:.2f}" for name, values in curves.items())
    text = f"{quantity}, from {sizes[0]:.0f} to {sizes[-1]:.0f} faces trained on: {told}"
    return PageFigure("Learning curve over the number of faces", chart.svg, text)


def confusion_matrix(matrix: NDArray[np.int64], labels: Sequence[str], title: str) -> PageFigure:
    """Draw a confusion matrix in per cent of each row.

    Args:
        matrix: int64 (C, C): rows are what was labelled, columns what was predicted.
        labels: C names.
        title: What is confused.
    """
    totals = matrix.sum(axis=1)
    shares = 100 * matrix / np.maximum(totals[:, None], 1)
    with drawn_chart(height=1.6 + 0.36 * len(labels)) as chart:
        chart.axes.imshow(shares, cmap="Blues", vmin=0, vmax=100, aspect="auto")
        for row in range(len(labels)):
            for column in range(len(labels)):
                colour = "white" if shares[row, column] > 50 else "black"
                text = f"{shares[row, column]:.0f}"
                chart.axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
        names = [_short(label) for label in labels]
        chart.axes.set_xticks(range(len(labels)), names, rotation=35, ha="right")
        chart.axes.set_yticks(
            range(len(labels)), [f"{name} (n = {total})" for name, total in zip(names, totals, strict=True)]
        )
        chart.axes.set(xlabel="predicted, per cent of the labelled", ylabel="labelled")
        chart.axes.grid(False)
    right = ", ".join(f"{label} {share:.0f} %" for label, share in zip(labels, np.diag(shares), strict=True))
    return PageFigure(title, chart.svg, f"Named as labelled: {right}", "a row adds up to 100 %")


def reliability_diagram(rows: Sequence[tuple[float, float, int]], title: str) -> PageFigure:
    """Draw how often the likeliest class is right over how sure the served head is of it."""
    with drawn_chart(height=3.0) as chart:
        chart.axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="perfectly calibrated")
        confidences, shares, counts = zip(*rows, strict=True)
        chart.axes.plot(confidences, shares, color=COLOURS[0], marker="o", markersize=4, label="served")
        for confidence, share, count in rows:
            chart.axes.annotate(str(count), (confidence, share), textcoords="offset points", xytext=(5, -9), fontsize=7)
        chart.axes.set(
            xlabel="probability of the likeliest class", ylabel="share right", xlim=(0, 1.02), ylim=(0, 1.04)
        )
        chart.axes.legend(loc="upper left")
    number = sum(counts)
    sure, right = np.average(confidences, weights=counts), np.average(shares, weights=counts)
    text = f"Mean probability {sure:.2f}, share right {right:.2f}, of {number} faces"
    return PageFigure(title, chart.svg, text, "numbers are the faces of a point")


def scatter(
    targets: NDArray[np.float64], predicted: NDArray[np.float64], half_width: float, title: str, unit: str
) -> PageFigure:
    """Draw predictions over targets, with the conformal interval around the diagonal."""
    low, high = float(min(targets.min(), predicted.min())), float(max(targets.max(), predicted.max()))
    with drawn_chart(height=3.4) as chart:
        line = np.array([low, high])
        chart.axes.fill_between(
            line, line - half_width, line + half_width, color=COLOURS[5], alpha=0.25, linewidth=0, label="90 % interval"
        )
        chart.axes.plot(line, line, color=GREY, linestyle=":")
        chart.axes.scatter(
            targets, predicted, s=7, color=COLOURS[0], alpha=0.6, linewidths=0, rasterized=len(targets) > _MOST_POINTS
        )
        chart.axes.set(xlabel=f"labelled, {unit}", ylabel=f"predicted, {unit}")
        chart.axes.legend(loc="upper left")
    text = f"Predicted over labelled, {len(targets)} faces; the interval is plus or minus {half_width:.2f} {unit}"
    return PageFigure(title, chart.svg, text)


_MOST_POINTS = 1500
"""Points above which they are drawn as a picture, so that a page stays small."""

_MOST_LETTERS = 24


def _short(name: str) -> str:
    """Return a name that leaves room for the chart beside it."""
    return name if len(name) <= _MOST_LETTERS else name[: _MOST_LETTERS - 1] + "…"
