"""Compare a server's answers with the golden ones, step by step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts import steps
from fsengine.contracts.served import ServedModels
from fsengine.repository.golden.bounds import BOUNDS, DETECTOR_PX, ENSEMBLE_BOUNDS, difference
from fsengine.repository.golden.golden_answers import Answers
from fsengine.repository.golden.sample_inputs import Arrays

SURE_SCORE = 0.65
"""Detections are cut at 0.5; one with this score does not come or go with the rounding."""

_DETECTIONS = ("detected_box", "detected_landmarks", "detected_score")
_NOT_OF_FACES = ("image_size", "faces_truncated", "face_count")


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputCheck:
    """How far one output of a model is from the golden answers.

    Attributes:
        output: Its name.
        difference: The largest over all samples, in `unit`.
        limit: The largest that is accepted.
        unit: For people.
    """

    output: str
    difference: float
    limit: float
    unit: str

    @property
    def within(self) -> bool:
        """Return whether it is accepted; a NaN is not."""
        return self.difference <= self.limit


@dataclass(slots=True, kw_only=True)
class ModelCheck:
    """How a step or an ensemble answered.

    Attributes:
        model: Its name.
        outputs: Output to its check.
        faults: What is wrong beyond numbers: no answer, another shape, other faces.
    """

    model: str
    outputs: dict[str, OutputCheck] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Return whether it answered, and within every bound."""
        return bool(self.outputs) and not self.faults and all(check.within for check in self.outputs.values())

    @property
    def why(self) -> str:
        """Return what is wrong, for people."""
        worse = [
            f"{check.output} by {check.difference:.3g} {check.unit}".rstrip() + f" (at most {check.limit:g})"
            for check in self.outputs.values()
            if not check.within
        ]
        return "; ".join([*self.faults[:2], *worse]) or "nothing could be compared"


def compare_answers(golden: Answers, found: Answers, silent: Mapping[str, str]) -> list[ModelCheck]:
    """Compare the answers of a server with the golden ones.

    Args:
        golden: Of the CPU.
        found: Of the server.
        silent: Model to why it gave no answer.

    Returns:
        A check for each model that is served, in the order of the golden answers.
    """
    checks = []
    off = set(golden.served.models) - set(found.served.models)
    for model, photos in golden.of.items():
        if model in off:
            continue
        check = ModelCheck(model=model)
        if model in silent:
            check.faults.append(silent[model])
        for photo, expected in photos.items():
            answered = found.of.get(model, {}).get(photo)
            if answered is None:
                if model not in silent:
                    check.faults.append(f"{photo}: no answer")
                continue
            try:
                compare_photo(check, photo, expected, answered, golden, _precision(found.served, model))
            except (KeyError, IndexError, TypeError, ValueError) as exc:
                check.faults.append(f"{photo}: an answer of another kind ({type(exc).__name__}: {exc})")
        checks.append(check)
    return checks


def _precision(served: ServedModels, model: str) -> str:
    """Return the precision by which a model is judged: its own, an ensemble's that of the encoder."""
    return served.precision(steps.EMBED if model in steps.ENSEMBLES else model)


def compare_photo(
    check: ModelCheck, photo: str, expected: Arrays, found: Arrays, golden: Answers, precision: str
) -> None:
    """Add to a check how a model answered about one photo.

    Args:
        check: Of the model.
        photo: Its name.
        expected: The golden answer.
        found: That of the model, as `fsengine.repository.golden.questions.kept` gives it.
        golden: All golden answers.
        precision: By which it is judged.
    """
    if check.model in steps.ENSEMBLES:
        # The rest is of heads that are off.
        expected = {name: array for name, array in expected.items() if name in found}
    elif missing := sorted(set(expected) - set(found)):
        check.faults.append(f"{photo}: it gives no {', '.join(missing)}")
        return
    if check.model == steps.ALIGN and not expected[steps.FACE_COUNT.name].any():
        # One row of anything stands for no face.
        expected = {steps.FACE_COUNT.name: expected[steps.FACE_COUNT.name]}
    pairs = [(expected, found)]
    if check.model == steps.DETECT:
        pairs = _by_place(check, photo, _rows_of(expected, _DETECTIONS, 0), _rows_of(found, _DETECTIONS, 0))
    elif check.model in steps.ENSEMBLES:
        faces = [name for name in expected if name not in _NOT_OF_FACES]
        _measure(check, {name: expected[name] for name in expected if name in _NOT_OF_FACES}, found, 1.0, precision)
        pairs = _by_place(check, photo, _rows_of(expected, faces), _rows_of(found, faces))
    scale = _detector_scale(golden, photo)
    for one, other in pairs:
        try:
            _measure(check, one, other, 1.0 if check.model == steps.DETECT else scale, precision)
        except ValueError as exc:
            check.faults.append(f"{photo}: {exc}")


def _measure(check: ModelCheck, expected: Arrays, found: Arrays, scale: float, precision: str) -> None:
    """Add the differences of outputs to a check.

    Raises:
        ValueError: One has another shape.
    """
    for name, reference in expected.items():
        bound = (ENSEMBLE_BOUNDS if check.model in steps.ENSEMBLES else BOUNDS).get(name)
        if bound is None:
            continue
        if found[name].shape != reference.shape:
            raise ValueError(f"{name} {list(found[name].shape)}, expected {list(reference.shape)}")
        apart = difference(name, reference.astype(np.float64), found[name].astype(np.float64))
        apart *= scale if bound.unit == DETECTOR_PX else 1.0
        earlier = check.outputs.get(name)
        if earlier is None or apart > earlier.difference or math.isnan(apart):
            check.outputs[name] = OutputCheck(
                output=name, difference=apart, limit=bound.limit(precision), unit=bound.unit
            )


def _detector_scale(golden: Answers, photo: str) -> float:
    """Return the detector's pixels per pixel of a photo, the larger of both axes."""
    decoded = golden.of.get(steps.DECODE, {}).get(photo, {})
    return float(decoded[steps.DETECTOR_SCALE.name].max()) if decoded else 1.0


def _rows_of(outputs: Arrays, names: Sequence[str], batch: int | None = None) -> Arrays:
    return {name: outputs[name] if batch is None else outputs[name][batch] for name in names}


def _by_place(check: ModelCheck, photo: str, expected: Arrays, found: Arrays) -> list[tuple[Arrays, Arrays]]:
    """Return the sure faces of each, each with the face of the other that has its place: equals may swap places."""
    box, score = (next(name for name in expected if name.endswith(end)) for end in ("_box", "_score"))
    pairs = []
    for one, other, swapped in ((expected, found, False), (found, expected, True)):
        sure = np.flatnonzero(one[score].reshape(-1) >= SURE_SCORE)
        there = np.flatnonzero(other[score].reshape(-1) > 0)
        if len(sure) and not len(there):
            check.faults.append(f"{photo}: {'faces that are not there' if swapped else 'no face'}")
            continue
        if not len(sure):
            continue
        nearest = [there[_distance(other[box][there], one[box][row]).argmin()] for row in sure]
        sides = {name: array[sure] for name, array in one.items()}, {name: a[nearest] for name, a in other.items()}
        pairs.append((sides[1], sides[0]) if swapped else sides)
    return pairs


def _distance(boxes: NDArray[Any], box: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.abs(boxes - box).max(axis=1))
