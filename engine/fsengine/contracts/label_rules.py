"""What class labels must be, wherever they come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MOST_LABELS = 256
LONGEST_LABEL = 100


def check_labels(labels: Sequence[Any]) -> None:
    """Check class labels: 2 to 256 different, printable texts of at most 100 characters.

    Raises:
        ValueError: They are something else.
    """
    if not 2 <= len(labels) <= MOST_LABELS:
        raise ValueError(f"there are {len(labels)} labels, expected 2 to {MOST_LABELS}")
    for label in labels:
        if not isinstance(label, str) or not 0 < len(label) <= LONGEST_LABEL or not label.isprintable():
            raise ValueError(
                f"label {str(label)[:LONGEST_LABEL]!r} is no printable text of 1 to {LONGEST_LABEL} characters"
            )
    if len(set(labels)) != len(labels):
        raise ValueError(f"labels {list(labels)[:8]} are not all different")
