"""Whether a plan gives what its graph gives in ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fsengine.contracts import steps
from fsengine.errors import ExportError
from fsengine.plans.sample_run import Arrays

TOLERANCES = {"fp32": 5e-3, "fp16": 5e-3, "int8-symmetric": 0.15, "fp8": 0.15}
"""Largest relative error of an output by the precision of its graph: the norm of the difference over the norm.

fp32 may be rounded to TF32, and 5e-3 is NVIDIA's own gate for fp16 (TensorRT OSS, strongly_type_autocast). Quantized
graphs round at every layer, and kernels round differently: the gate there finds broken plans, no more.
"""

SURE_SCORE = 0.65
"""Detections are cut at 0.5; one with this score does not come or go with the rounding."""

_FACE = _BOX, _, _SCORE = tuple(tensor.name for tensor in steps.detected(1))

_RANKED = steps.ATTRACTIVENESS_DECILE.name
"""A rank jumps by one where a score lies at the border; the score itself is compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputParity:
    """How far one output of a plan is from the graph's.

    Attributes:
        output: Its name.
        relative_error: Norm of the difference over the norm.
        largest_difference: In the output's own unit.
        tolerance: The largest relative error that is accepted.
    """

    output: str
    relative_error: float
    largest_difference: float
    tolerance: float

    @property
    def within(self) -> bool:
        """Return whether the plan may be installed; a NaN may not."""
        return self.relative_error <= self.tolerance


def compare(step: str, expected: Arrays, found: Arrays, precision: str) -> list[OutputParity]:
    """Compare the outputs of one execution.

    Args:
        step: The step.
        expected: Of the graph.
        found: Of the plan.
        precision: Of the graph, a key of `TOLERANCES`.

    Raises:
        ExportError: The plan lacks an output, or gives another shape or other faces.
    """
    if set(found) != set(expected):
        raise ExportError(f"the plan of {step} gives {sorted(found)}, its graph {sorted(expected)}")
    if step == steps.DETECT:
        expected, found = _matched_faces(expected, found)
    parities = []
    for name, reference in expected.items():
        if name == _RANKED:
            continue
        if found[name].shape != reference.shape:
            raise ExportError(f"the plan of {step} gives {name} {found[name].shape}, its graph {reference.shape}")
        a, b = found[name].astype(np.float64), reference.astype(np.float64)
        norm = float(np.linalg.norm(b)) or 1.0
        parities.append(
            OutputParity(
                output=name,
                relative_error=float(np.linalg.norm(a - b)) / norm,
                largest_difference=float(np.abs(a - b).max(initial=0.0)),
                tolerance=TOLERANCES[precision],
            )
        )
    return parities


def _matched_faces(expected: Arrays, found: Arrays) -> tuple[Arrays, Arrays]:
    """Return the sure faces of each, each with the face of the other that has its place; order among equals may differ.

    Raises:
        ExportError: One of them finds no face where the other does, or no sample has a sure face.
    """
    pairs = [*_nearest(expected, found), *((b, a) for a, b in _nearest(found, expected))]
    if not pairs:
        raise ExportError("no sample has a sure face; give other photos (--photos)")
    left, right = (
        {name: np.stack([face[name] for face in side]) for name in _FACE} for side in zip(*pairs, strict=True)
    )
    rest = expected.keys() - set(_FACE)
    return left | {name: expected[name] for name in rest}, right | {name: found[name] for name in rest}


def _nearest(first: Arrays, second: Arrays) -> list[tuple[Arrays, Arrays]]:
    """Return each sure face of the first with the nearest face of the second."""
    pairs = []
    for row, scores in enumerate(first[_SCORE]):
        others = np.flatnonzero(second[_SCORE][row] > 0)
        for index in np.flatnonzero(scores >= SURE_SCORE):
            if not len(others):
                raise ExportError(f"plan and graph of detect differ: one finds no face on sample {row}, the other does")
            distance = np.abs(second[_BOX][row][others] - first[_BOX][row][index]).max(axis=1)
            other = others[distance.argmin()]
            pairs.append(
                ({name: first[name][row][index] for name in _FACE}, {name: second[name][row][other] for name in _FACE})
            )
    return pairs
