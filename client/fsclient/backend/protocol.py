"""The seam between the client and whatever runs the models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fsclient.backend.served_capacity import ServedCapacity
from fsengine.contracts.served import ServedEnsemble, ServedHead


class InferenceBackend(Protocol):
    """Runs the ensemble on one photo at a time, many at once."""

    @property
    def isolates(self) -> bool:
        """Return whether the server can decode a photo alone, as `served` last found."""

    @property
    def capacity(self) -> ServedCapacity:
        """Return how much the server can take, as `served` last found."""

    @property
    def connect_again(self) -> Callable[[], InferenceBackend] | None:
        """Return what makes another connection to the same server, in another process too; None where nothing can."""

    async def served(self) -> ServedEnsemble:
        """Return what is served.

        Raises:
            ServerUnavailableError: The server cannot be reached or is not ready.
        """

    async def infer(
        self, data: bytes, outputs: Sequence[str], *, orientation: int, alone: bool = False
    ) -> dict[str, NDArray[Any]]:
        """Return the named outputs for one encoded photo.

        Args:
            data: The photo.
            outputs: Names of outputs.
            orientation: How its stored pixels lie, 1 to 8; see `fsengine.photo.gate`.
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
