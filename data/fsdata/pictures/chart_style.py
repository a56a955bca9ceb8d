"""One style for all charts of the project, and charts as SVG whose bytes depend on nothing but the data.

Colours are those of Okabe and Ito (Color universal design, 2008), which people with any colour vision tell apart.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fsengine.errors import MissingDependencyError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442", "#000000")
GREY = "#8A8A8A"

_STYLE: dict[str, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.labelcolor": "#222222",
    "axes.labelsize": 9,
    "axes.titlesize": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "font.family": "DejaVu Sans",
    "svg.hashsalt": "facestats",
    "svg.fonttype": "path",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "text.parse_math": False,
}


class Chart:
    """A chart that is being drawn.

    Attributes:
        axes: To draw on.
        svg: It as an SVG element, once drawn.
    """

    def __init__(self, axes: Axes) -> None:
        """Hold the axes."""
        self.axes = axes
        self.svg = ""


@contextmanager
def drawn_chart(width: float = 4.6, height: float = 2.6) -> Iterator[Chart]:
    """Give axes in the project's style; afterwards the chart is an SVG element without a date or an identifier.

    Args:
        width: In inches.
        height: In inches.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    try:
        import matplotlib
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError as exc:
        raise MissingDependencyError("matplotlib is missing: pip install 'facestats[analysis]'") from exc
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **_STYLE}):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        chart = Chart(figure.add_subplot())
        yield chart
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    text = written.getvalue()
    # What stands before the element is about a file of its own, and names hosts.
    # Whoever shows it says in words what is on it.
    chart.svg = _with_own_names(text[text.index("<svg") :].strip()).replace("<svg ", '<svg aria-hidden="true" ', 1)


def _with_own_names(svg: str) -> str:
    """Return an SVG whose names of elements are in no other chart, so that several may stand on one page."""
    prefix = f"c{hashlib.sha256(svg.encode()).hexdigest()[:8]}-"
    return re.sub(r'(\bid="|href="#|url\(#)', lambda found: found[1] + prefix, svg)
