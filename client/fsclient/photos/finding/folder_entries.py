"""What an entry of a folder is, and whether its name is asked for."""

from __future__ import annotations

import fnmatch
import os


def is_folder(entry: os.DirEntry[bytes]) -> bool:
    """Return whether an entry is a folder or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def is_regular(entry: os.DirEntry[bytes]) -> bool:
    """Return whether an entry is a regular file, or a link that leads to one or to nothing."""
    try:
        return entry.is_file() or not os.path.exists(entry.path)
    except OSError:  # a link that leads to itself
        return True


def matches_part(name: bytes, part: bytes) -> bool:
    """Return whether a name matches one part of a pattern, which tells of hidden names only where it says so."""
    if name == part:
        return True
    return (part.startswith(b".") or not name.startswith(b".")) and fnmatch.fnmatchcase(
        os.fsdecode(name), os.fsdecode(part)
    )
