"""The errors of FaceStats.

    FaceStatsError
    ├── InvalidInputError        what the user gave cannot be used
    ├── MissingDependencyError   a library or program that this needs is not installed
    ├── FetchError               a model file could not be fetched, or is not the one that was expected
    ├── PackError                a model pack is incomplete, altered or does not fit its contract
    ├── ExportError              a model could not be converted, or the result differs from its source
    ├── ServerError              the embedded server could not be started or died
    ├── ResultsError             a folder of results cannot be continued or read
    └── InferenceError           a request to a server failed
        ├── ServerUnavailableError   the server could not be reached or is not ready; try again
        ├── DeadlineError            the server did not answer this photo in time; try again
        └── PhotoRejectedError       the server answered, and refused this photo

Every message holds what was found, what was expected, and what to do next.
"""

from __future__ import annotations


class FaceStatsError(Exception):
    """Any failure that FaceStats explains; the root of the tree."""


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


class InferenceError(FaceStatsError):
    """Raised when a request to a server failed."""


class ServerUnavailableError(InferenceError):
    """Raised when the server cannot be reached or is not ready."""


class DeadlineError(InferenceError):
    """Raised when the server did not answer one photo in time."""


class PhotoRejectedError(InferenceError):
    """Raised when the server answered and refused this one photo."""
