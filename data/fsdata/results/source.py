"""How a photo's path is stored as text."""

from __future__ import annotations

from urllib.parse import quote_from_bytes, unquote_to_bytes


def source_text(path: bytes) -> str:
    """Return a path as the text that is stored: itself, or a `file://` URI where it is not UTF-8.

    pyarrow refuses text with lone surrogates; the URI keeps every byte.
    """
    try:
        return path.decode("utf-8")
    except UnicodeDecodeError:
        return "file://" + quote_from_bytes(path)


def source_path(text: str) -> bytes:
    """Return the path that `source_text` was given."""
    return unquote_to_bytes(text[len("file://") :]) if text.startswith("file://") else text.encode("utf-8")
