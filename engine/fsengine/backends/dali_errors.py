"""What an error text of DALI means; the native backend hands it on, between words of its own and of Triton."""

from __future__ import annotations

import re

_READS_PHOTOS = re.compile(r"operator `?[\w.]*(decoders(\.|__)image|image_?decoder|peek_?image_?shape)", re.IGNORECASE)
"""Operators of the pipeline that read the encoded photo, as DALI 0.28 to 2.4 names them."""

_CAUSE = re.compile(r"encountered:\s*(.*?)\s*(?:Stacktrace|Current pipeline|\n\s*\n|\Z)", re.DOTALL)

_PLACE = re.compile(r"\[/[^\]]*\]\s*|Error in thread \d+:\s*")
"""File and line of DALI's source, or a thread, before the words."""

_DEVICE_TROUBLE = re.compile(
    r"CUDA|NVML|allocat|out of memory|nvImageCodec failure: '#(5|6|7|15|16|20|21)'", re.IGNORECASE
)
"""Memory, driver or device gave out. Of nvimgcodecStatus_t: allocator, execution, architecture, CUDA call; a cut PNG
is an internal error (17)."""

_LONGEST_CAUSE = 300


def cause(text: str) -> str:
    """Return the words of an error that tell what happened, in one line."""
    match = _CAUSE.search(text)
    words = _PLACE.sub("", match[1] if match else text).split()
    return " ".join(words)[:_LONGEST_CAUSE].rstrip(" :") or "unknown error"


def device_trouble(text: str) -> str | None:
    """Return the words of an error that the photo is not to blame for: memory, driver or device; None for another."""
    return found if _DEVICE_TROUBLE.search(found := cause(text)) else None


def decoding_cause(text: str) -> str | None:
    """Return why DALI could not read a photo, or None where something else failed, or the device did."""
    return cause(text) if _READS_PHOTOS.search(text) and device_trouble(text) is None else None
