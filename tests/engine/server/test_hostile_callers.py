"""Callers that send anything at all: afterwards the server gives the numbers of before, no process died, and the memory
is back. `FACESTATS_LONG_TESTS=1` runs the longer forms.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import socket
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from encoded_photos import encoded
from fsclient import AsyncClient, Client
from fsclient.models.name_to_repository import served_repository
from fsengine.server.embedded import EmbeddedServer
from fsengine.server.listening import Listening
from long_tests import LONG

pytestmark = pytest.mark.triton

CONNECTIONS = 500
MIXED_REQUESTS = 1000 if LONG else 200
MIXED_CLIENTS = 64
CALLERS_THAT_LEAVE = 1000 if LONG else 60
OVERLOAD_S = 10.0 if LONG else 3.0
TIMEOUT_S = 30.0
MEMORY_SLACK_BYTES = 700 << 20
"""Steps keep the room of the largest photo that they saw: 200 million pixels."""
INFER = "/inference.GRPCInferenceService/ModelInfer"


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer(served_repository("lite", print), listening=Listening()) as started:
        yield started


@pytest.fixture(scope="module")
def face(photos: Path) -> bytes:
    with Image.open(photos / "obama.jpg") as photo:
        return encoded("JPEG", photo.resize((160, 200)))


def processes(server: EmbeddedServer) -> dict[int, int]:
    """Return the server's processes, each with its resident bytes."""
    found = {}
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (
                str(server.repository.name) in (path / "cmdline").read_text()
                or server._shm_prefix in (path / "cmdline").read_text()
            ):
                found[int(path.name)] = 4096 * int((path / "statm").read_text().split()[1])
        except (OSError, ValueError):
            continue
    return found


def ask(server: EmbeddedServer, photo: bytes) -> dict[str, NDArray[Any]]:
    from tritonclient.grpc import InferenceServerClient, InferInput

    client = InferenceServerClient(server.url)
    image = InferInput("encoded_image", [1, len(photo)], "UINT8")
    image.set_data_from_numpy(np.frombuffer(photo, np.uint8)[None])
    orientation = InferInput("orientation", [1, 1], "UINT8")
    orientation.set_data_from_numpy(np.array([[1]], np.uint8))
    try:
        result = client.infer("facestats", [image, orientation], client_timeout=TIMEOUT_S)
        return {name: result.as_numpy(name) for name in ("face_count", "face_box", "face_embedding", "age_years")}
    finally:
        client.close()


@pytest.fixture
def _unharmed(server: EmbeddedServer, face: bytes) -> Iterator[None]:
    """Compare the server before a test with the server after it."""
    for _ in range(3):
        before = ask_patiently(server, face)
    running = processes(server)
    assert len(running) > 5
    yield
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        after = ask_patiently(server, face)
        now = processes(server)
        if sum(now.values()) <= sum(running.values()) + MEMORY_SLACK_BYTES:
            break
        time.sleep(0.5)
    assert now.keys() == running.keys()
    assert sum(now.values()) <= sum(running.values()) + MEMORY_SLACK_BYTES
    for name, array in before.items():
        np.testing.assert_allclose(after[name], array, rtol=1e-4, atol=1e-5, err_msg=name)


def raw_call(server: EmbeddedServer, message: bytes, method: str = INFER) -> str:
    """Send bytes as a request and return the code of the answer."""
    import grpc

    with grpc.insecure_channel(server.url, [("grpc.max_send_message_length", -1)]) as channel:
        send = channel.unary_unary(method, request_serializer=None, response_deserializer=None)
        try:
            send(message, timeout=TIMEOUT_S)
        except grpc.RpcError as exc:
            return str(exc.code().name)
    return "OK"


@pytest.mark.usefixtures("_unharmed")
def test_bytes_that_are_no_message_are_refused(server: EmbeddedServer) -> None:
    chosen = np.random.default_rng(1)
    messages = [b"", b"\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x08" * 1000, chosen.bytes(100_000)]
    messages += [b"\x0a\x09facestats" + chosen.bytes(n) for n in (1, 10, 1000)]
    for message in messages:
        assert raw_call(server, message) != "OK"
    assert raw_call(server, b"", "/inference.GRPCInferenceService/NoSuchMethod") == "UNIMPLEMENTED"
    for method in ("ModelConfig", "ModelMetadata", "RepositoryModelUnload", "SystemSharedMemoryRegister"):
        assert raw_call(server, chosen.bytes(64), f"/inference.GRPCInferenceService/{method}") != "OK"


def requests(face: bytes) -> dict[str, Any]:
    """Return requests that are wrong in one way each, as keyword arguments of a message's fields."""
    from tritonclient.grpc import service_pb2

    def request(**changes: Any) -> Any:
        message = service_pb2.ModelInferRequest(model_name=changes.get("model", "facestats"))
        for name, dtype, shape, content in changes.get(
            "inputs", [("encoded_image", "UINT8", [1, len(face)], face), ("orientation", "UINT8", [1, 1], b"\x01")]
        ):
            message.inputs.add(name=name, datatype=dtype, shape=shape)
            message.raw_input_contents.append(content)
        for name in changes.get("outputs", ()):
            message.outputs.add(name=name)
        return message

    turned = ("orientation", "UINT8", [1, 1], b"\x01")

    def image(shape: list[int], content: bytes = face, dtype: str = "UINT8") -> list[Any]:
        return [("encoded_image", dtype, shape, content), turned]

    size = len(face)
    return {
        "no inputs": request(inputs=[]),
        "one input": request(inputs=[("encoded_image", "UINT8", [1, size], face)]),
        "an unknown input": request(inputs=[*image([1, size]), ("path", "UINT8", [1, 1], b"a")]),
        "an input twice": request(inputs=[*image([1, size]), turned]),
        "an unknown output": request(outputs=["face_name"]),
        "an unknown model": request(model="facestats2"),
        "a path as model": request(model="../../etc/passwd"),
        "a long name": request(model="f" * 100_000),
        "two photos": request(inputs=image([2, size], face * 2)),
        "a flat shape": request(inputs=image([size])),
        "a negative size": request(inputs=image([1, -1])),
        "a huge size": request(inputs=image([1, 2**62])),
        "a size of 0": request(inputs=image([1, 0], b"")),
        "fewer bytes than the shape": request(inputs=image([1, size], face[:10])),
        "more bytes than the shape": request(inputs=image([1, 10])),
        "another type": request(inputs=image([1, size // 4], face[: size // 4 * 4], "FP32")),
        "strings": request(inputs=image([1, 1], struct.pack("<I", size) + face, "BYTES")),
        "a broken string": request(inputs=image([1, 1], b"\xff\xff\xff\x7f", "BYTES")),
        "two orientations": request(inputs=[image([1, size])[0], ("orientation", "UINT8", [1, 2], b"\x01\x01")]),
        "a step with nothing": request(model="align", inputs=[]),
        "a head with numbers that are none": request(
            model="ethnicity", inputs=[("input__0", "FP32", [1, 192], b"\xff" * 768)], outputs=["output__9"]
        ),
    }


@pytest.mark.usefixtures("_unharmed")
def test_requests_that_are_wrong_in_one_way_get_an_error_each(server: EmbeddedServer, face: bytes) -> None:
    refusals = {
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "INTERNAL",
        "RESOURCE_EXHAUSTED",
    }  # the last: of a name as long as that
    for name, message in requests(face).items():
        assert raw_call(server, message.SerializeToString()) in refusals, name


def bombs() -> dict[str, bytes]:
    """Return small files with many pixels, or that unpack to many bytes."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    def png(width: int, height: int, *more: bytes) -> bytes:
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IEND", b"")

    zeros = zlib.compress(bytes(200 << 20), 9)
    gif = io.BytesIO()
    Image.new("P", (65000, 3000)).save(gif, "GIF")
    return {
        "a PNG that says it is huge": png(100_000, 100_000, chunk(b"IDAT", b"")),
        "a PNG with more data than pixels": png(10, 10, chunk(b"IDAT", zeros)),
        "a PNG with a large profile": png(
            10, 10, chunk(b"iCCP", b"x\0\0" + zeros), chunk(b"IDAT", zlib.compress(b"\0"))
        ),
        "a large flat GIF": gif.getvalue(),
        "zeros": bytes(32 << 20),
    }


@pytest.mark.usefixtures("_unharmed")
def test_bombs_and_large_files_are_answers(server: EmbeddedServer) -> None:
    with Client(server.url, request_timeout_s=TIMEOUT_S) as client:
        for name, photo in bombs().items():
            assert client.score(photo).status.value in {"too_large", "corrupt", "unsupported", "no_face"}, name
    from tritonclient.utils import InferenceServerException

    for name, photo in bombs().items():
        with contextlib.suppress(InferenceServerException):
            assert ask(server, photo)["face_count"].tolist() == [0], name


@pytest.mark.usefixtures("_unharmed")
def test_connections_that_say_nothing_or_nonsense_or_little_hold_nobody_up(server: EmbeddedServer, face: bytes) -> None:
    host, port = "127.0.0.1", server.listening.grpc_port
    held = []
    try:
        for number in range(CONNECTIONS):
            held.append(socket.create_connection((host, port), timeout=TIMEOUT_S))
            match number % 4:
                case 1:
                    held[-1].sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                case 2:
                    held[-1].sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")  # and no more: a slow sender
                case 3:
                    held[-1].sendall(os.urandom(200))
        started = time.monotonic()
        assert ask(server, face)["face_count"].tolist() == [1]
        assert time.monotonic() - started < 10
    finally:
        for connection in held:
            connection.close()


@pytest.mark.usefixtures("_unharmed")
def test_requests_that_are_given_up_cost_the_others_nothing(server: EmbeddedServer, face: bytes) -> None:
    from tritonclient.grpc import InferInput, aio
    from tritonclient.utils import InferenceServerException

    async def run() -> None:
        client = aio.InferenceServerClient(server.url)
        image = InferInput("encoded_image", [1, len(face)], "UINT8")
        image.set_data_from_numpy(np.frombuffer(face, np.uint8)[None])
        orientation = InferInput("orientation", [1, 1], "UINT8")
        orientation.set_data_from_numpy(np.array([[1]], np.uint8))

        async def expired() -> None:
            with pytest.raises(InferenceServerException):
                await client.infer("facestats", [image, orientation], client_timeout=0.001)

        await asyncio.gather(*(expired() for _ in range(50)))
        tasks = [asyncio.create_task(client.infer("facestats", [image, orientation])) for _ in range(50)]
        await asyncio.sleep(0.05)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await client.close()

    asyncio.run(run())


@pytest.mark.usefixtures("_unharmed")
def test_callers_that_leave_at_any_moment_one_after_the_other_do_not_kill_it(
    server: EmbeddedServer, face: bytes
) -> None:
    """Triton alone died of it within 35 to 170 of these calls, five runs in six."""
    import grpc
    from tritonclient.grpc import service_pb2_grpc

    message = requests(face)["an unknown output"]
    del message.outputs[:]
    chosen = np.random.default_rng(3)
    with grpc.insecure_channel(server.url) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for turn in range(CALLERS_THAT_LEAVE):
            calls = [stub.ModelInfer.future(message, timeout=TIMEOUT_S) for _ in range(1 + turn % 3)]
            time.sleep(chosen.uniform(0.01, 0.15))
            for call in calls:
                call.cancel()

        def streamed() -> Iterator[Any]:
            for _ in range(3):
                yield message

        # What was asked for and left is computed all the same, and fills the queue meanwhile.
        deadline = time.monotonic() + TIMEOUT_S
        while "queue size" in next(stub.ModelStreamInfer(streamed(), timeout=TIMEOUT_S)).error_message:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        for _ in range(5):
            stream = stub.ModelStreamInfer(streamed(), timeout=TIMEOUT_S)
            assert next(stream).infer_response.outputs
            stream.cancel()
        assert len(list(stub.ModelStreamInfer(streamed(), timeout=TIMEOUT_S))) == 3


@pytest.mark.usefixtures("_unharmed")
def test_many_clients_at_once_each_get_the_answers_of_their_own_photos(server: EmbeddedServer, photos: Path) -> None:
    """Far more clients than the queues hold: busy is asked again, and no answer is another photo's."""
    small = {}
    for index, name in enumerate(("obama.jpg", "hopper.jpg", "gauss.jpg", "coffee.jpg")):
        with Image.open(photos / name) as photo:
            small[name] = encoded("JPEG", photo.convert("RGB").resize((160 + index, 200 + index)))

    async def run() -> None:
        async with AsyncClient(server.url) as client:
            alone = {name: (await client.score(photo)).to_dict() for name, photo in small.items()}

            async def one(number: int) -> None:
                names = [*small]
                for turn in range(number, MIXED_REQUESTS, MIXED_CLIENTS):
                    name = names[turn % len(names)]
                    found = (await client.score(small[name])).to_dict()
                    assert (found["width"], found["height"]) == (alone[name]["width"], alone[name]["height"])
                    assert len(found["faces"]) == len(alone[name]["faces"])
                    for face, other in zip(found["faces"], alone[name]["faces"], strict=True):
                        np.testing.assert_allclose(face["box"], other["box"], atol=1e-2)
                        np.testing.assert_allclose(face["embedding"], other["embedding"], atol=1e-3)

            await asyncio.gather(*(one(number) for number in range(MIXED_CLIENTS)))

    asyncio.run(run())


@pytest.mark.usefixtures("_unharmed")
def test_asked_for_ten_times_what_it_can_it_answers_every_request_and_is_well_at_once(
    server: EmbeddedServer, face: bytes
) -> None:
    """How much it gets done meanwhile is measured by benchmarks/load; here, that nothing waits without end."""
    from tritonclient.grpc import InferenceServerClient, InferInput
    from tritonclient.utils import InferenceServerException

    client = InferenceServerClient(server.url)
    image = InferInput("encoded_image", [1, len(face)], "UINT8")
    image.set_data_from_numpy(np.frombuffer(face, np.uint8)[None])
    orientation = InferInput("orientation", [1, 1], "UINT8")
    orientation.set_data_from_numpy(np.array([[1]], np.uint8))
    outcomes: list[str] = []

    def note(result: Any, error: InferenceServerException | None) -> None:
        outcomes.append("answered" if error is None else error.message())

    started, sent = time.monotonic(), 0
    while time.monotonic() - started < OVERLOAD_S:
        client.async_infer("facestats", [image, orientation], note, client_timeout=TIMEOUT_S)
        sent += 1
        time.sleep(0.004)
    begun = time.monotonic()
    assert ask_patiently(server, face)["face_count"].tolist() == [1]
    assert time.monotonic() - begun < 10
    deadline = time.monotonic() + TIMEOUT_S
    while len(outcomes) < sent and time.monotonic() < deadline:
        time.sleep(0.05)
    client.close()
    assert len(outcomes) == sent
    refused = [outcome for outcome in outcomes if outcome != "answered"]
    assert len(refused) < sent
    assert refused, "the load was not above what the server can do"
    assert all("Exceeds maximum queue size" in outcome for outcome in refused), set(refused)


def ask_patiently(server: EmbeddedServer, photo: bytes) -> dict[str, NDArray[Any]]:
    """Ask again while the server is busy, as every caller is told to."""
    from tritonclient.utils import InferenceServerException

    while True:
        try:
            return ask(server, photo)
        except InferenceServerException as exc:
            if "Exceeds maximum queue size" not in exc.message():
                raise
            time.sleep(0.25)
