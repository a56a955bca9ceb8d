"""Photos of every kind that the gate tells apart, made with Pillow: plain ones, and others with the reason."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (12, 20, 3), np.uint8), "RGB")


def encoded(kind: str, image: Image.Image = PICTURE, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(number: int, order: str = "<") -> bytes:
    mark = b"II*\x00" if order == "<" else b"MM\x00*"
    return mark + struct.pack(order + "IHHHIHHI", 8, 1, 274, 3, 1, number, 0, 0)


def chunk(name: bytes, body: bytes, *, sound: bool = True) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body) ^ (not sound))


def png(*chunks: bytes, behind: bytes = b"") -> bytes:
    data = encoded("PNG")
    end = len(data) - 12
    return data[:33] + b"".join(chunks) + data[33:end] + behind + data[end:]


def jpeg(*segments: bytes) -> bytes:
    data = encoded("JPEG")
    return data[:2] + b"".join(b"\xff\xe1" + struct.pack(">H", len(s) + 2) + s for s in segments) + data[2:]


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def other_profile() -> bytes:
    changed = bytearray(SRGB)
    count = struct.unpack_from(">I", SRGB, 128)[0]
    tags = {SRGB[132 + 12 * i : 136 + 12 * i]: 132 + 12 * i for i in range(count)}
    red, green = (SRGB[tags[name] + 4 : tags[name] + 12] for name in (b"rXYZ", b"gXYZ"))
    changed[tags[b"rXYZ"] + 4 : tags[b"rXYZ"] + 12] = green
    changed[tags[b"gXYZ"] + 4 : tags[b"gXYZ"] + 12] = red
    return bytes(changed)


PLAIN = {
    "jpeg": (encoded("JPEG"), 1),
    "progressive": (encoded("JPEG", progressive=True), 1),
    "gray jpeg": (encoded("JPEG", PICTURE.convert("L")), 1),
    "turned jpeg": (jpeg(b"Exif\0\0" + exif(6)), 6),
    "big-endian jpeg": (jpeg(b"Exif\0\0" + exif(8, ">")), 8),
    "odd number": (jpeg(b"Exif\0\0" + exif(9)), 1),
    "xmp alone": (jpeg(b'http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation="6"/>'), 1),
    "srgb jpeg": (encoded("JPEG", icc_profile=SRGB), 1),
    "png": (png(), 1),
    "gray png": (encoded("PNG", PICTURE.convert("L")), 1),
    "turned png": (png(chunk(b"eXIf", exif(3))), 3),
    "srgb png": (encoded("PNG", icc_profile=SRGB), 1),
    "png with a long text": (png(chunk(b"tEXt", b"a\0" + b"b" * (2 << 20))), 1),
    "webp": (encoded("WEBP"), 1),
    "lossless webp": (encoded("WEBP", lossless=True), 1),
    "turned webp": (encoded("WEBP", exif=exif(5)), 5),
    "bmp": (encoded("BMP"), 1),
}

NOT_PLAIN = {
    "two exif": (jpeg(b"Exif\0\0" + exif(6), b"Exif\0\0" + exif(3)), "two Exif blocks", 6),
    "png with two exif": (png(chunk(b"eXIf", exif(6)), chunk(b"eXIf", exif(3))), "two Exif blocks", 6),
    "png with a wrong sum": (png(chunk(b"eXIf", exif(6), sound=False)), "Exif with a wrong checksum", 1),
    "png with late exif": (png(behind=chunk(b"eXIf", exif(6))), "Exif behind the pixels", 6),
    "other colours": (encoded("JPEG", icc_profile=other_profile()), "ICC profile", 1),
    "broken profile": (encoded("PNG", icc_profile=b"nothing"), "ICC profile", 1),
    "cmyk": (encoded("JPEG", PICTURE.convert("CMYK")), "CMYK", 1),
    "rgb jpeg": (encoded("JPEG", keep_rgb=True), "stored as RGB", 1),
    "alpha": (encoded("PNG", PICTURE.convert("RGBA")), "alpha on white", 1),
    "transparent colour": (encoded("PNG", transparency=(0, 0, 0)), "alpha on white", 1),
    "webp with alpha": (encoded("WEBP", Image.new("RGBA", (9, 9), (255, 0, 0, 9))), "alpha on white", 1),
    "palette": (encoded("PNG", PICTURE.convert("P")), "palette", 1),
    "1 bit": (encoded("PNG", PICTURE.convert("1")), "1 bit", 1),
    "16 bit": (encoded("PNG", Image.new("I;16", (20, 12))), "16 bit", 1),
    "bmp of 8 bits": (encoded("BMP", PICTURE.convert("L")), "BMP other than of 24 bits", 1),
    "cut bmp": (encoded("BMP")[:-1], "broken header", 1),
    "tiff": (encoded("TIFF"), "TIFF", 1),
    "jpeg 2000": (encoded("JPEG2000"), "JPEG 2000", 1),
    "ppm": (encoded("PPM"), "PNM", 1),
    "cut header": (encoded("JPEG")[:40], "broken header", 1),
    "many segments": (jpeg(*[b""] * 5000), "thousands of header segments", 1),
}
