"""What every step of a repository reads and makes of real photos, in ONNX Runtime on the CPU.

The reference of the parity check. Pillow decodes here: a plan must agree on whatever its step is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts import steps
from fsengine.contracts.preprocessing import DETECTOR_SIDE_PX, MAX_SIDE_PX
from fsengine.errors import InvalidInputError, PackError
from fsengine.plans.built_plans import ONNX_FILE
from fsengine.repository.model_config import CONFIG_FILE, ensemble_name, read_config

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRun:
    """One execution of a step.

    Attributes:
        feed: Its inputs by name.
        outputs: What ONNX Runtime made of them.
    """

    feed: Arrays
    outputs: Arrays


def run_samples(repository: Path, photos: Sequence[Path]) -> dict[str, list[StepRun]]:
    """Run every ONNX step of a repository on photos.

    Args:
        repository: An assembled one, with graphs.
        photos: Files, with faces on some.

    Returns:
        Step to its executions: one per photo for `align`, and one of all rows for a step that batches.

    Raises:
        InvalidInputError: A photo cannot be read, or none has a face.
        PackError: The repository has no ensemble, or a graph is damaged.
    """
    import onnxruntime as ort

    ensemble = read_config(repository / steps.ENSEMBLE / CONFIG_FILE).ensemble_scheduling
    tensors = [_decoded(photo) for photo in photos]
    runs: dict[str, list[StepRun]] = {}
    for step in ensemble.step:
        graph = repository / step.model_name / "1" / ONNX_FILE
        if not graph.is_file():
            continue
        try:
            session = ort.InferenceSession(str(graph), _options(repository, step.model_name), ["CPUExecutionProvider"])
        except Exception as exc:  # ONNX Runtime's exceptions share no base but Exception
            raise PackError(f"{graph} does not load in ONNX Runtime: {exc}") from exc
        names = list(step.output_map)
        made = []
        for values in tensors:
            feed = {name: values[key] for name, key in step.input_map.items()}
            outputs = dict(zip(names, session.run(names, feed), strict=True))
            values.update({key: outputs[name] for name, key in step.output_map.items()})
            made.append(StepRun(feed=feed, outputs=outputs))
        limit = read_config(repository / step.model_name / CONFIG_FILE).max_batch_size
        runs[step.model_name] = [_merged(made, limit)] if limit else made
    if not runs:
        raise PackError(f"{repository} holds no step with a {ONNX_FILE}; assemble it again")
    if not any((values.get(steps.FACE_SCORE.name, np.zeros(1)) > 0).any() for values in tensors):
        raise InvalidInputError("no photo has a face that the detector finds; give photos with faces (--photos)")
    return runs


def _options(repository: Path, step: str) -> Any:
    """Return session options at the graph level of the step's configuration."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    if read_config(repository / step / CONFIG_FILE).optimization.graph.level == 1:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    return options


def _merged(runs: Sequence[StepRun], limit: int) -> StepRun:
    """Return executions as one of at most `limit` rows."""

    def rows(parts: Sequence[Arrays]) -> Arrays:
        return {name: np.concatenate([part[name] for part in parts])[:limit] for name in parts[0]}

    return StepRun(feed=rows([run.feed for run in runs]), outputs=rows([run.outputs for run in runs]))


def _decoded(path: Path) -> Arrays:
    """Return what steps read of the decode step, by the ensemble's names, with a leading axis of 1."""
    from PIL import Image

    from fsengine.photo.convert import read_pixels

    try:
        photo = Image.fromarray(read_pixels(path.read_bytes()))
    except (OSError, InvalidInputError) as exc:
        raise InvalidInputError(f"{path} cannot be read as a photo: {exc}") from exc
    width, height = photo.size

    def fitted(side: int) -> NDArray[np.uint8]:
        ratio = side / max(width, height)
        size = max(1, round(width * ratio)), max(1, round(height * ratio))
        return np.asarray(photo.resize(size, Image.Resampling.BILINEAR))

    image = np.asarray(photo) if max(width, height) <= MAX_SIDE_PX else fitted(MAX_SIDE_PX)
    small = fitted(DETECTOR_SIDE_PX)
    detector_input = np.zeros((DETECTOR_SIDE_PX, DETECTOR_SIDE_PX, 3), np.uint8)
    detector_input[: small.shape[0], : small.shape[1]] = small
    scale = np.array([small.shape[1] / width, small.shape[0] / height], np.float32)
    made = {
        steps.IMAGE.name: image[None],
        steps.DETECTOR_INPUT.name: detector_input[None],
        steps.DETECTOR_SCALE.name: scale[None],
        steps.IMAGE_SIZE.name: np.array([[width, height]], np.int32),
    }
    return {ensemble_name(name): array for name, array in made.items()}
