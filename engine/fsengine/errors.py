"""The errors of FaceStats.

    FaceStatsError
    ├── InvalidInputError        what the user gave cannot be used
    ├── MissingDependencyError   a library or program that this needs is not installed
    ├── FetchError               a model file could not be fetched, or is not the one that was expected
    ├── PackError                a model pack is incomplete, altered or does not fit its contract
    ├── ExportError              a model could not be converted, or the result differs from its source
    ├── ServerError              the embedded server could not be started or died
    ├── ResultsError             a folder of results cannot be continued or read
    ├── StoreError               an object store or a web server has no such object, or refuses it
    │   └── StoreUnavailableError    it cannot be had at the moment, or lets nobody in; try again
    └── InferenceError           a request to a server failed
        ├── AccessDeniedError        token, certificates or TLS do not suit the server
        ├── ServerUnavailableError   the server could not be reached or is not ready; try again
        │   └── ServerBusyError          it has more to do than it can; try again later
        ├── DeadlineError            the server did not answer this photo in time; try again
        └── PhotoRejectedError       the server answered, and refused this photo

Every message holds what was found, what was expected, and what to do next in plain words. Where a command does it, the
error holds a `Remedy` too: a command line shows its own command for that, and other programs need none.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Action(str, Enum):
    """What a user can do about an error.

    ACCEPT_LICENCE: Accept the licence of the sources that the subject names, and fetch them.
    ASSEMBLE: Assemble a pack for the target that the subject names.
    FETCH_SOURCE: Fetch the model source that the subject names.
    IMPORT_SOURCE: Take the model source that the subject names from a file.
    LIST_COMMERCIAL: List what may be used commercially.
    LIST_SOURCES: List the model sources.
    MEASURE: Measure a server, stage by stage.
    SERVE: Start the embedded server.
    """

    ACCEPT_LICENCE = "accept-licence"
    ASSEMBLE = "assemble"
    FETCH_SOURCE = "fetch-source"
    IMPORT_SOURCE = "import-source"
    LIST_COMMERCIAL = "list-commercial"
    LIST_SOURCES = "list-sources"
    MEASURE = "measure"
    SERVE = "serve"


@dataclass(frozen=True, slots=True)
class Remedy:
    """What to do about an error.

    Attributes:
        action: What.
        subject: Of what; empty where the action has none.
    """

    action: Action
    subject: str = ""


class FaceStatsError(Exception):
    """Any failure that FaceStats explains; the root of the tree.

    Attributes:
        remedy: What a command can do about it; None where there is none.
    """

    def __init__(self, message: str = "", *, remedy: Remedy | None = None) -> None:
        """Make an error.

        Args:
            message: What was found, what was expected, and what to do.
            remedy: See the class.
        """
        super().__init__(message)
        self.remedy = remedy


class InvalidInputError(FaceStatsError):
    """Raised when an argument, a file or a folder that the user gave cannot be used."""


class MissingDependencyError(FaceStatsError):
    """Raised when a library or a program that a command needs is not installed."""


class FetchError(FaceStatsError):
    """Raised when a model file cannot be fetched, or is not the one that was expected."""


class PackError(FaceStatsError):
    """Raised when a model pack is incomplete, altered, or does not fit its contract."""


class ExportError(FaceStatsError):
    """Raised when a model cannot be converted, or when the result differs from its source."""


class ServerError(FaceStatsError):
    """Raised when the embedded server cannot be started or has died."""


class ResultsError(FaceStatsError):
    """Raised when a folder of results cannot be continued or read."""


class StoreError(FaceStatsError):
    """Raised when an object store or a web server has no such object, or refuses it."""


class StoreUnavailableError(StoreError):
    """Raised when an object store or a web server cannot be had at the moment, or refuses access to all."""


class InferenceError(FaceStatsError):
    """Raised when a request to a server failed."""


class ServerUnavailableError(InferenceError):
    """Raised when the server cannot be reached or is not ready."""


class ServerBusyError(ServerUnavailableError):
    """A server has more to do than it can, and refused a request; it is worth asking again."""


class AccessDeniedError(InferenceError):
    """A server does not let this caller in, or is not the one that it says it is: token, certificates, TLS."""


class DeadlineError(InferenceError):
    """Raised when the server did not answer one photo in time."""


class PhotoRejectedError(InferenceError):
    """Raised when the server answered and refused this one photo."""
