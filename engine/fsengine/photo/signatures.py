"""Which format a file's first bytes announce, of photos and of what is often taken for one."""

from __future__ import annotations

_SIGNATURES = (
    ("JPEG", 0, b"\xff\xd8"),
    ("PNG", 0, b"\x89PNG\r\n\x1a\n"),
    ("WebP", 8, b"WEBP"),
    ("TIFF", 0, b"II*\x00"),
    ("TIFF", 0, b"MM\x00*"),
    ("JPEG 2000", 0, b"\x00\x00\x00\x0cjP  "),
    ("JPEG 2000", 0, b"\xff\x4f\xff\x51"),
    ("GIF", 0, b"GIF8"),
    ("ICO", 0, b"\x00\x00\x01\x00"),
    ("SVG", 0, b"<svg"),
    ("PDF", 0, b"%PDF"),
    ("JPEG XL", 0, b"\x00\x00\x00\x0cJXL "),
    ("JPEG XL", 0, b"\xff\x0a"),
    ("camera raw (CR3)", 4, b"ftypcrx "),
    ("camera raw (RAF)", 0, b"FUJIFILMCCD-RAW"),
    ("camera raw (ORF)", 0, b"IIRO"),
    ("camera raw (ORF)", 0, b"IIRS"),
    ("camera raw (ORF)", 0, b"MMOR"),
    ("camera raw (RW2)", 0, b"IIU\x00"),
    ("camera raw (X3F)", 0, b"FOVb"),
)
"""Name, offset and bytes of each signature that is sure by itself."""

_CANON_RAW = b"CR\x02"
_BMP_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_MOST_BRANDS = 32


def sniff_format(data: bytes) -> str | None:
    """Return the format that a file's first bytes announce, or None."""
    if data[:4] == b"II*\x00" and data[8:11] == _CANON_RAW:
        return "camera raw (CR2)"
    for name, offset, magic in _SIGNATURES:
        if data[offset : offset + len(magic)] == magic:
            return name
    if data[:2] == b"BM" and (int.from_bytes(data[14:18], "little") in _BMP_HEADERS or data[26:28] == b"\x01\x00"):
        return "BMP"
    if data[:2] in (b"P5", b"P6") and data[2:3] in (b" ", b"\t", b"\r", b"\n", b"#"):
        return "PNM"
    return _iso_media_format(data) if data[4:8] == b"ftyp" else None


def _iso_media_format(data: bytes) -> str | None:
    """Return AVIF or HEIC by the brands of a file of boxes, or None where it holds something else, such as a film."""
    size = min(int.from_bytes(data[:4], "big"), 16 + 4 * _MOST_BRANDS)
    brands = {data[8:12], *(data[start : start + 4] for start in range(16, size, 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIC" if brands & _HEIC_BRANDS or data[8:12] in (b"mif1", b"msf1") else None
