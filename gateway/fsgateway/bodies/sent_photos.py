"""Photos as a request holds them: a body that is one, a form with files, JSON, or a line of JSON for each."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from fsengine.terminal.messages import printable
from fsgateway.bodies.request_body import RequestBody
from fsgateway.problems import Problem

FORM = "multipart/form-data"
JSON = "application/json"
JSON_LINES = ("application/x-ndjson", "application/jsonl", "application/json-lines", "application/x-jsonlines")

_LONGEST_NAME = 255
_LONGEST_ID = 256
_LINE_ROOM = 4096
"""Bytes of a line beside its photo."""

_BASE64_ADVICE = "base64 without line breaks and without `data:` before it, as of `base64 -w0 photo.jpg`"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SentPhoto:
    """One photo of a request.

    Attributes:
        data: The encoded photo.
        source: The name that its file had at the caller; None where none was sent.
        id: What the caller calls it, in a batch.
        problem: Why it is not scored; None where it is.
    """

    data: bytes = b""
    source: str | None = None
    id: str | int | None = None
    problem: Problem | None = None


class ScoreBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The JSON of `/v1/score`: one of the two."""

    image: bytes | None = None
    images: list[bytes] | None = None


class BatchLine(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A line of a batch."""

    image: bytes
    id: str | int | None = None


async def photos_of_json(body: RequestBody) -> tuple[list[SentPhoto], bool]:
    """Return the photos of a JSON body, and whether they were sent as a list.

    Raises:
        Problem: It is no such JSON, or holds too much.
        ClientGoneError: The caller closed the connection.
    """
    text = await body.whole(body.limits.request_bytes, "a JSON object with `image` or `images`")
    found = await asyncio.to_thread(_read_json, text, ScoreBody)
    if (found.image is None) == (found.images is None):
        raise Problem("invalid-request", "the object must have one of `image` and `images`, each in base64")
    images = found.images if found.images is not None else [found.image or b""]
    check_number(len(images), body)
    photos = [taken(data, body) for data in images]
    body.held.add(sum(len(photo.data) for photo in photos))
    return photos, found.images is not None


async def photos_of_lines(body: RequestBody) -> AsyncIterator[SentPhoto]:
    """Yield the photos of JSON Lines; what is wrong with one line is that photo's problem.

    Raises:
        Problem: The body is slower than is allowed, or too much is held.
        ClientGoneError: The caller closed the connection.
    """
    async for line in _lines(body):
        body.begin_photo()
        if line is None:
            yield SentPhoto(problem=too_large(body))
            continue
        if not line.strip():
            continue
        try:
            found = await asyncio.to_thread(_read_json, line, BatchLine)
            if isinstance(found.id, str) and len(found.id) > _LONGEST_ID:
                raise Problem("invalid-request", f"`id` has more than {_LONGEST_ID} characters")
            photo = taken(found.image, body, id=found.id)
            body.held.add(len(photo.data))
            yield photo
        except Problem as problem:
            if problem.kind == "busy":
                raise
            yield SentPhoto(problem=problem, id=_id_of(line))


class _LineId(msgspec.Struct):
    id: str | int | None = None


def _id_of(line: bytes) -> str | int | None:
    """Return what a caller called a photo whose line is wrong otherwise."""
    try:
        found = msgspec.json.decode(line, type=_LineId).id
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return None if isinstance(found, str) and len(found) > _LONGEST_ID else found


async def _lines(body: RequestBody) -> AsyncIterator[bytes | None]:
    """Yield the lines of a body; None for one that is too long, of which nothing is kept."""
    most = 4 * (body.limits.photo_bytes + 2) // 3 + _LINE_ROOM
    parts: list[bytes] = []
    size = 0
    async for chunk in body.chunks():
        pieces = chunk.split(b"\n")
        for number, piece in enumerate(pieces, 1):
            size += len(piece)
            if size <= most:
                parts.append(piece)
                body.held.add(len(piece))
            else:
                body.held.release(sum(map(len, parts)))
                parts.clear()
            if number < len(pieces):
                line = b"".join(parts)
                body.held.release(len(line))
                parts.clear()
                yield line if size <= most else None
                size = 0
    if size:
        line = b"".join(parts)
        body.held.release(len(line))
        yield line if size <= most else None


def taken(data: bytes, body: RequestBody, *, source: str | None = None, id: str | int | None = None) -> SentPhoto:  # noqa: A002
    """Return a photo that was sent, with its problem where it is too large."""
    if len(data) > body.limits.photo_bytes:
        return SentPhoto(source=source, id=id, problem=too_large(body))
    return SentPhoto(data=data, source=source, id=id)


def too_large(body: RequestBody) -> Problem:
    """Return the problem of a photo that is longer than is allowed."""
    most = body.limits.photo_bytes
    return Problem("too-large", f"the photo has more than {most} bytes, which is the most that is taken")


def check_number(number: int, body: RequestBody) -> None:
    """Refuse too many photos, and none.

    Raises:
        Problem: There are.
    """
    if not number:
        raise Problem("invalid-request", "the request holds no photo; expected one or more")
    if number > body.limits.photos_per_request:
        raise Problem(
            "too-large",
            f"the request holds more than {body.limits.photos_per_request} photos, which is the most that is taken; "
            "POST /v1/score/batch takes any number",
        )


def base_name(name: str) -> str | None:
    """Return the name of a caller's file without its folders, as it may be shown; None where nothing is left."""
    return printable(os.path.basename(name.replace("\\", "/")))[:_LONGEST_NAME] or None


def _read_json(text: bytes, kind: type[T]) -> T:
    """Read JSON of a caller.

    Raises:
        Problem: It is none, or holds something else.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as exc:
        raise Problem("invalid-request", _reason(str(exc), kind)) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Problem("bad-request", "the body is not JSON, or nests too deep; expected an object in UTF-8") from None


def _reason(text: str, kind: Any) -> str:
    """Return what msgspec finds, without what the caller sent."""
    expected = "expected " + ", ".join(f"`{name}`" for name in kind.__struct_fields__)
    if "unknown field" in text:
        return (
            f"the object has a field that is not known; {expected} alone: photos are sent, never named by path or URL"
        )
    if "base64" in text:
        return f"an image is not base64; expected {_BASE64_ADVICE}"
    return f"{re.sub(r'`[^`$]*`', '...', text) if len(text) > 200 else text}; {expected}"
