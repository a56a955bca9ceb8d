"""URLs of photos and results: which texts are URLs, what they name, and what of them may be shown and stored."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit, urlunsplit

from fsengine.errors import InvalidInputError
from fsengine.files.stores.url_secrets import without_secrets

STORE_SCHEMES = ("s3", "gs", "az")
"""Object stores: Amazon S3 and what speaks its protocol, Google Cloud Storage, Azure Blob Storage."""

WEB_SCHEMES = ("http", "https")

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_ONE_SLASH = re.compile(r"(s3|gs|az|https?):/(?=[^/])", re.I)


def is_url(text: str) -> bool:
    """Return whether a text is a URL rather than a path."""
    return _URL.match(text) is not None


def is_store_url(text: str) -> bool:
    """Return whether a text names an object, or a prefix of such, in an object store."""
    return text.lower().startswith(tuple(f"{scheme}://" for scheme in STORE_SCHEMES))


def is_web_url(text: str) -> bool:
    """Return whether a text names something on a web server."""
    return text.lower().startswith(tuple(f"{scheme}://" for scheme in WEB_SCHEMES))


def local_path(text: str) -> bytes | None:
    """Return the path that a `file://` URL names; None for every other text.

    Raises:
        InvalidInputError: It names another machine.
    """
    if not text.lower().startswith("file://"):
        return None
    # No query and no fragment: a path may hold `?` and `#`, and whoever writes such a URL quotes them or not.
    host, slash, path = text[len("file://") :].partition("/")
    if host not in ("", "localhost") or not slash:
        raise InvalidInputError(f"{text} names a file of another machine; expected file:///path")
    return unquote_to_bytes("/" + path)


def checked_url(text: str) -> str:
    """Return a URL that can be read, its scheme in lower case.

    Raises:
        InvalidInputError: It is none, or one that holds a password.
    """
    scheme, _, rest = text.partition("://")
    scheme = scheme.lower()
    if scheme not in (*STORE_SCHEMES, *WEB_SCHEMES):
        known = ", ".join(f"{name}://" for name in (*STORE_SCHEMES, *WEB_SCHEMES, "file"))
        raise InvalidInputError(f"{scheme}:// cannot be read; expected a path or one of {known}")
    parts = _split(f"{scheme}://{rest}")
    if "@" in parts.netloc:
        raise InvalidInputError(
            f"a URL of {parts.netloc.rpartition('@')[2]} holds a user or a password, which would be stored with every "
            "result; leave it out, and give credentials in the environment"
        )
    if scheme in STORE_SCHEMES:
        bucket, _, key = rest.partition("/")
        if not _BUCKET.fullmatch(bucket):
            raise InvalidInputError(f"{scheme}://{bucket} names no bucket; expected {scheme}://BUCKET/KEY")
        if (why := _why_no_key(key)) is not None:
            raise InvalidInputError(f"{scheme}://{rest} cannot be asked for: {why}")
    if scheme in WEB_SCHEMES and not parts.hostname:
        raise InvalidInputError(f"{public_url(text)} names no host; expected {scheme}://HOST/PATH")
    return f"{scheme}://{rest}"


def _why_no_key(key: str) -> str | None:
    """Return why a key cannot be asked for, in words; None where it can."""
    if key and any(part in ("", ".", "..") for part in key.removesuffix("/").split("/")):
        return "a part of its key is empty, '.' or '..', as in 'a//b'"
    if any(ord(character) < 32 or ord(character) == 127 for character in key):
        return "its key holds a control character"
    return None


def mistyped(text: str) -> str | None:
    """Return the URL that a path was probably meant to be, such as `s3://photos` for `s3:/photos`; None for others."""
    found = _ONE_SLASH.match(text)
    return None if found is None else f"{found[1].lower()}://{text[found.end() :]}"


def bucket_and_key(url: str) -> tuple[str, str]:
    """Return the URL of a bucket, such as `s3://photos`, and the key in it, which is never quoted."""
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    return f"{scheme}://{bucket}", key


def public_url(url: str) -> str:
    """Return a URL without what grants access, for results, messages and logs.

    Of a web address go user and password, what of its query grants access (see `without_secrets`), and the fragment,
    which no server is sent.
    """
    if not is_web_url(url):
        scheme, separator, rest = url.partition("://")
        return f"{scheme}{separator}{rest}"
    try:
        parts = _split(url)
    except InvalidInputError:
        return "a URL that cannot be read"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, without_secrets(parts.query), ""))


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # its text may hold a password
        raise InvalidInputError("the host or the port of a URL cannot be read; expected https://HOST/PATH") from None
    return parts
