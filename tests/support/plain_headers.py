"""Headers of plain photos without pixels: what the gate passes on and a fake backend tells apart by what follows."""

from __future__ import annotations

import struct
import zlib

_IHDR = b"IHDR" + struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)

PLAIN_PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\r" + _IHDR + struct.pack(">I", zlib.crc32(_IHDR)) + b"\x00\x00\x00\x00IDAT"
PLAIN_JPEG = (
    b"\xff\xd8\xff\xc0\x00\x0b"
    + struct.pack(">BHHB", 8, 8, 8, 1)
    + b"\x01\x11\x00\xff\xda\x00\x08\x01\x01\x00\x00?\x00"
)
