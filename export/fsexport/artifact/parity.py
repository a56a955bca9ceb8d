"""What a conversion is measured by: the exported model against its source, on the same inputs, with a limit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fsengine.errors import ExportError

if TYPE_CHECKING:
    from fsexport.artifact.exported import Exported


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """One comparison.

    Attributes:
        quantity: What was compared, with its unit.
        reference: What it was compared with.
        inputs: What both were given.
        largest_difference: Largest absolute difference of any number.
        limit: The largest difference that passes.
        least_cosine: Smallest cosine between rows of the two; None where rows are no vectors.
        cosine_limit: The smallest that passes.
        note: What a reader must know beside the numbers.
    """

    quantity: str
    reference: str
    inputs: str
    largest_difference: float
    limit: float | None
    least_cosine: float | None = None
    cosine_limit: float | None = None
    note: str = ""

    @property
    def passed(self) -> bool:
        """Return whether the difference and the cosine are within their limits; a NaN never is."""
        near = self.limit is None or self.largest_difference <= self.limit
        alike = self.cosine_limit is None or (self.least_cosine is not None and self.least_cosine >= self.cosine_limit)
        return near and alike and bool(np.isfinite(self.largest_difference))


def compare(
    found: NDArray[Any],
    expected: NDArray[Any],
    *,
    quantity: str,
    reference: str,
    inputs: str,
    limit: float | None,
    cosine_limit: float | None = None,
    note: str = "",
) -> Parity:
    """Compare what an export gives with what its source gives.

    Args:
        found: (N, ...) of the export.
        expected: The same of the source.
        quantity: See `Parity`.
        reference: See `Parity`.
        inputs: See `Parity`.
        limit: See `Parity`.
        cosine_limit: Asks for cosines between the rows of (N, D).
        note: See `Parity`.

    Raises:
        ExportError: The shapes differ, or there is nothing to compare.
    """
    if found.shape != expected.shape or not found.size:
        raise ExportError(
            f"{quantity}: the export gives {found.shape} where {reference} gives {expected.shape}; "
            "the conversion is wrong, nothing was written"
        )
    one, other = found.astype(np.float64), expected.astype(np.float64)
    cosine = None
    if cosine_limit is not None:
        norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        cosine = float(((one * other).sum(axis=1) / np.maximum(norms, 1e-30)).min())
    return Parity(
        quantity=quantity,
        reference=reference,
        inputs=inputs,
        largest_difference=float(np.abs(one - other).max()),
        limit=limit,
        least_cosine=cosine,
        cosine_limit=cosine_limit,
        note=note,
    )


def require_parity(rows: Iterable[Parity]) -> None:
    """Refuse a conversion that differs from its source by more than its limits.

    Raises:
        ExportError: One does.
    """
    for row in rows:
        if not row.passed:
            cosine = "" if row.least_cosine is None else f", least cosine {row.least_cosine:.6f}"
            floor = "" if row.cosine_limit is None else f", least cosine {row.cosine_limit}"
            raise ExportError(
                f"{row.quantity} differs from {row.reference} by up to {row.largest_difference:.3g}{cosine} on "
                f"{row.inputs}; expected at most {row.limit}{floor}. Nothing was written"
            )


def parity_table(artifacts: Sequence[Exported]) -> str:
    """Return the comparisons of some exports as a Markdown table, a row for each."""
    lines = [
        "| step | source | precision | compared | with | on | largest difference (limit) | cosine (limit) | note |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for artifact in artifacts:
        for row in artifact.parity:
            limit = "none" if row.limit is None else f"{row.limit:g}"
            cosine = "" if row.least_cosine is None else f"{row.least_cosine:.7f} ({row.cosine_limit:g})"
            cells = [
                artifact.step,
                artifact.source,
                artifact.precision,
                row.quantity,
                row.reference,
                row.inputs,
                f"{row.largest_difference:.2g} ({limit})",
                cosine,
                row.note,
            ]
            lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
