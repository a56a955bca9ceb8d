"""Whether an ICC profile says sRGB, told by its numbers and not by its name."""

from __future__ import annotations

import struct
from functools import lru_cache

_COLOURANTS = {
    b"rXYZ": (0.4361, 0.2225, 0.0139),
    b"gXYZ": (0.3851, 0.7169, 0.0971),
    b"bXYZ": (0.1431, 0.0606, 0.7141),
}
"""Of sRGB under D50 (IEC 61966-2-1, adapted as ICC profiles are)."""

_COLOURANT_TOLERANCE = 0.003
_CURVE_TOLERANCE = 0.004
_CURVE_POINTS = 17
_MOST_TAGS = 100
_PARAMETERS = (1, 3, 4, 5, 7)
"""Numbers of each kind of parametric curve."""


@lru_cache(maxsize=64)
def is_srgb(profile: bytes) -> bool:
    """Return whether a profile gives the colours of sRGB, so that leaving it out changes no pixel to speak of."""
    try:
        return _is_srgb(profile)
    except (struct.error, IndexError, OverflowError, ZeroDivisionError, TypeError):
        return False


def _is_srgb(profile: bytes) -> bool:
    if profile[16:24] != b"RGB XYZ ":
        return False
    (count,) = struct.unpack_from(">I", profile, 128)
    if count > _MOST_TAGS:
        return False
    tags = {}
    for index in range(count):
        name, start, size = struct.unpack_from(">4sII", profile, 132 + 12 * index)
        tags[name] = profile[start : start + size]
    if any(name.startswith(b"A2B") for name in tags) or not _COLOURANTS.keys() <= tags.keys():
        return False
    for name, expected in _COLOURANTS.items():
        found = struct.unpack_from(">3i", tags[name], 8)
        if any(abs(a / 65536 - b) > _COLOURANT_TOLERANCE for a, b in zip(found, expected, strict=True)):
            return False
    return all(_is_srgb_curve(tags[name]) for name in (b"rTRC", b"gTRC", b"bTRC") if name in tags) and all(
        name in tags for name in (b"rTRC", b"gTRC", b"bTRC")
    )


def _is_srgb_curve(curve: bytes) -> bool:
    points = [index / (_CURVE_POINTS - 1) for index in range(_CURVE_POINTS)]
    return all(abs(_value(curve, x) - _linear(x)) <= _CURVE_TOLERANCE for x in points)


def _linear(x: float) -> float:
    return x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4


def _value(curve: bytes, x: float) -> float:
    """Return what a curve of a profile makes of x, 0 to 1; 2 where the curve is of an unknown kind."""
    if curve[:4] == b"curv":
        (count,) = struct.unpack_from(">I", curve, 8)
        if count == 0:
            return x
        if count == 1:
            return float(x ** (struct.unpack_from(">H", curve, 12)[0] / 256))
        at = x * (count - 1)
        low = min(int(at), count - 2)
        first, second = struct.unpack_from(">2H", curve, 12 + 2 * low)
        return float(first + (at - low) * (second - first)) / 65535
    if curve[:4] == b"para":
        (kind,) = struct.unpack_from(">H", curve, 8)
        numbers = [n / 65536 for n in struct.unpack_from(f">{_PARAMETERS[kind]}i", curve, 12)]
        numbers += [0.0] * (7 - len(numbers))
        g, a, b, c, d, e, f = numbers[:7]
        if kind == 0:
            return float(x**g)
        if kind < 3:
            shift = c if kind == 2 else 0.0
            return float((a * x + b) ** g + shift) if x >= -b / a else shift
        return float((a * x + b) ** g + e) if x >= d else c * x + f
    return 2.0
