"""Ratings of several people, gathered into one for each photo."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class GatheredRating:
    """What several people said of one photo.

    Attributes:
        mean: Mean of the raters; None where nobody said anything.
        std: Their standard deviation (ddof 1); None for one rater.
        count: How many they were; None for nobody.
    """

    mean: float | None
    std: float | None
    count: int | None


def gather(ratings: Mapping[str, Sequence[float]]) -> GatheredRating:
    """Return the mean of raters, each counted once with the mean of what he or she said.

    Args:
        ratings: Rater to ratings of one photo.
    """
    means = [statistics.fmean(said) for said in ratings.values() if said]
    return GatheredRating(
        mean=statistics.fmean(means) if means else None,
        std=statistics.stdev(means) if len(means) > 1 else None,
        count=len(means) or None,
    )
