"""Download one file over HTTP: resumable, bounded, whole at the end.

Proxies (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`) and certificates (`REQUESTS_CA_BUNDLE`) are those of the environment.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse, Retry
from urllib3.exceptions import HTTPError

from fsengine.errors import FetchError
from fsengine.files.hashing import file_sha256
from fsengine.files.writing_errors import unwritable
from fsengine.registry.store import LARGEST_FILE_BYTES, free_bytes

CONNECT_TIMEOUT_S = 15.0
READ_TIMEOUT_S = 60.0
MOST_FAILURES = 5
"""Failures in a row, without a byte in between, after which a download is given up."""
LONGEST_PAUSE_S = 60.0
"""The longest pause that a server may ask for (Retry-After)."""

_READ_BYTES = 1 << 16
_BACKOFF_S = 0.5
_LONGEST_BACKOFF_S = 8.0
_TRY_AGAIN_STATUSES = (408, 425, 429, 500, 502, 503, 504)

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here and the bytes of the whole file, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """What to download.

    Attributes:
        url: Its address.
        target: The file to make.
        sha256: What it must hash to, or None.
        size_bytes: Its size, or None.
    """

    url: str
    target: Path
    sha256: str | None = None
    size_bytes: int | None = None

    @property
    def partial(self) -> Path:
        """Return the half-downloaded file."""
        return self.target.with_name(f"{self.target.name}.partial")

    @property
    def partial_record(self) -> Path:
        """Return the file that says of which content the half-downloaded one is a part."""
        return self.target.with_name(f"{self.target.name}.partial.json")


class _Interrupted(Exception):  # noqa: N818  # never leaves this module
    """An answer that ended early, or is of no use for what is here already."""


class _Retries(Retry):
    """Tries a request again until an answer begins: urllib3's own, with a bound on the server's pauses."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        """Return the pause that the server asks for, in seconds."""
        asked = super().get_retry_after(response)
        return None if asked is None else min(asked, LONGEST_PAUSE_S)


def download(what: Download, progress: Progress) -> Path:
    """Download a file; an earlier, broken-off download of the same content is continued.

    The file gets its name after its size and hash were checked. A part is continued only where the server says that
    its content is the same (ETag or Last-Modified), or where the hash is known and would tell.

    Args:
        what: The file.
        progress: Called as bytes arrive.

    Returns:
        `what.target`.

    Raises:
        FetchError: The server cannot be reached or refuses, the disk is full, or the content is another one.
    """
    try:
        with _session() as session:
            _download_whole(session, what, progress)
            if not _is_right(what):
                _discard(what)  # it was put together from parts of different content; once more, from the start
                _download_whole(session, what, progress)
        if not _is_right(what):
            raise _wrong_content(what)
    except (_Interrupted, requests.RequestException, HTTPError, ValueError) as exc:
        raise _unreachable(what, exc) from exc
    except OSError as exc:
        otherwise = "set FACESTATS_MODELS; run this again then: it goes on where it stopped"
        raise FetchError(unwritable(what.partial, exc, otherwise)) from exc
    what.partial.replace(what.target)
    what.partial_record.unlink(missing_ok=True)
    return what.target


def _session() -> requests.Session:
    """Return a session that tries again where it gets no connection, and where the server is busy."""
    retries = _Retries(MOST_FAILURES - 1, status_forcelist=_TRY_AGAIN_STATUSES)
    retries.backoff_factor, retries.backoff_max = _BACKOFF_S, _LONGEST_BACKOFF_S
    session = requests.Session()
    session.mount("https://", HTTPAdapter(max_retries=retries))
    session.mount("http://", HTTPAdapter(max_retries=retries))
    return session


def _download_whole(session: requests.Session, what: Download, progress: Progress) -> None:
    """Request the file, and the rest of it where an answer breaks off, until all of it is here.

    Raises:
        _Interrupted: Answers brought nothing more, `MOST_FAILURES` times in a row.
    """
    failures = 0
    while True:
        before = _size(what.partial)
        try:
            return _request(session, what, progress)
        except _Interrupted:
            failures = 0 if _size(what.partial) > before else failures + 1
            if failures >= MOST_FAILURES:
                raise
            time.sleep(min(_BACKOFF_S * 2**failures, _LONGEST_BACKOFF_S))


def _request(session: requests.Session, what: Download, progress: Progress) -> None:
    """Make one request and append what comes to the partial file."""
    what.partial.parent.mkdir(parents=True, exist_ok=True)
    start, headers = _resume_headers(what)
    if what.size_bytes is not None and start == what.size_bytes:
        return
    with session.get(what.url, headers=headers, stream=True, timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S)) as response:
        if urlsplit(what.url).scheme == "https" and urlsplit(response.url).scheme != "https":
            raise FetchError(f"{what.url} redirects to {response.url}, which is not encrypted; nothing was fetched")
        first, length = _content_range(response)
        if response.status_code == 416 and length == start:
            return  # the part is the whole
        if response.status_code == 416 or (response.status_code == 206 and first != start):
            _discard(what)
            raise _Interrupted("the server answered with another range")
        if response.status_code not in (200, 206):
            raise FetchError(
                f"{what.url} answers HTTP {response.status_code} {response.reason}; expected the file. If the address "
                "has changed, get the file another way and import it"
            )
        start = start if response.status_code == 206 else 0
        announced = response.raw.length_remaining
        total = None if announced is None else start + announced
        _check_size(what, total, start)
        if what.sha256 is None:
            _check_unknown(what, response, total)
        _remember(what, response)
        _append(what, response, start, total, progress)


def _append(what: Download, response: requests.Response, start: int, total: int | None, progress: Progress) -> None:
    """Write the body of an answer to the partial file, from a byte on.

    Raises:
        _Interrupted: It ended early; what came is kept.
    """
    with what.partial.open("ab" if start else "wb") as file:
        here = start
        progress(here, total)
        # A short body is noticed below; urllib3 would throw its last block away.
        response.raw.enforce_content_length = False
        try:
            for block in response.iter_content(_READ_BYTES):
                here += len(block)
                if here > (total or what.size_bytes or LARGEST_FILE_BYTES):
                    raise FetchError(f"{what.url} sends more than it announced; nothing was installed")
                file.write(block)
                progress(here, total)
        except (requests.RequestException, HTTPError) as exc:
            raise _Interrupted(_cause(exc)) from exc
        file.flush()
        os.fsync(file.fileno())
    if total is not None and here < total:
        raise _Interrupted(f"the connection closed after {here:,} of {total:,} bytes")


def _resume_headers(what: Download) -> tuple[int, dict[str, str]]:
    """Return how many bytes are here already, and the headers that ask for the rest."""
    headers = {"Accept-Encoding": "identity"}
    start = _size(what.partial)
    record: dict[str, str] = {}
    with suppress(OSError, ValueError):
        record = json.loads(what.partial_record.read_text())
    validator = record.get("validator") if record.get("url") == what.url else None
    if start and (validator or what.sha256):
        headers["Range"] = f"bytes={start}-"
        if validator:
            headers["If-Range"] = validator
        return start, headers
    return 0, headers


def _remember(what: Download, response: requests.Response) -> None:
    """Note which content the partial file is a part of."""
    etag = response.headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified")
    what.partial_record.write_text(json.dumps({"url": what.url, "validator": validator}))


def _check_size(what: Download, total: int | None, start: int) -> None:
    if total is None:
        return
    if what.size_bytes not in (None, total):
        raise FetchError(
            f"{what.url} has {total:,} bytes, expected {what.size_bytes:,}; it is another file, and nothing was fetched"
        )
    if total > LARGEST_FILE_BYTES:
        raise FetchError(f"{what.url} has {total:,} bytes, expected at most {LARGEST_FILE_BYTES:,}")
    if (free := free_bytes(what.partial.parent)) < total - start:
        raise FetchError(
            f"{what.url} needs {total - start:,} bytes more, and the disk of {what.partial.parent} has {free:,} free; "
            "make room or set FACESTATS_MODELS"
        )


def _check_unknown(what: Download, response: requests.Response, total: int | None) -> None:
    """Refuse what is plainly no file of weights, where no hash would tell."""
    if response.headers.get("Content-Type", "").startswith("text/html"):
        raise FetchError(f"{what.url} answers with a web page, expected a file; a login may be in the way")
    if total is None and response.headers.get("Transfer-Encoding") != "chunked":
        raise FetchError(
            f"{what.url} does not say how long the file is, and its hash is not known: what breaks off would pass "
            "for the whole; get it another way and import it"
        )


def _content_range(response: requests.Response) -> tuple[int | None, int | None]:
    """Return the first byte of a part and the length of the whole, as far as an answer tells them."""
    match = re.match(r"bytes (?:([0-9]{1,18})-[0-9]*|\*)/([0-9]{1,18}|\*)", response.headers.get("Content-Range", ""))
    first, length = match.groups() if match else (None, None)
    return int(first) if first else None, int(length) if length and length != "*" else None


def _is_right(what: Download) -> bool:
    """Return whether the partial file is the whole and right one."""
    if not _size(what.partial) or what.size_bytes not in (None, _size(what.partial)):
        return False
    return what.sha256 is None or file_sha256(what.partial) == what.sha256


def _wrong_content(what: Download) -> FetchError:
    found, size = file_sha256(what.partial), _size(what.partial)
    _discard(what)
    expected = f"expected sha256 {what.sha256}" if what.sha256 else "expected a file that is not empty"
    return FetchError(
        f"{what.url} gave {size:,} bytes of sha256 {found}, {expected}; nothing was installed. The file was altered on "
        "its way or upstream: try another network, or import a copy that you trust"
    )


def _unreachable(what: Download, exc: Exception) -> FetchError:
    host = urlsplit(what.url).hostname
    proxy = urlsplit(os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy") or "").hostname
    here = _size(what.partial)
    kept = f" {here:,} bytes are kept, and the next try goes on from there." if here else ""
    return FetchError(
        f"{what.url} cannot be fetched: {_cause(exc)}.{kept} Is {host} reachable from here? Behind a proxy set "
        f"HTTPS_PROXY (now {proxy or 'not set'}). On a machine without a network, get the file elsewhere and import it"
    )


def _cause(exc: Exception) -> object:
    """Return what lies behind an error of urllib3's pool, whose own text repeats the address."""
    inner = exc.args[0] if exc.args else exc
    return getattr(inner, "reason", None) or inner


def _discard(what: Download) -> None:
    what.partial.unlink(missing_ok=True)
    what.partial_record.unlink(missing_ok=True)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
