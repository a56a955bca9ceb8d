"""What to say where a file cannot be written: what the system said, and what helps against that."""

from __future__ import annotations

import errno

from fsengine.files.stores.store_path import AnyPath

_HELP = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room"),
    **dict.fromkeys((errno.EACCES, errno.EPERM), "give yourself the right to write there"),
    errno.EROFS: "make the file system writable",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EFBIG: "the file system takes no file of this size",
    errno.EIO: "check the disk",
}
"""What helps against an error of the system, by its number."""


def unwritable(what: AnyPath | str, error: OSError, otherwise: str) -> str:
    """Return the text of an error about something that cannot be written.

    Args:
        what: A path, or words for it.
        error: What the system said.
        otherwise: What to do in its place, for example `choose another --out`.
    """
    reason = error.strerror or str(error) or type(error).__name__
    if isinstance(what, str) and error.filename is not None:
        reason += f" ({error.filename})"
    help_text = _HELP.get(error.errno or 0)
    return f"{what} cannot be written: {reason}; {f'{help_text}, or ' if help_text else ''}{otherwise}"
