"""What click's own types let through."""

from __future__ import annotations

import math

import click


def finite(_ctx: click.Context, _param: click.Parameter, value: float | None) -> float | None:
    """Refuse numbers that are not finite; `click.FloatRange` takes NaN for one in its range.

    Raises:
        BadParameter: The number is NaN or infinite.
    """
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is no finite number; expected for example 0.5 or 5")
    return value
