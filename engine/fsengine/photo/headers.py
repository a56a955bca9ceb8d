"""What the header of a photo says, format by format: size, orientation, and why its pixels are not plain ones.

Nothing here decodes pixels. A walker that finds less than a header says so in `Header.convert` and gives what it found.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass

from fsengine.photo.icc import is_srgb
from fsengine.photo.tiff_tags import byte_order, first_directory, orientation_of, tag_number

BROKEN = "broken header"
ICC_PROFILE = "ICC profile"
ALPHA = "alpha on white"
TWO_EXIF = "two Exif blocks"

MOST_SEGMENTS = 4096
"""Of a header that is walked; a file of a few MB could hold a million."""

_EXIF = b"Exif\x00\x00"
_ICC_CHUNK = b"ICC_PROFILE\x00"
_MOST_PROFILE_BYTES = 1 << 20


@dataclass(slots=True, kw_only=True)
class Header:
    """What a header says.

    Attributes:
        width: Of the stored pixels; 0 where it is not known.
        height: The same.
        orientation: How they lie, 1 to 8 in Exif's numbers.
        convert: Why they are not plain; None where they are.
        refuse: Why no reader of this project takes them, and the way out; None where one does.
    """

    width: int = 0
    height: int = 0
    orientation: int = 1
    convert: str | None = None
    refuse: str | None = None

    def not_plain(self, reason: str) -> None:
        """Note a reason; the first one stays."""
        if self.convert is None:
            self.convert = reason


def read_jpeg(data: bytes) -> Header:
    """Walk the segments before the first scan."""
    header = Header()
    exif = 0
    profile: list[bytes] = []
    transform: int | None = None
    frame: bytes | None = None
    kind = 0
    position = 2
    for _ in range(MOST_SEGMENTS):
        if data[position] != 0xFF:
            header.not_plain(BROKEN)
            break
        marker = data[position + 1]
        if marker == 0xFF:
            header.not_plain("fill bytes in its header")
            position += 1
            continue
        size = int.from_bytes(data[position + 2 : position + 4], "big")
        end = position + 2 + size
        if size < 2 or end > len(data) or marker < 0xC0 or 0xD0 <= marker <= 0xD9:
            header.not_plain(BROKEN)
            break
        body = data[position + 4 : end]
        if marker == 0xDA:
            break
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if frame is not None:
                header.not_plain(BROKEN)
            frame, kind = body, marker
        elif marker == 0xE1 and body[:4] == _EXIF[:4]:
            exif += 1
            if exif == 1 and body[:6] == _EXIF:
                header.orientation = orientation_of(body[6:])
        elif marker == 0xE2 and body[:12] == _ICC_CHUNK:
            profile.append(body[14:])
        elif marker == 0xEE and body[:5] == b"Adobe" and len(body) >= 12:
            transform = body[11]
        position = end
    else:
        header.not_plain("thousands of header segments")
    if frame is None or len(frame) < 6:
        header.not_plain(BROKEN)
        return header
    bits, header.height, header.width, channels = struct.unpack_from(">BHHB", frame)
    if bits != 8:
        header.refuse = f"JPEG of {bits} bits a channel is not read; save it with 8"
    if kind not in (0xC0, 0xC1, 0xC2):
        header.not_plain("arithmetic coding" if kind >= 0xC9 else "lossless JPEG")
    if channels not in (1, 3):
        header.not_plain("CMYK" if channels == 4 else f"{channels} channels")
    elif channels == 3 and (transform == 0 or (transform is None and frame[6::3] == b"RGB")):
        header.not_plain("stored as RGB")
    if exif > 1:
        header.not_plain(TWO_EXIF)
    if profile and (channels != 3 or not is_srgb(b"".join(profile))):
        header.not_plain(ICC_PROFILE)
    return header


def read_png(data: bytes) -> Header:
    """Walk the chunks before the pixels, and look for Exif behind them."""
    header = Header()
    if data[8:16] != b"\x00\x00\x00\rIHDR" or not _sound(data, 8, 13):
        header.not_plain(BROKEN)
        return header
    header.width, header.height, bits, colours = struct.unpack_from(">IIBB", data, 16)
    if colours in (4, 6):
        header.not_plain(ALPHA)
    elif colours not in (0, 2):
        header.not_plain("palette" if colours == 3 else BROKEN)
    if bits != 8:
        header.not_plain(f"{bits} bit")
    exif = profiles = 0
    position = 33
    for _ in range(MOST_SEGMENTS):
        size = int.from_bytes(data[position : position + 4], "big")
        name = data[position + 4 : position + 8]
        if name == b"IDAT":
            break
        if position + 12 + size > len(data):
            header.not_plain(BROKEN)
            break
        if name == b"tRNS":
            header.not_plain(ALPHA)
        elif name == b"iCCP":
            profiles += 1
            if profiles > 1 or colours != 2 or not _holds_srgb(data[position + 8 : position + 8 + size]):
                header.not_plain(ICC_PROFILE)
        elif name == b"eXIf":
            exif = _count_exif(header, data, position, size, exif)
        position += 12 + size
    else:
        header.not_plain("thousands of header segments")
    found = data.find(b"eXIf", position + 8)
    if found >= 0:
        header.not_plain("Exif behind the pixels")
        position, size = found - 4, int.from_bytes(data[found - 4 : found], "big")
        _count_exif(header, data, position, size, exif)
    if not (header.width and header.height):
        header.not_plain(BROKEN)
    return header


def _count_exif(header: Header, data: bytes, position: int, size: int, sound_before: int) -> int:
    """Take the Exif of one chunk of a PNG; return how many sound ones there are now."""
    if not _sound(data, position, size):
        header.not_plain("Exif with a wrong checksum")
        return sound_before
    if sound_before:
        header.not_plain(TWO_EXIF)
    else:
        header.orientation = orientation_of(data[position + 8 : position + 8 + size])
    return sound_before + 1


def _sound(data: bytes, position: int, size: int) -> bool:
    """Return whether a chunk of a PNG is whole and its checksum right."""
    end = position + 8 + size
    return end + 4 <= len(data) and zlib.crc32(data[position + 4 : end]) == int.from_bytes(data[end : end + 4], "big")


def _holds_srgb(chunk: bytes) -> bool:
    """Return whether the iCCP chunk of a PNG holds an sRGB profile."""
    start = chunk.find(b"\x00", 0, 80)
    if start < 0:
        return False
    try:
        return is_srgb(zlib.decompressobj().decompress(chunk[start + 2 :], _MOST_PROFILE_BYTES))
    except zlib.error:
        return False


def read_webp(data: bytes) -> Header:
    """Walk the chunks."""
    header = Header()
    if data[12:16] != b"VP8X":
        header.width, header.height, alpha = _webp_frame(data, 12)
        if alpha:
            header.not_plain(ALPHA)
        if not header.width:
            header.not_plain(BROKEN)
        return header
    flags = data[20]
    header.width = 1 + int.from_bytes(data[24:27], "little")
    header.height = 1 + int.from_bytes(data[27:30], "little")
    if flags & 0x02:
        header.not_plain("animation, its first picture")
    if flags & 0x10:
        header.not_plain(ALPHA)
    exif = frames = 0
    position = 12
    for _ in range(MOST_SEGMENTS):
        if position + 8 > len(data):
            break
        name, size = data[position : position + 4], int.from_bytes(data[position + 4 : position + 8], "little")
        body = data[position + 8 : position + 8 + size]
        if name == b"EXIF":
            exif += 1
            if exif == 1:
                header.orientation = orientation_of(body.removeprefix(_EXIF))
        elif name == b"ICCP" and not is_srgb(body):
            header.not_plain(ICC_PROFILE)
        elif name == b"ALPH":
            header.not_plain(ALPHA)
        elif name in (b"VP8 ", b"VP8L"):
            frames += 1
            width, height, alpha = _webp_frame(data, position)
            if alpha:
                header.not_plain(ALPHA)
            if (width, height) != (header.width, header.height):
                header.not_plain(BROKEN)
        position += 8 + size + size % 2
    if frames != 1:
        header.not_plain(BROKEN)
    if exif > 1:
        header.not_plain(TWO_EXIF)
    return header


def _webp_frame(data: bytes, position: int) -> tuple[int, int, bool]:
    """Return width, height and whether there is alpha of a WebP picture; 0 x 0 where its header is broken."""
    name = data[position : position + 4]
    if name == b"VP8L" and data[position + 8] == 0x2F:
        bits = int.from_bytes(data[position + 9 : position + 13], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF), bool(bits >> 28 & 1)
    if name == b"VP8 " and data[position + 11 : position + 14] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", data, position + 14)
        return width & 0x3FFF, height & 0x3FFF, False
    return 0, 0, False


BITMAP_HEADER_BYTES = 54


def read_bmp(data: bytes) -> Header:
    """Read the header; plain are 24 bits behind the shortest usual header, as this project writes them."""
    header = Header(convert="BMP other than of 24 bits")
    size = int.from_bytes(data[14:18], "little")
    if size == 12:
        header.width, header.height = struct.unpack_from("<HH", data, 18)
        return header
    start = int.from_bytes(data[10:14], "little")
    header.width, height, planes, bits, packing = struct.unpack_from("<IiHHI", data, 18)
    header.height = abs(height)
    pixels = (3 * header.width + 3) // 4 * 4 * header.height
    if (size, start, planes, bits, packing) == (40, BITMAP_HEADER_BYTES, 1, 24, 0) and height > 0 and header.width:
        header.convert = None if len(data) >= BITMAP_HEADER_BYTES + pixels else BROKEN
    return header


_WIDTH, _HEIGHT, _SUBFILE, _SAMPLE_FORMAT, _DNG_VERSION = 256, 257, 254, 339, 50706
_FLOAT = 3


def read_tiff(data: bytes) -> Header:
    """Read the first directory. No TIFF is plain: its readers have the most to go wrong."""
    header = Header(convert="TIFF", orientation=orientation_of(data))
    order = byte_order(data)
    assert order is not None
    for tag in first_directory(data):
        if tag.number in (_WIDTH, _HEIGHT):
            side = tag_number(tag, order) or 0
            if tag.number == _WIDTH:
                header.width = header.width or side
            else:
                header.height = header.height or side
        elif tag.number == _DNG_VERSION or (tag.number == _SUBFILE and tag_number(tag, order) == 1):
            header.refuse = (
                "camera raw (DNG, NEF, ARW) is not read: its first picture is a thumbnail; develop it to JPEG"
            )
        elif tag.number == _SAMPLE_FORMAT and struct.unpack_from(order + "H", tag.value)[0] == _FLOAT:
            header.refuse = "TIFF of floating-point numbers is not read; save it with 8 or 16 bits a channel"
    return header


def read_jpeg_2000(data: bytes) -> Header:
    """Read the size out of the codestream's first segment."""
    header = Header(convert="JPEG 2000")
    start = data.find(b"\xff\x4f\xff\x51", 0, 1 << 16)
    if start >= 0:
        right, bottom, left, top = struct.unpack_from(">4I", data, start + 8)
        header.width, header.height = max(0, right - left), max(0, bottom - top)
    return header


_PNM_HEADER = re.compile(rb"P[56](?:\s|#[^\n]{0,200}\n){1,50}(\d{1,9})(?:\s|#[^\n]{0,200}\n){1,50}(\d{1,9})\s")


def read_pnm(data: bytes) -> Header:
    """Read the size."""
    header = Header(convert="PNM")
    if match := _PNM_HEADER.match(data[:4096]):
        header.width, header.height = int(match[1]), int(match[2])
    return header


def read_boxes(data: bytes) -> Header:
    """Read the size of an AVIF or HEIC: that of the largest picture that its boxes name.

    Its own boxes say how it lies, and its reader heeds them: Exif must not turn it again.
    """
    header = Header()
    for match in re.finditer(rb"ispe\x00{4}(.{8})", data[: 1 << 16], re.DOTALL):
        width, height = struct.unpack(">II", match[1])
        if width * height > header.width * header.height:
            header.width, header.height = width, height
    return header
