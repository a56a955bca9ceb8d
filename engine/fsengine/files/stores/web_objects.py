"""Photos on web servers: HEAD and GET, asked for again where the server is busy or the connection breaks."""

from __future__ import annotations

import email.utils
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fsengine.errors import StoreError, StoreUnavailableError
from fsengine.files.stores.object_state import ObjectState
from fsengine.files.stores.store_urls import public_url

if TYPE_CHECKING:
    import requests

_AGAIN = (408, 429, 500, 502, 503, 504)
_ATTEMPTS = 6
_BACKOFF_S = 0.5
_LONGEST_WAIT_S = 15
_TIMEOUT_S = (5.0, 30.0)
"""To connect, and between two pieces of an answer."""

_LONGEST_BODY_S = 300.0
"""For one photo, or one piece of a shard: a server may send a byte every few seconds for ever."""

_CHUNK_BYTES = 1 << 18
_NOT_THERE = (404, 410)

_local = threading.local()


def object_state(url: str) -> ObjectState:
    """Return the state of what a URL names; see `fsengine.files.stores.objects.object_state`."""
    with _answer("HEAD", url) as response:
        return _state(response)


def read_object(url: str, *, most_bytes: int) -> tuple[bytes | None, ObjectState]:
    """Read what a URL names; see `fsengine.files.stores.objects.read_object`."""
    with _answer("GET", url) as response:
        state = _state(response)
        data = _body(response, most_bytes)
    if data is None:
        return None, state
    return data, ObjectState(num_bytes=len(data), mtime_ns=state.mtime_ns, etag=state.etag)


def read_range(url: str, start: int, length: int, *, etag: str | None = None) -> bytes:
    """Read some bytes of what a URL names; see `fsengine.files.stores.objects.read_range`."""
    with _answer("GET", url, {"Range": f"bytes={start}-{start + length - 1}"}) as response:
        if etag is not None and response.headers.get("ETag") not in (None, etag):
            raise StoreError(f"{public_url(url)} was changed while it was read; run again")
        if response.status_code == 206:
            return _body(response, length) or b""
        if start:
            raise StoreError(f"{public_url(url)}: the server gives no part of a file, only the whole; download it")
        data = bytearray()
        for chunk in response.iter_content(_CHUNK_BYTES):
            data += chunk
            if len(data) >= length:
                break
        return bytes(data[:length])


def _session() -> requests.Session:
    """Return this thread's session."""
    session: requests.Session | None = getattr(_local, "session", None)
    if session is None:
        import requests
        from requests.adapters import HTTPAdapter
        from urllib3.util import Retry

        session = requests.Session()
        retry = Retry(
            _ATTEMPTS,
            backoff_factor=_BACKOFF_S,
            backoff_max=_LONGEST_WAIT_S,
            backoff_jitter=_BACKOFF_S,
            status_forcelist=_AGAIN,
            allowed_methods=("GET", "HEAD"),
            raise_on_status=False,
        )
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=retry))
        _local.session = session
    return session


@contextmanager
def _answer(method: str, url: str, headers: dict[str, str] | None = None) -> Iterator[requests.Response]:
    """Ask for a URL.

    Raises:
        StoreError: It is not there, or the server refuses it.
        StoreUnavailableError: The server cannot be had.
    """
    import requests

    shown = public_url(url)
    # Without this header the length and the ETag would be those of a compressed answer.
    asked = {"Accept-Encoding": "identity", **(headers or {})}
    try:
        with _session().request(
            method, url, headers=asked, timeout=_TIMEOUT_S, stream=True, allow_redirects=True
        ) as response:
            code = response.status_code
            if code in _AGAIN:
                raise StoreUnavailableError(f"{shown} cannot be had: {code} {response.reason}; try again later")
            if code in _NOT_THERE:
                raise StoreError(f"{shown} is not there (any more)")
            if code >= 400:
                raise StoreError(f"{shown} is refused: {code} {response.reason}")
            yield response
    except requests.exceptions.InvalidURL as exc:
        raise StoreError(f"{shown} is no address that can be asked for") from exc
    except (requests.exceptions.RequestException, OSError) as exc:
        # The texts of these errors hold the whole address.
        raise StoreUnavailableError(f"{shown} cannot be had: {type(exc).__name__}; try again later") from exc


def _body(response: requests.Response, most_bytes: int) -> bytes | None:
    """Return an answer's bytes; None where there are more than may be."""
    data = bytearray()
    ends = time.monotonic() + _LONGEST_BODY_S
    for chunk in response.iter_content(_CHUNK_BYTES):
        data += chunk
        if time.monotonic() > ends:
            raise OSError("it takes too long")
        if len(data) > most_bytes:
            return None
    return bytes(data)


def _state(response: requests.Response) -> ObjectState:
    length = response.headers.get("Content-Length", "")
    changed = response.headers.get("Last-Modified")
    mtime_ns = -1
    if changed is not None:
        try:
            mtime_ns = int(email.utils.parsedate_to_datetime(changed).timestamp()) * 10**9
        except (ValueError, OverflowError):
            mtime_ns = -1
    return ObjectState(
        num_bytes=int(length) if length.isascii() and length.isdigit() else -1,
        mtime_ns=mtime_ns,
        etag=response.headers.get("ETag") or None,
    )
