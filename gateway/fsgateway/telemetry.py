"""What the gateway counts, as Prometheus reads it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Telemetry:
    """The counters of one gateway; a second one in the same process has its own."""

    def __init__(self) -> None:
        """Begin at zero."""
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "facestats_gateway_requests_total",
            "Requests by route and HTTP status; 499 where the caller left before its answer",
            ("route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "facestats_gateway_request_seconds",
            "From the head of a request to the end of its answer",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._in_flight = Gauge(
            "facestats_gateway_requests_in_flight", "Requests that are being answered", registry=self._registry
        )
        self._photos = Counter(
            "facestats_gateway_photos_total",
            "Photos that were answered, by status",
            ("status",),
            registry=self._registry,
        )
        self._faces = Counter("facestats_gateway_faces_total", "Faces on them", registry=self._registry)
        self._refused = Counter(
            "facestats_gateway_problems_total",
            "Requests, and photos of batches, that ended with a problem, by its kind",
            ("kind",),
            registry=self._registry,
        )

    def begin_request(self) -> None:
        """Count a request that begins."""
        self._in_flight.inc()

    def end_request(self, route: str, status: int, seconds: float) -> None:
        """Count a request that ended.

        Args:
            route: Its route as it is declared, never what the caller wrote.
            status: Of its answer.
            seconds: How long it took.
        """
        self._in_flight.dec()
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def count_photo(self, status: str, num_faces: int) -> None:
        """Count a photo that was answered."""
        self._photos.labels(status).inc()
        self._faces.inc(num_faces)

    def count_problem(self, kind: str) -> None:
        """Count a problem of a request, or of a photo of a batch."""
        self._refused.labels(kind).inc()

    def text(self) -> bytes:
        """Return all of it in the text format of Prometheus."""
        return generate_latest(self._registry)
