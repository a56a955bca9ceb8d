"""Cut faces out of photos with the very steps that serve: DALI decode, the detect graph, the align graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fsengine.backends.dali_pipeline import build_pipeline, serialize_pipeline
from fsengine.shipped import shipped_folder
from fsengine.steps import decode_spec, detected


def largest_faces(paths: Iterable[Path], detect: Path, align: Path) -> Iterator[NDArray[np.uint8] | None]:
    """Yield the encoder's crop of the largest face of each photo, or None where none is found.

    Args:
        paths: Photos.
        detect: The detect graph.
        align: The align graph.

    Returns:
        Crops, uint8 (S, S, 3), RGB.
    """
    import onnxruntime as ort

    pipeline_file = shipped_folder("model_repository") / "decode" / "1" / "dali.py"
    pipeline = build_pipeline(serialize_pipeline(pipeline_file, 1), 1, 1)
    detector, aligner = (
        ort.InferenceSession(str(path), providers=["CPUExecutionProvider"]) for path in (detect, align)
    )
    names = [tensor.name for tensor in decode_spec().outputs]
    for path in paths:
        pipeline.feed_input(decode_spec().inputs[0].name, [np.fromfile(path, np.uint8)])
        decoded = {name: np.array(output.as_cpu()[0])[None] for name, output in zip(names, pipeline.run(), strict=True)}
        boxes, landmarks, scores = detector.run(
            [tensor.name for tensor in detected(1)], {"detector_input": decoded.pop("detector_input")}
        )
        count = int((scores > 0).sum())
        if not count:
            yield None
            continue
        sides = boxes[0, :count, 2:] - boxes[0, :count, :2]
        largest = int(sides.prod(axis=1).argmax())
        only = np.zeros_like(scores)
        only[0, 0] = scores[0, largest]
        boxes[0, 0], landmarks[0, 0] = boxes[0, largest], landmarks[0, largest]
        feed = {**decoded, "detected_box": boxes, "detected_landmarks": landmarks, "detected_score": only}
        yield aligner.run(["portrait_crop"], feed)[0][0]
