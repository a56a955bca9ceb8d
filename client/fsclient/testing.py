"""A backend for tests: code that uses the library runs without a server, a model or a photo of anyone.

    from fsclient import Client
    from fsclient.testing import FakeBackend

    with Client(backend=FakeBackend(2)) as client:
        assert len(client.score(some_jpeg_bytes).faces) == 2

Photos are read and judged as always; what a server would answer comes from the fake.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsclient.backend.served_capacity import ServedCapacity
from fsengine.contracts.served import ServedEnsemble, ServedHead, ServedModels
from fsengine.errors import InferenceError

OUTPUTS: Mapping[str, tuple[int, ...]] = {
    "image_size": (1, 2),
    "faces_truncated": (1, 1),
    "face_count": (1,),
    "face_box": (-1, 4),
    "face_landmarks": (-1, 5, 2),
    "face_score": (-1, 1),
    "face_embedding": (-1, 8),
    "gender_probability": (-1, 2),
    "age_years": (-1, 1),
}
"""Outputs of the fake ensemble, each with its shape; -1 is the number of faces."""

Respond = Callable[[bytes, Sequence[str]], dict[str, NDArray[Any]]]
"""Given a photo's bytes and the names of outputs, returns them, or raises one of the errors of `InferenceBackend`."""


def ensemble(model_set_id: str = "set-1") -> ServedEnsemble:
    """Return what the fake says that it serves: a detector, an embedding of 8 numbers, gender and age."""
    models = ServedModels(
        pack="fake",
        model_set_id=model_set_id,
        preprocessing_id="pre-1",
        models={"detect": "detect-1-fp32"},
        labels={"gender": ["female", "male"]},
        marks={"untrained weights": ["detect"]},
        licences={"detect": "Apache-2.0"},
    )
    return ServedEnsemble(models=models, outputs=OUTPUTS, runtime="fake 1")


def answer(num_faces: int, outputs: Sequence[str], value: float = 0.5) -> dict[str, NDArray[Any]]:
    """Return the answer for a photo of 640 x 480 pixels; one without a face has its placeholder row.

    Args:
        num_faces: Faces on it.
        outputs: Names of outputs.
        value: Of every number that describes a face.
    """
    rows = max(num_faces, 1)
    arrays: dict[str, NDArray[Any]] = {}
    for name in outputs:
        shape = tuple(rows if size == -1 else size for size in OUTPUTS[name])
        arrays[name] = np.full(shape, value if num_faces else 0.0, np.float32)
    arrays["image_size"] = np.array([[640, 480]], np.int32)
    arrays["faces_truncated"] = np.array([[False]])
    arrays["face_count"] = np.array([num_faces], np.int32)
    return arrays


class FakeBackend:
    """Answers in this process, and remembers what it was asked.

    Attributes:
        ensemble: What it says that it serves.
        requests: Bytes of the photos that it was asked for, in order.
        requests_alone: The same, of those to be decoded alone.
        orientations: How the pixels of each request lie, 1 to 8, those to be decoded alone included.
    """

    def __init__(self, respond: int | Respond = 1, *, respond_alone: Respond | None = None) -> None:
        """Make a backend.

        Args:
            respond: Faces on every photo, or a function that answers.
            respond_alone: Answers for photos that are decoded alone; None for a server that cannot do that.
        """
        if callable(respond):
            self.respond: Respond = respond
        else:
            num_faces = respond
            self.respond = lambda _, outputs: answer(num_faces, outputs)
        self.respond_alone = respond_alone
        self.ensemble = ensemble()
        self.requests: list[bytes] = []
        self.requests_alone: list[bytes] = []
        self.orientations: list[int] = []

    @property
    def isolates(self) -> bool:
        """Return whether it can decode a photo alone."""
        return self.respond_alone is not None

    @property
    def capacity(self) -> ServedCapacity:
        """Return how much it is said to take."""
        return ServedCapacity()

    @property
    def connect_again(self) -> None:
        """Return None: what it was asked is remembered in this process."""
        return

    async def served(self) -> ServedEnsemble:
        """Return what is served."""
        return self.ensemble

    async def infer(
        self, data: bytes, outputs: Sequence[str], *, orientation: int, alone: bool = False
    ) -> dict[str, NDArray[Any]]:
        """Return the named outputs for one encoded photo."""
        await asyncio.sleep(0)
        self.orientations.append(orientation)
        if alone:
            assert self.respond_alone is not None
            self.requests_alone.append(data)
            return self.respond_alone(data, outputs)
        self.requests.append(data)
        return self.respond(data, outputs)

    async def infer_head(self, head: ServedHead, embeddings: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Refuse: the fake serves no head as a model of its own; a subclass may."""
        raise InferenceError(f"the fake backend serves no model {head.step!r}")

    async def close(self) -> None:
        """Do nothing: there is no connection."""
