"""What other programs leave of the machine's cores."""

from __future__ import annotations

from machine import num_cores

_LEAST = 0.05
"""The kernel counts in hundredths of a second, so that a short run may seem to have had no core at all."""


def cores_left(others: float) -> float:
    """Return the cores that are left.

    Args:
        others: Cores that other programs take.
    """
    return max(num_cores() - max(others, 0.0), _LEAST)
