"""What of the files in a folder is no photo, by names and first bytes."""

from __future__ import annotations

import os
from collections.abc import Mapping

from fsengine.photo.signatures import sniff_format

HIDDEN = "hidden"

FOLDERS = frozenset(
    {
        "@eadir",
        "#recycle",
        "$recycle.bin",
        "system volume information",
        "__macosx",
        "lost+found",
    }
)
"""Lower-case names of folders in which systems keep what is no user's photo; hidden ones need no name here."""

_SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"})

_SUFFIXES: Mapping[str, str] = {
    "text": "txt text md rst log nfo htm html pdf doc docx odt rtf tex ppt pptx py sh bat ipynb ini cfg conf toml",
    "table": "csv tsv xls xlsx ods parquet feather arrow db sqlite npy npz mat pkl",
    "side-car": "xmp aae json jsonl xml yaml yml pp3 dop cos picasa md5 sha1 sha256",
    "video": "mp4 mov avi mkv webm m4v mpg mpeg wmv flv 3gp mts m2ts vob ogv",
    "label": "cls cls2 id idx index inx",
    "tensor": "pickle pyd pt pth ten tb mp msgpack",
    "audio": "mp3 wav m4a flac aac ogg oga opus wma aif aiff amr",
    "archive": "zip tar gz tgz bz2 xz zst 7z rar",
}
"""Kind of file to lower-case suffixes, without the dot."""

_KIND_OF_SUFFIX = {suffix: kind for kind, suffixes in _SUFFIXES.items() for suffix in suffixes.split()}

_NO_PHOTOS = frozenset({None, "PDF", "SVG", "ICO"})
"""What the first bytes may announce that is no photo; all else is one, whether it is read or not."""

_HEAD_BYTES = 64


def kind_by_name(name: str) -> str | None:
    """Return what a file is by its name where that is no photo."""
    if name.startswith("."):
        return HIDDEN
    lower = name.lower()
    if lower in _SYSTEM_FILES:
        return "system file"
    return _KIND_OF_SUFFIX.get(lower.rpartition(".")[2]) if "." in lower else None


def begins_like_a_photo(path: bytes) -> bool:
    """Return whether a file's first bytes are those of a photo; a file that cannot be read may be one."""
    try:
        # The file may be exchanged for a pipe since it was listed: that is not waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            return sniff_format(os.read(descriptor, _HEAD_BYTES)) not in _NO_PHOTOS
        finally:
            os.close(descriptor)
    except OSError:
        return True
