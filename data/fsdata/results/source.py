"""How a photo's place is stored as text: a path, a URL, or a photo inside a tar shard or a Parquet file."""

from __future__ import annotations

import os
from urllib.parse import quote_from_bytes, unquote_to_bytes

from fsengine.files.stores.store_urls import is_url

INSIDE = "!"
"""Between the place of a shard or a table and the name of a photo in it: `/photos/000.tar!cat/1.jpg`."""


def source_text(path: bytes) -> str:
    """Return a path as the text that is stored: itself, or a `file://` URI where it is not UTF-8.

    pyarrow refuses text with lone surrogates; the URI keeps every byte.
    """
    try:
        return path.decode("utf-8")
    except UnicodeDecodeError:
        return "file://" + quote_from_bytes(path)


def inside_text(container: str, name: str) -> str:
    """Return the source of a photo in a shard or a table.

    Args:
        container: The source of that.
        name: Of the photo in it; bytes of it that are not UTF-8 come as lone surrogates and are escaped.
    """
    return container + INSIDE + name.encode("utf-8", "backslashreplace").decode()


def source_path(text: str) -> bytes:
    """Return the path that `source_text` was given."""
    return unquote_to_bytes(text[len("file://") :]) if text.startswith("file://") else text.encode("utf-8")


def local_file(text: str) -> bytes | None:
    """Return the path of the file that a photo is, or lies in; None where that is in a store or on a web server.

    What is gone is taken for a file of its own, unless a shard or a table of that name is there.
    """
    if is_url(text) and not text.startswith("file://"):
        return None
    path = source_path(text)
    if INSIDE in text and not os.path.lexists(path):
        end = text.find(INSIDE)
        while end >= 0:
            if os.path.exists(container := source_path(text[:end])):
                return container
            end = text.find(INSIDE, end + 1)
    return path


def is_gone(text: str) -> bool:
    """Return whether the system says that a photo's file does not exist; of what is no file here, nobody is asked."""
    path = local_file(text)
    if path is None or not path.startswith(b"/"):
        return False
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False
