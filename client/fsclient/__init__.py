"""The library of FaceStats: photos scored by a Triton server, and results read back.

    import fsclient

    with fsclient.Client("localhost:8001") as client:  # or fsclient.Client.embedded(): a server of its own
        photo = client.score("photo.jpg")
        client.ingest(["photos/"], out="results")
    results = fsclient.open_results("results")

Names are imported when they are first used, so that importing the package costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fsclient.async_client import AsyncClient
    from fsclient.backend.protocol import InferenceBackend
    from fsclient.client import Client
    from fsclient.ingest.reporting.progress import IngestProgress
    from fsclient.ingest.reporting.summary import IngestSummary
    from fsclient.photos.given import GivenPhoto
    from fsclient.score.answers import Box, Face, Point, ScoredPhoto
    from fsdata.results.reading import Results, open_results
    from fsdata.results.schema import PartInfo
    from fsdata.results.status import Status
    from fsengine.contracts.served import UNCERTAIN, ServedModels
    from fsengine.errors import (
        AccessDeniedError,
        DeadlineError,
        ExportError,
        FaceStatsError,
        FetchError,
        InferenceError,
        InvalidInputError,
        MissingDependencyError,
        PackError,
        PhotoRejectedError,
        ResultsError,
        ServerBusyError,
        ServerError,
        ServerUnavailableError,
        StoreError,
        StoreUnavailableError,
    )

    __version__: str

__all__ = [
    "UNCERTAIN",
    "AccessDeniedError",
    "AsyncClient",
    "Box",
    "Client",
    "DeadlineError",
    "ExportError",
    "Face",
    "FaceStatsError",
    "FetchError",
    "GivenPhoto",
    "InferenceBackend",
    "InferenceError",
    "IngestProgress",
    "IngestSummary",
    "InvalidInputError",
    "MissingDependencyError",
    "PackError",
    "PartInfo",
    "PhotoRejectedError",
    "Point",
    "Results",
    "ResultsError",
    "ScoredPhoto",
    "ServedModels",
    "ServerBusyError",
    "ServerError",
    "ServerUnavailableError",
    "Status",
    "StoreError",
    "StoreUnavailableError",
    "__version__",
    "open_results",
]

_MODULES = {
    "UNCERTAIN": "fsengine.contracts.served",
    "AsyncClient": "fsclient.async_client",
    "Box": "fsclient.score.answers",
    "Client": "fsclient.client",
    "Face": "fsclient.score.answers",
    "GivenPhoto": "fsclient.photos.given",
    "InferenceBackend": "fsclient.backend.protocol",
    "IngestProgress": "fsclient.ingest.reporting.progress",
    "IngestSummary": "fsclient.ingest.reporting.summary",
    "PartInfo": "fsdata.results.schema",
    "Point": "fsclient.score.answers",
    "Results": "fsdata.results.reading",
    "ScoredPhoto": "fsclient.score.answers",
    "ServedModels": "fsengine.contracts.served",
    "Status": "fsdata.results.status",
    "open_results": "fsdata.results.reading",
}
"""Public name to the module that has it; the errors are all in `fsengine.errors`."""


def __getattr__(name: str) -> Any:
    """Import a public name on first use."""
    if name == "__version__":
        from importlib.metadata import version

        value: Any = version("facestats")
    elif name in __all__:
        value = getattr(import_module(_MODULES.get(name, "fsengine.errors")), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
