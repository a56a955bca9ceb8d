"""Objects of stores and web servers: their state and their bytes.

Credentials come from the environment alone (`AWS_*`, `GOOGLE_*`, `AZURE_*`; https://developmentseed.org/obstore names
them all), and are in no message. What a store cannot do at the moment is asked for again, with waits that double and
jitter, for about a minute.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fsengine.errors import StoreError, StoreUnavailableError
from fsengine.files.stores import web_objects
from fsengine.files.stores.object_state import ObjectState
from fsengine.files.stores.store_urls import bucket_and_key, is_web_url, public_url

if TYPE_CHECKING:
    from obstore.store import ObjectStore

RETRY_S = 40.0
"""How long a store that throttles or cannot be reached is asked again; the last try ends 20 s later at most."""

_IMPORTING = threading.Lock()
_VARIABLES = ("AWS_", "GOOGLE_", "AZURE_")
_NO_SUCH_BUCKET = re.compile(r"NoSuchBucket|bucket does not exist", re.I)
_REFUSED = re.compile(r"\b40[13]\b|Forbidden|AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch", re.I)
_STATUS = re.compile(r"status code: (\d{3} ?[A-Za-z ]*)")
_CODE = re.compile(r"<Code>(\w+)</Code>")


def object_state(url: str) -> ObjectState:
    """Return the state of an object.

    Raises:
        StoreError: It is not there, or the store refuses it.
        StoreUnavailableError: The store cannot be had.
    """
    if is_web_url(url):
        return web_objects.object_state(url)
    store, key = opened(url)
    with explained(url):
        return state_of(store.head(key))


def state_if_there(url: str) -> ObjectState | None:
    """Return the state of an object, None where it is not there or is refused.

    Raises:
        StoreUnavailableError: The store cannot be had.
    """
    try:
        return object_state(url)
    except StoreUnavailableError:
        raise
    except StoreError:
        return None


def read_object(url: str, *, most_bytes: int) -> tuple[bytes | None, ObjectState]:
    """Read an object whole.

    Args:
        url: Where it is.
        most_bytes: What a larger object is not read for.

    Returns:
        Its bytes, None where it is larger, and its state as it was read.

    Raises:
        StoreError: It is not there, or the store refuses it.
        StoreUnavailableError: The store cannot be had.
    """
    if is_web_url(url):
        return web_objects.read_object(url, most_bytes=most_bytes)
    store, key = opened(url)
    with explained(url):
        found = store.get(key)
        state = state_of(found.meta)
        return (None if state.num_bytes > most_bytes else found.bytes().to_bytes()), state


def read_range(url: str, start: int, length: int, *, etag: str | None = None) -> bytes:
    """Read some bytes of an object: those that there are of the range.

    Args:
        url: Where it is.
        start: The first of them, from 0.
        length: How many, 1 or more.
        etag: The version that is wanted; None for the one that is there.

    Raises:
        StoreError: It is not there, or was changed, or the store refuses it.
        StoreUnavailableError: The store cannot be had.
    """
    if is_web_url(url):
        return web_objects.read_range(url, start, length, etag=etag)
    store, key = opened(url)
    from obstore.exceptions import PreconditionError

    options: Any = {"range": (start, start + length)}
    if etag is not None:
        options["if_match"] = etag
    with explained(url):
        try:
            return store.get(key, options=options).bytes().to_bytes()
        except PreconditionError as exc:
            raise StoreError(f"{public_url(url)} was changed while it was read; run again") from exc


def opened(url: str) -> tuple[ObjectStore, str]:
    """Return the store of a URL's bucket, and its key there.

    Raises:
        StoreError: The environment holds what cannot be used.
    """
    with _IMPORTING:  # threads that import obstore at once meet it half made
        import obstore.exceptions
        import obstore.store  # noqa: F401
    root, key = bucket_and_key(url)
    return _store(root, frozenset(item for item in os.environ.items() if item[0].startswith(_VARIABLES))), key


@lru_cache(maxsize=64)
def _store(root: str, _environment: frozenset[tuple[str, str]]) -> ObjectStore:
    """Return the store of a bucket as the environment says that it is reached."""
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    # With obstore's own numbers a store that throttles for 20 s is given up after 2 s to 9 s: the time is to end the
    # tries, not their number.
    retry: Any = {
        "max_retries": 1000,
        "retry_timeout": timedelta(seconds=RETRY_S),
        "backoff": {"init_backoff": timedelta(seconds=0.2), "max_backoff": timedelta(seconds=5), "base": 3},
    }
    options: Any = {"connect_timeout": "5s", "read_timeout": "15s", "timeout": "120s"}
    if _endpoint_is_plain(root):  # AWS_ALLOW_HTTP is passed over where options are given
        options["allow_http"] = True
    try:
        return from_url(root, retry_config=retry, client_options=options)
    except (BaseError, ValueError) as exc:
        raise StoreUnavailableError(
            f"{root} cannot be used: {_first_line(exc)}; check the environment variables of it"
        ) from exc


def _endpoint_is_plain(root: str) -> bool:
    """Return whether the user named an endpoint without TLS: a store of one's own, and meant so.

    Raises:
        StoreUnavailableError: An endpoint is no URL.
    """
    if not root.startswith("s3://"):
        return False
    for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"):
        if endpoint := os.environ.get(name, ""):
            if not (is_web_url(endpoint) and urlsplit(endpoint).hostname):
                raise StoreUnavailableError(f"{name} is {endpoint!r}, expected a URL such as http://127.0.0.1:9000")
            return urlsplit(endpoint).scheme == "http"
    return False


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn what obstore says about an object into a `StoreError`.

    Its own texts hold whole answers, and dumps of the request.
    """
    from obstore.exceptions import BaseError, InvalidPathError, PermissionDeniedError, UnauthenticatedError

    shown = public_url(url)
    started = time.monotonic()
    try:
        yield
    except FileNotFoundError as exc:
        if _NO_SUCH_BUCKET.search(str(exc)):
            raise StoreError(f"{bucket_and_key(url)[0]} does not exist; check the name of the bucket") from exc
        raise StoreError(f"{shown} is not there (any more)") from exc
    except (PermissionDeniedError, UnauthenticatedError, PermissionError) as exc:
        raise _refused(shown, exc) from exc
    except (ValueError, InvalidPathError) as exc:
        raise StoreError(f"{shown} cannot be asked for: {_first_line(exc)}") from exc
    except (BaseError, OSError) as exc:
        if _NO_SUCH_BUCKET.search(str(exc)):  # what a listing says
            raise StoreError(f"{bucket_and_key(url)[0]} does not exist; check the name of the bucket") from exc
        if _REFUSED.search(str(exc).split("\n")[0]):
            raise _refused(shown, exc) from exc
        raise StoreUnavailableError(
            f"{shown} cannot be had: {_first_line(exc)} (asked for {time.monotonic() - started:.0f} s); "
            "run the same command again once the store answers"
        ) from exc


def _refused(shown: str, exc: Exception) -> StoreUnavailableError:
    return StoreUnavailableError(
        f"{shown}: the store refuses access ({_first_line(exc)}); give credentials in the environment, for S3 "
        "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, or AWS_SKIP_SIGNATURE=true for a public bucket"
    )


def _first_line(exc: Exception) -> str:
    """Return what went wrong, from the first line of an obstore error, in a few words."""
    text = str(exc)
    if (code := _CODE.search(text)) is not None:
        return code[1]
    line = text.split("\n")[0]
    if (status := _STATUS.search(line)) is not None:
        return status[1].strip()
    if "error sending request" in text.lower():
        return "no request could be sent; is it the right address, and http or https as the store speaks it"
    for words in ("Connection refused", "dns error", "timed out", "connection closed", "instance metadata", "decoding"):
        if words.lower() in text.lower():
            return "no credentials were found" if words == "instance metadata" else words.lower()
    return re.sub(r"https?://\S+", "the store", line)[:160].rstrip(": ")


def state_of(meta: Any) -> ObjectState:
    """Return the state that obstore says of an object."""
    changed: datetime = meta["last_modified"]
    return ObjectState(num_bytes=meta["size"], mtime_ns=int(changed.timestamp()) * 10**9, etag=meta["e_tag"] or None)
