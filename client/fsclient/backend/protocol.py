"""The seam between the client and whatever runs the models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fsengine.contracts.served import ServedModels

ALIGNED_FACE = "aligned_face"
"""Ensemble output that is sent on request alone: uint8 (F, S, S, 3), RGB."""


EMBEDDING = "face_embedding"
"""Ensemble tensor that a head reads where it needs no pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedHead:
    """A head as a model of its own.

    Attributes:
        step: Its step, and the name of its model on the server.
        inputs: Each of its model's inputs to the tensor of the ensemble that it reads.
        outputs: Each of its model's outputs to the output of the ensemble that it makes.
    """

    step: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]

    @property
    def reads_embedding(self) -> bool:
        """Tell whether the embedding is all that it reads."""
        return list(self.inputs.values()) == [EMBEDDING]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedEnsemble:
    """What a server says that it serves.

    Attributes:
        models: Identity, labels, marks and licences.
        outputs: Name of each output of the ensemble to its shape, -1 where it varies.
        runtime: Server and version, for example `triton 2.51.0`; no part of the model set.
        heads: Step to its head, of those that are served.
    """

    models: ServedModels
    outputs: Mapping[str, tuple[int, ...]]
    runtime: str
    heads: Mapping[str, ServedHead] = field(default_factory=dict)

    @property
    def embedding_width(self) -> int:
        """Return the width of the embedding."""
        return self.outputs[EMBEDDING][1]


class InferenceBackend(Protocol):
    """Runs the ensemble on one photo at a time, many at once."""

    @property
    def isolates(self) -> bool:
        """Tell whether the server can decode a photo alone, as `served` last found."""

    async def served(self) -> ServedEnsemble:
        """Return what is served.

        Raises:
            ServerUnavailableError: The server cannot be reached or is not ready.
        """

    async def infer(self, data: bytes, outputs: Sequence[str], *, alone: bool = False) -> dict[str, NDArray[Any]]:
        """Return the named outputs for one encoded photo.

        Args:
            data: The photo.
            outputs: Names of outputs.
            alone: Whether it shares its decoding with no other photo, which only a server that `isolates` can do.

        Raises:
            ServerUnavailableError: The server cannot be reached or is not ready.
            DeadlineError: It did not answer in time.
            PhotoRejectedError: It refused the photo.
        """

    async def infer_head(self, head: ServedHead, embeddings: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        """Return what a head that reads the embedding makes of faces, by the names of the ensemble.

        Args:
            head: One of `ServedEnsemble.heads`.
            embeddings: float32 (F, D), L2-normalized; 1 to `fsengine.contracts.steps.FACE_BATCH_LIMIT` rows.

        Raises:
            ServerUnavailableError: The server cannot be reached or is not ready.
            DeadlineError: It did not answer in time.
            InferenceError: It refused them.
        """

    async def close(self) -> None:
        """Release the connection."""
