"""Figures of the `demo` pack's heads on crops kept out of fitting, with intervals and what chance gives."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fstraining.evaluate.figures import constant_error, constant_share, mean_with_interval, share_with_interval


def head_figures(
    *,
    genders: NDArray[np.int64],
    predicted_genders: NDArray[np.int64],
    ethnicities: NDArray[np.int64],
    predicted_ethnicities: NDArray[np.int64],
    years: NDArray[np.float64],
    predicted_years: NDArray[np.float64],
) -> dict[str, Any]:
    """Return the figures of all heads; chance is the best constant answer on the same crops."""
    return {
        "gender_accuracy": {
            **share_with_interval(genders == predicted_genders),
            "chance": constant_share(genders, 3),
        },
        "ethnicity_accuracy": {
            **share_with_interval(ethnicities == predicted_ethnicities),
            "chance": constant_share(ethnicities, 3),
        },
        "age_mean_absolute_error_years": {
            **mean_with_interval(np.abs(years - predicted_years)),
            "chance": constant_error(years, 2),
        },
    }
