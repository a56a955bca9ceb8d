"""A server that answers, as a client holds it."""

from __future__ import annotations

from dataclasses import dataclass

from fsclient.backend.protocol import InferenceBackend
from fsengine.contracts.served import ServedEnsemble


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A server that answers.

    Attributes:
        backend: The way to it.
        served: What it serves.
        photos_in_flight: The most photos that it has room for; None where it is not known.
    """

    backend: InferenceBackend
    served: ServedEnsemble
    photos_in_flight: int | None
