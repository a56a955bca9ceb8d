"""The seam between the client and whatever runs the models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from fsengine.served import ServedModels

ALIGNED_FACE = "aligned_face"
"""Ensemble output that is sent on request alone: uint8 (F, S, S, 3), RGB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedEnsemble:
    """What a server says that it serves.

    Attributes:
        models: Identity, labels, marks and licences.
        outputs: Name of each output of the ensemble to its shape, -1 where it varies.
        runtime: Server and version, for example `triton 2.51.0`; no part of the model set.
    """

    models: ServedModels
    outputs: Mapping[str, tuple[int, ...]]
    runtime: str

    @property
    def embedding_width(self) -> int:
        """Return the width of the embedding."""
        return self.outputs["face_embedding"][1]


class InferenceBackend(Protocol):
    """Runs the ensemble on one photo at a time, many at once."""

    async def served(self) -> ServedEnsemble:
        """Return what is served.

        Raises:
            ServerUnavailableError: The server cannot be reached or is not ready.
        """

    async def infer(self, data: bytes, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Return the named outputs for one encoded photo.

        Raises:
            ServerUnavailableError: The server cannot be reached or is not ready.
            DeadlineError: It did not answer in time.
            PhotoRejectedError: It refused the photo.
        """

    async def close(self) -> None:
        """Release the connection."""
