"""The front of a server, before a gRPC server of the test that answers when it is told to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from fsengine.errors import ServerError
from fsengine.server.front import forwarding
from fsengine.server.front.grpc_front import GrpcFront
from fsengine.server.listening import LOOPBACK, TOKEN_HEADER, Listening, free_port

INFER = "/inference.GRPCInferenceService/ModelInfer"
LIVE = "/inference.GRPCInferenceService/ServerLive"
TOKEN = "a-token.of~the/tests+0123"
TIMEOUT_S = 20.0


class Behind(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers each request with its own bytes, once it may; health at once."""

    def __init__(self) -> None:
        self.address = ""
        self.may_answer = threading.Event()
        self.begun: list[bytes] = []
        self.left = 0
        self.shown: list[dict[str, str]] = []

    def service(self, details: Any) -> Any:
        self.shown.append(dict(details.invocation_metadata))
        return grpc.unary_unary_rpc_method_handler(self._health if details.method == LIVE else self._infer)

    def _health(self, request: bytes, context: Any) -> bytes:
        return b"live"

    def _infer(self, request: bytes, context: Any) -> bytes:
        self.begun.append(request)
        self.may_answer.wait(TIMEOUT_S)
        self.left += not context.is_active()
        return request


@pytest.fixture
def behind() -> Iterator[Behind]:
    handler = Behind()
    server = grpc.server(ThreadPoolExecutor(16), handlers=[handler])
    handler.address = f"{LOOPBACK}:{server.add_insecure_port(f'{LOOPBACK}:0')}"
    server.start()
    yield handler
    handler.may_answer.set()
    server.stop(0).wait()


@pytest.fixture
def open_front(behind: Behind) -> Iterator[Callable[..., tuple[GrpcFront, grpc.Channel]]]:
    opened: list[tuple[GrpcFront, grpc.Channel]] = []

    def open_one(**listening: Any) -> tuple[GrpcFront, grpc.Channel]:
        port = free_port(LOOPBACK)
        front = GrpcFront(Listening(grpc_port=port, **listening), behind.address)
        front.start()
        opened.append((front, grpc.insecure_channel(f"{LOOPBACK}:{port}", [("grpc.max_send_message_length", -1)])))
        return opened[-1]

    yield open_one
    for front, channel in opened:
        channel.close()
        front.stop()


def send(
    channel: grpc.Channel,
    request: bytes,
    method: str = INFER,
    token: str | None = None,
    *,
    timeout_s: float = TIMEOUT_S,
) -> Any:
    metadata = None if token is None else [(TOKEN_HEADER, token)]
    return channel.unary_unary(method).future(request, timeout=timeout_s, metadata=metadata)


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_requests_of_callers_that_left_are_answered_to_the_end(behind: Behind, open_front: Any) -> None:
    front, channel = open_front()
    calls = [send(channel, b"%d" % number) for number in range(4)]
    until(lambda: len(behind.begun) == 4)
    for call in calls[1:]:
        call.cancel()
    time.sleep(0.2)
    behind.may_answer.set()
    assert calls[0].result(TIMEOUT_S) == b"0"
    front.stop(drain=True)
    assert behind.left == 0


def test_beyond_its_bounds_it_says_busy_and_health_is_answered(
    behind: Behind, open_front: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forwarding, "MOST_IN_FLIGHT", 3)
    monkeypatch.setattr(forwarding, "MOST_BYTES_IN_FLIGHT", 1000)
    _, channel = open_front()
    held = [send(channel, b"a" * 300) for _ in range(2)]
    until(lambda: len(behind.begun) == 2)
    large = send(channel, b"b" * 500)
    assert large.code() is grpc.StatusCode.UNAVAILABLE
    assert large.details() == "Exceeds maximum queue size: large photos are in flight"
    held.append(send(channel, b"c"))
    until(lambda: len(behind.begun) == 3)
    one_more = send(channel, b"d")
    assert one_more.code() is grpc.StatusCode.UNAVAILABLE
    assert "Exceeds maximum queue size: 3 requests" in one_more.details()
    assert send(channel, b"", LIVE).result(TIMEOUT_S) == b"live"
    behind.may_answer.set()
    assert [call.result(TIMEOUT_S) for call in held] == [b"a" * 300] * 2 + [b"c"]
    assert send(channel, b"e" * 1000).result(TIMEOUT_S) == b"e" * 1000


def test_a_message_that_is_too_large_or_does_not_come_is_refused(
    behind: Behind, open_front: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fsengine.server.front.grpc_front.MOST_MESSAGE_BYTES", 1 << 16)
    monkeypatch.setattr(forwarding, "READ_TIMEOUT_S", 0.2)
    _, channel = open_front()
    assert send(channel, bytes((1 << 16) + 1)).code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    never = threading.Event()

    def nothing() -> Iterator[bytes]:
        never.wait(TIMEOUT_S)
        yield from ()

    try:
        call = channel.stream_unary(INFER).future(nothing(), timeout=TIMEOUT_S)
        assert call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert "did not arrive" in call.details()
    finally:
        never.set()
    assert channel.stream_unary(INFER).future(iter(()), timeout=TIMEOUT_S).code() is grpc.StatusCode.INVALID_ARGUMENT
    assert behind.begun == []


@pytest.mark.parametrize("shown", [None, TOKEN[:-1], f"{TOKEN}0", TOKEN.upper(), ""])
def test_without_the_token_nothing_of_a_request_is_handed_on(
    behind: Behind, open_front: Any, shown: str | None
) -> None:
    _, channel = open_front(token=TOKEN)
    refused = send(channel, bytes(8 << 20), token=shown)
    assert refused.code() is grpc.StatusCode.UNAVAILABLE
    assert refused.details() == f"This protocol is restricted, expecting header '{TOKEN_HEADER}'"
    assert send(channel, b"", LIVE).result(TIMEOUT_S) == b"live"
    assert len(behind.shown) == 1


def test_triton_sees_the_token_and_nothing_else_of_what_callers_show(behind: Behind, open_front: Any) -> None:
    _, channel = open_front(token=TOKEN)
    behind.may_answer.set()
    sent = [(TOKEN_HEADER, TOKEN), ("facestats-key", "guessed"), ("x-any", "thing")]
    assert channel.unary_unary(INFER)(b"a", timeout=TIMEOUT_S, metadata=sent) == b"a"
    assert behind.shown[0][TOKEN_HEADER] == TOKEN
    assert not {"facestats-key", "x-any"} & behind.shown[0].keys()
    twice = [(TOKEN_HEADER, TOKEN), (TOKEN_HEADER, "other")]
    with pytest.raises(grpc.RpcError, match="restricted"):
        channel.unary_unary(INFER)(b"a", timeout=TIMEOUT_S, metadata=twice)


def test_told_to_stop_it_takes_nothing_new_and_answers_what_it_has(behind: Behind, open_front: Any) -> None:
    front, channel = open_front()
    held = send(channel, b"held")
    until(lambda: behind.begun)
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(front.stop, drain=True)
        # One that comes before the front has heard is held like the first.
        until(lambda: send(channel, b"late", timeout_s=0.5).code() is grpc.StatusCode.UNAVAILABLE)
        assert not stopping.done()
        behind.may_answer.set()
        assert held.result(TIMEOUT_S) == b"held"
        stopping.result(TIMEOUT_S)


def test_a_port_that_cannot_be_had_is_an_error(behind: Behind, open_front: Any) -> None:
    front, _ = open_front()
    with pytest.raises(ServerError, match="cannot be listened on"):
        GrpcFront(Listening(grpc_port=front._listening.grpc_port), "127.0.0.1:1").start()
