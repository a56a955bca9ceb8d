"""The files of a form (`multipart/form-data`), each as soon as it is there."""

from __future__ import annotations

from collections.abc import AsyncIterator

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from fsgateway.bodies.request_body import RequestBody
from fsgateway.bodies.sent_photos import SentPhoto, base_name, too_large
from fsgateway.problems import Problem

_ADVICE = "send each photo as a file, as `curl -F photo=@photo.jpg` does"


class _Parts:
    """Collects what the parser finds; a part that is too large is not kept."""

    def __init__(self, body: RequestBody) -> None:
        self.done: list[SentPhoto] = []
        self.ended = False
        self._body = body
        self._data: list[bytes] = []
        self._size = 0
        self._name, self._value, self._disposition = b"", b"", b""
        self._source: str | None = None

    def on_part_begin(self) -> None:
        self._data, self._size, self._disposition = [], 0, b""

    def on_header_begin(self) -> None:
        self._name, self._value = b"", b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = self._value

    def on_headers_finished(self) -> None:
        self._source = _file_name(self._disposition)

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        size = end - start
        self._size += size
        if self._size <= self._body.limits.photo_bytes:
            self._body.held.add(size)
            self._data.append(data[start:end])
        elif self._data:
            self._body.held.release(sum(map(len, self._data)))
            self._data.clear()

    def on_part_end(self) -> None:
        if self._size > self._body.limits.photo_bytes:
            self.done.append(SentPhoto(source=self._source, problem=too_large(self._body)))
        else:
            self.done.append(SentPhoto(data=b"".join(self._data), source=self._source))
        self._data = []

    def on_end(self) -> None:
        self.ended = True


async def photos_of_form(body: RequestBody) -> AsyncIterator[SentPhoto]:
    """Yield the files of a form.

    Raises:
        Problem: It is no form, or one with other fields than files, or longer or slower than is allowed.
        ClientGoneError: The caller closed the connection.
    """
    _, options = parse_options_header(body.content_type)
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise Problem("bad-request", f"the Content-Type of the form states no boundary; {_ADVICE}")
    parts = _Parts(body)
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": parts.on_part_begin,
                "on_header_begin": parts.on_header_begin,
                "on_header_field": parts.on_header_field,
                "on_header_value": parts.on_header_value,
                "on_header_end": parts.on_header_end,
                "on_headers_finished": parts.on_headers_finished,
                "on_part_data": parts.on_part_data,
                "on_part_end": parts.on_part_end,
                "on_end": parts.on_end,
            },
        )
        async for chunk in body.chunks():
            parser.write(chunk)
            for photo in parts.done:
                body.begin_photo()
                yield photo
            parts.done.clear()
    except FormParserError as exc:
        raise Problem("bad-request", f"the form cannot be read; {_ADVICE}") from exc
    if not parts.ended:
        raise Problem("bad-request", f"the form ends in the middle; {_ADVICE}")


def _file_name(disposition: bytes) -> str | None:
    """Return the name of the file that a part holds.

    Raises:
        Problem: It is no file.
    """
    _, options = parse_options_header(disposition)
    if (name := options.get(b"filename")) is None:
        raise Problem("invalid-request", f"the form has a field that is no file; {_ADVICE}")
    return base_name(name.decode("utf-8", "replace"))
