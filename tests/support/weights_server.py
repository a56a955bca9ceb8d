"""A local HTTP server that offers files as a hub does, and misbehaves in one way for each first part of a path."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class WeightsServer:
    """Offers `files` below `/MODE/NAME`.

    Modes: `good` (ranges, ETag), `norange` (answers 200 always), `notag` (ranges, no validator), `dies` (closes the
    connection after a third of the file), `truncated` (announces all, never sends more than the first half),
    `corrupt` (one byte is another), `redirect`, `busy` (503 twice, then good), `down` (503 always),
    `gone` (404), `longer` (announces one byte more than the file has), `stuck` (dies at the start of every answer).
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.retry_after = "0"
        self._busy = 2
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer._answer(self)

            def log_message(self, *_: object) -> None:
                return None

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def url(self, mode: str, name: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{mode}/{name}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        _, mode, name = request.path.split("/", 2)
        asked = request.headers.get("Range")
        self.requests.append((request.path, asked))
        content = self.files.get(name)
        if mode == "busy" and self._busy:
            self._busy -= 1
            return self._send(request, 503, b"", {})
        if mode == "down":
            return self._send(request, 503, b"", {"Retry-After": self.retry_after})
        if mode == "gone" or content is None:
            return self._send(request, 404, b"", {})
        if mode == "redirect":
            return self._send(request, 302, b"", {"Location": f"/good/{name}"})
        if mode == "stuck":
            request.close_connection = True
            return None
        if mode == "corrupt":
            content = content[:-1] + bytes([content[-1] ^ 1])
        headers = {} if mode == "notag" else {"ETag": f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'}
        start = 0
        match = re.match(r"bytes=(\d+)-", asked or "")
        same = request.headers.get("If-Range") in (None, headers.get("ETag"))
        if match and same and mode != "norange":
            start = int(match[1])
            if start >= len(content):
                return self._send(request, 416, b"", {"Content-Range": f"bytes */{len(content)}"})
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = content[start:]
        cut = {"dies": len(content) // 3 + 1, "truncated": max(len(content) // 2 - start, 0)}.get(mode)
        announced = len(body) + (mode == "longer")
        return self._send(request, 206 if start else 200, body, headers, announced=announced, cut=cut)

    @staticmethod
    def _send(
        request: BaseHTTPRequestHandler,
        status: int,
        body: bytes,
        headers: dict[str, str],
        announced: int | None = None,
        cut: int | None = None,
    ) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Length", str(len(body) if announced is None else announced))
        request.end_headers()
        request.wfile.write(body if cut is None else body[:cut])
        request.close_connection = cut is not None or announced is not None
        return


@contextmanager
def weights_server() -> Iterator[WeightsServer]:
    server = WeightsServer()
    try:
        yield server
    finally:
        server.close()
