"""An inference backend in this process: what the client does with a server's answers needs no server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsclient.inference import ServedEnsemble
from fsengine.served import ServedModels

OUTPUTS = {
    "image_size": (1, 2),
    "faces_truncated": (1, 1),
    "face_box": (-1, 4),
    "face_landmarks": (-1, 5, 2),
    "face_score": (-1, 1),
    "face_embedding": (-1, 8),
    "gender_probability": (-1, 2),
    "age_years": (-1, 1),
}


def ensemble(model_set_id: str = "set-1") -> ServedEnsemble:
    models = ServedModels(
        pack="fake",
        model_set_id=model_set_id,
        preprocessing_id="pre-1",
        models={"detect": "detect-1-fp32"},
        labels={"gender": ["female", "male"]},
        marks={"demonstration": ["detect"]},
        licences={"detect": "Apache-2.0"},
    )
    return ServedEnsemble(models=models, outputs=OUTPUTS, runtime="fake 1")


def answer(num_faces: int, outputs: Sequence[str], value: float = 0.5) -> dict[str, NDArray[Any]]:
    """Return a server's answer; a photo without a face has its placeholder row."""
    rows = max(num_faces, 1)
    arrays: dict[str, NDArray[Any]] = {}
    for name in outputs:
        shape = tuple(rows if size == -1 else size for size in OUTPUTS[name])
        arrays[name] = np.full(shape, value if num_faces else 0.0, np.float32)
    arrays["image_size"] = np.array([[640, 480]], np.int32)
    arrays["faces_truncated"] = np.array([[False]])
    return arrays


class FakeBackend:
    """Answers with a function of the photo's bytes."""

    def __init__(self, respond: Callable[[bytes, Sequence[str]], dict[str, NDArray[Any]]]) -> None:
        self.respond = respond
        self.requests: list[bytes] = []
        self.ensemble = ensemble()

    async def served(self) -> ServedEnsemble:
        return self.ensemble

    async def infer(self, data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        self.requests.append(data)
        await asyncio.sleep(0)
        return self.respond(data, outputs)

    async def close(self) -> None:
        return None
