"""Whether a head is better than an answer that is the same for every face."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from fstraining.evaluate.metrics import Figure

NO_BETTER = "no better than a constant"
"""Mark of a head that learnt nothing that its figures show."""


def constant_marks(
    answers: Mapping[str, Sequence[str]], figures: Mapping[str, Figure], chance: Mapping[str, float]
) -> Iterator[str]:
    """Yield the mark of each answer that no figure shows to be better than the best constant one.

    Args:
        answers: What a head answers (an empty text where it answers one thing alone) to the names of the figures that
            may show it; one that does is enough.
        figures: Of all faces kept out of training.
        chance: Figures of the best constant answer on the same faces.
    """
    for answer, names in answers.items():
        if not any(name in figures and beats_constant(name, figures[name], chance[name]) for name in names):
            yield f"{answer} {NO_BETTER}".strip()


def beats_constant(name: str, figure: Figure, constant: float) -> bool:
    """Return whether the whole 95 % interval of a figure is better than a constant: below for errors, else above."""
    low, high = figure["interval"]
    return bool(high < constant) if name.endswith("error") else bool(low > constant)
