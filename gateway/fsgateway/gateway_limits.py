"""What one caller, and all of them together, may ask of the gateway."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayLimits:
    """The limits, each with an answer of its own where it is reached.

    Attributes:
        photo_bytes: Of one encoded photo; above it 413.
        request_bytes: Of all that one request to `/v1/score` sends; above it 413. A batch has no such limit.
        photos_per_request: In one request to `/v1/score`; above it 413. A batch has no such limit.
        photos_at_server: Photos that are asked for at once.
        waiting: Requests that wait for their turn; above it 429.
        wait_s: The longest wait for a turn; after it 429.
        requests: Requests with photos that are read or answered at once; above it 429.
        batches: Of these, batches; above it 429.
        batch_window: Photos of one request that are held at once, waiting answers included.
        held_bytes: Photos of all requests in memory; above it 429.
        connections: Open connections; above it those without a request are closed, the oldest first.
        idle_s: The longest silence of a caller that sends a body; after it 408.
        photo_sending_s: The longest that a caller may take to send one photo; after it 408.
        header_s: The longest that a caller may take to send the head of a request; after it the connection is closed.
        reading_s: The longest that a caller may leave an answer unread; after it the connection is closed.
        linger_s: How long a body that is refused is read on and dropped, so that the caller sees the answer.
        keep_alive_s: How long a connection is kept without a request.
        deadline_s: The longest that photos of one request may take once they are there; after it 504.
        drain_s: How long requests in flight may take once the gateway is told to stop.
    """

    photo_bytes: int = 64 * MIB
    request_bytes: int = 256 * MIB
    photos_per_request: int = 64
    photos_at_server: int = 8
    waiting: int = 32
    wait_s: float = 2.0
    requests: int = 128
    batches: int = 4
    batch_window: int = 8
    held_bytes: int = 512 * MIB
    connections: int = 1000
    idle_s: float = 10.0
    photo_sending_s: float = 60.0
    header_s: float = 10.0
    reading_s: float = 30.0
    linger_s: float = 2.0
    keep_alive_s: int = 20
    deadline_s: float = 60.0
    drain_s: float = 30.0
