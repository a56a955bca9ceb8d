"""Photos on web servers: HEAD and GET, asked for again where the server is busy or the connection breaks."""

from __future__ import annotations

import email.utils
import logging
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from fsengine.errors import StoreError, StoreUnavailableError
from fsengine.files.stores.object_state import ObjectState
from fsengine.files.stores.store_urls import public_url

if TYPE_CHECKING:
    import requests

T = TypeVar("T")

_AGAIN = (408, 429, 500, 502, 503, 504)
_ATTEMPTS = 6
_BACKOFF_S = 0.5
_LONGEST_WAIT_S = 15
"""Between two attempts, whatever a server asks for: one that says an hour is left, and its photos with it."""

_TIMEOUT_S = (5.0, 15.0)
"""To connect, and between two pieces of an answer."""

_BODIES_ASKED_FOR = 3
"""Answers that began and broke off, for one photo or one piece of a shard."""

_MOST_REDIRECTS = 10

_LONGEST_BODY_S = 300.0
"""For one photo, or one piece of a shard: a server may send a byte every few seconds for ever."""

_CHUNK_BYTES = 1 << 18
_NOT_THERE = (404, 410)
_NO_HEAD = (400, 401, 403, 405, 501)
"""What servers answer to HEAD that would answer GET; a presigned URL is signed for one method."""

_HOST_UNKNOWN = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))
_WHOLE_SIZE = re.compile(r"bytes \d+-\d+/(\d+)")

_local = threading.local()


class _BrokenOffError(StoreUnavailableError):
    """An answer began and did not come to its end."""


def object_state(url: str) -> ObjectState:
    """Return the state of what a URL names; see `fsengine.files.stores.objects.object_state`."""
    with _answer("HEAD", url, passed=_NO_HEAD) as response:
        if response.status_code < 400:
            return _state(response)
    with _answer("GET", url, {"Range": "bytes=0-0"}) as response:
        return _state(response)


def read_object(url: str, *, most_bytes: int) -> tuple[bytes | None, ObjectState]:
    """Read what a URL names; see `fsengine.files.stores.objects.read_object`."""

    def read(response: requests.Response) -> tuple[bytes | None, ObjectState]:
        state = _state(response)
        data = _first_bytes(response, most_bytes + 1)
        if len(data) > most_bytes:
            return None, state
        return data, ObjectState(num_bytes=len(data), mtime_ns=state.mtime_ns, etag=state.etag)

    return _asked_again(lambda: _answer("GET", url), read)


def read_range(url: str, start: int, length: int, *, etag: str | None = None) -> bytes:
    """Read some bytes of what a URL names; see `fsengine.files.stores.objects.read_range`."""

    def read(response: requests.Response) -> bytes:
        if etag is not None and response.headers.get("ETag") not in (None, etag):
            raise StoreError(f"{public_url(url)} was changed while it was read; run again")
        if start and response.status_code != 206:
            raise StoreError(f"{public_url(url)}: the server gives no part of a file, only the whole; download it")
        return _first_bytes(response, length)

    return _asked_again(lambda: _answer("GET", url, {"Range": f"bytes={start}-{start + length - 1}"}), read)


def _asked_again(answer: Callable[[], Any], read: Callable[[requests.Response], T]) -> T:
    """Return what is read of an answer; one that breaks off is asked for again."""
    for attempt in range(1, _BODIES_ASKED_FOR):
        try:
            with answer() as response:
                return read(response)
        except _BrokenOffError:
            time.sleep(random.uniform(0.5, 1) * _BACKOFF_S * 2**attempt)  # noqa: S311 - jitter
    with answer() as response:
        return read(response)


def _session() -> requests.Session:
    """Return this thread's session."""
    session: requests.Session | None = getattr(_local, "session", None)
    if session is None:
        for name in ("urllib3.connectionpool", "urllib3.util.retry"):
            logging.getLogger(name).addFilter(_without_query)
        import requests
        from requests.adapters import HTTPAdapter

        session = requests.Session()
        session.max_redirects = _MOST_REDIRECTS
        retry = _impatient_retry()(
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


def _without_query(record: logging.LogRecord) -> bool:
    """Cut the queries off the addresses in a record of urllib3, which may grant access."""
    if isinstance(record.args, tuple):
        record.args = tuple(one.partition("?")[0] if isinstance(one, str) else one for one in record.args)
    return True


@cache
def _impatient_retry() -> type[Any]:
    """Return urllib3's `Retry` that never waits for as long as a server likes."""
    from urllib3.util import Retry

    class ImpatientRetry(Retry):
        def get_retry_after(self, response: Any) -> float | None:
            seconds = super().get_retry_after(response)
            return None if seconds is None else min(seconds, _LONGEST_WAIT_S)

    return ImpatientRetry


@contextmanager
def _answer(
    method: str, url: str, headers: dict[str, str] | None = None, *, passed: tuple[int, ...] = ()
) -> Iterator[requests.Response]:
    """Ask for a URL.

    Args:
        method: Of HTTP.
        url: What is asked for.
        headers: Beside the usual ones.
        passed: Refusals that are given like answers.

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
            if code >= 400 and code not in passed:
                raise StoreError(f"{shown} is refused: {code} {response.reason}")
            yield response
    except (requests.exceptions.RequestException, OSError) as exc:
        # The texts of these errors hold the whole address.
        if (why := _why_never(exc)) is not None:
            raise StoreError(f"{shown} cannot be had: {why}") from exc
        raise StoreUnavailableError(f"{shown} cannot be had: {type(exc).__name__}; try again later") from exc


def _why_never(exc: Exception) -> str | None:
    """Return why asking again is of no use, in words; None where it may be."""
    from requests import exceptions

    if isinstance(exc, exceptions.TooManyRedirects):
        return f"the server leads from one address to the next, more than {_MOST_REDIRECTS} times"
    if isinstance(exc, (exceptions.InvalidURL, exceptions.InvalidSchema, exceptions.MissingSchema, UnicodeError)):
        return "it is, or leads to, no address that can be asked for"
    if isinstance(exc, exceptions.InvalidHeader):
        return "what it leads to makes no request"
    inner: BaseException | None = getattr(exc.args[0], "reason", None) if exc.args else None
    while inner is not None and not isinstance(inner, socket.gaierror):
        inner = inner.__cause__
    return "its host is unknown" if inner is not None and inner.errno in _HOST_UNKNOWN else None


def _first_bytes(response: requests.Response, most: int) -> bytes:
    """Return the first bytes of an answer, at most so many.

    Raises:
        _BrokenOffError: It does not come to its end.
    """
    import requests

    data = bytearray()
    ends = time.monotonic() + _LONGEST_BODY_S
    try:
        for chunk in response.iter_content(_CHUNK_BYTES):
            data += chunk
            if time.monotonic() > ends:
                raise StoreUnavailableError(f"{public_url(response.url)} takes longer than {_LONGEST_BODY_S:.0f} s")
            if len(data) >= most:
                break
    except (requests.exceptions.RequestException, OSError) as exc:
        raise _BrokenOffError(f"{public_url(response.url)} breaks off; try again later") from exc
    return bytes(data[:most])


def _state(response: requests.Response) -> ObjectState:
    length = response.headers.get("Content-Length", "")
    if response.status_code == 206:
        whole = _WHOLE_SIZE.fullmatch(response.headers.get("Content-Range", ""))
        length = "" if whole is None else whole[1]
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
