"""Files that a user names, opened only where they are regular ones: a FIFO would wait for its writer without end."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

_NO_REGULAR_FILE = "it is no regular file (a pipe or a device)"


def open_regular(path: Path | str | bytes) -> BinaryIO:
    """Open a file for reading bytes; links are followed.

    Raises:
        OSError: It cannot be opened, or is a folder, a FIFO, a socket or a device; `strerror` says which.
    """
    # Without O_NONBLOCK opening a FIFO waits for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, _NO_REGULAR_FILE)
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise
