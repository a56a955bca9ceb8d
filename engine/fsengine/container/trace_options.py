"""Options of tritonserver that send the way of a photo through the steps to an OpenTelemetry collector."""

from __future__ import annotations

from urllib.parse import urlsplit

from fsengine.errors import InvalidInputError

TRACE_RATE = 100
"""One photo of so many is traced: enough to see where time goes, and no load at thousands of photos a second."""

_EXAMPLE = "http://collector:4318/v1/traces"


def trace_arguments(url: str, rate: int = TRACE_RATE) -> list[str]:
    """Return the options that trace every `rate`-th photo, with a span for each step.

    Args:
        url: Where the collector takes OTLP over HTTP, path included: Triton adds none.
        rate: 1 for every photo.

    Raises:
        InvalidInputError: The URL is no such address, or the rate is below 1.
    """
    try:
        found = urlsplit(url)
        complete = found.scheme in ("http", "https") and found.hostname and found.port != 0 and found.path.strip("/")
    except ValueError:  # a port that is no number
        complete = False
    if not complete or not url.isprintable() or " " in url:
        raise InvalidInputError(f"traces are to go to {url!r}, expected where a collector takes them, as {_EXAMPLE}")
    if rate < 1:
        raise InvalidInputError(f"every {rate}th photo is to be traced, expected 1 (every photo) or more")
    settings = [
        "mode=opentelemetry",
        f"opentelemetry,url={url}",
        "opentelemetry,resource=service.name=facestats",
        f"rate={rate}",
        "level=TIMESTAMPS",
    ]
    return [f"--trace-config={setting}" for setting in settings]
