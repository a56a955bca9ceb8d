"""What pages fetch by themselves: crops and photos by the number of a face, the points of a map, the map's library."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from fsanalysis.dashboard.opened import opened_results
from fsengine.errors import FaceStatsError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

PREFIX = "/facestats"
_MOST_DIGITS = 18
"""Of a number that 64 bits hold."""

_VENDORED = Path(__file__).parent / "widgets" / "vendored"
_HEADERS = {"Cross-Origin-Resource-Policy": "same-origin", "X-Content-Type-Options": "nosniff"}


def our_routes() -> list[BaseRoute]:
    """Return the routes below `PREFIX`. Nothing that a caller sends becomes a path."""
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    return [
        Route(f"{PREFIX}/faces/{{row}}.jpg", _crop),
        Route(f"{PREFIX}/photos/{{row}}.jpg", _photo),
        Route(f"{PREFIX}/points/{{key}}.bin", _points),
        Mount(f"{PREFIX}/vendored", StaticFiles(directory=_VENDORED)),
    ]


def _crop(request: Request) -> Response:
    return _of_face(request, opened_results().crop)


def _photo(request: Request) -> Response:
    return _of_face(request, opened_results().photo)


def _of_face(request: Request, show: Callable[[int], bytes | str]) -> Response:
    """Return what is shown of the face whose number a request names."""
    from starlette.responses import Response

    number = request.path_params["row"]
    if not (number.isascii() and number.isdecimal() and len(number) <= _MOST_DIGITS):
        return Response("expected the number of a face", 404, _HEADERS, "text/plain")
    try:
        return _image(show(int(number)))
    except FaceStatsError as exc:
        return _image(str(exc))


def _points(request: Request) -> Response:
    from starlette.responses import Response

    found = opened_results().maps.get(request.path_params["key"])
    if found is None:
        return Response("these points are no longer held; load the page again", 404, _HEADERS)
    return Response(found.points, 200, _HEADERS, "application/octet-stream")


def _image(found: bytes | str) -> Response:
    """Return a JPEG, or a grey square with the words why there is none."""
    from starlette.responses import Response

    if isinstance(found, bytes):
        return Response(found, 200, {**_HEADERS, "Cache-Control": "private, max-age=3600"}, "image/jpeg")
    words = found.split()
    middle = max(1, len(words) // 2)
    lines = [" ".join(words[:middle]), " ".join(words[middle:])] if len(found) > 18 else [found]
    text = "".join(
        f'<text x="112" y="{112 + 24 * (number - (len(lines) - 1) / 2):.0f}">{escape(line)}</text>'
        for number, line in enumerate(lines)
    )
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 224 224"><rect width="224" height="224" fill="#ddd"/>'
        f'<g font-family="sans-serif" font-size="19" text-anchor="middle" fill="#444">{text}</g></svg>'
    )
    return Response(svg, 200, {**_HEADERS, "Cache-Control": "no-store"}, "image/svg+xml")
