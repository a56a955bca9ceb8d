"""The health check asks the server itself, and takes nothing but its yes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from fsengine.container.health import READY_PATH, is_ready


class Answer(BaseHTTPRequestHandler):
    """Answers as Triton does: 200 when it is ready, 400 while models load."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == READY_PATH else 404)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "ready"), [(200, True), (400, False), (503, False)])
def test_ready_is_what_the_server_calls_ready(
    url: str, status: int, ready: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answer, "status", status)
    # A proxy of the environment is not asked.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert is_ready(url) is ready
    assert is_ready(url + "/") is ready


def test_no_server_is_not_ready() -> None:
    assert not is_ready("http://127.0.0.1:9")
