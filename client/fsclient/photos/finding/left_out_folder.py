"""The folder that a search leaves out, that of the results, however it is reached."""

from __future__ import annotations

import os
from pathlib import Path


class LeftOutFolder:
    """Knows the folder, and what lies in it, by its device and inode: it may be spelled in many ways."""

    def __init__(self, folder: Path | None) -> None:
        """Look at the folder; None for none, and one that is not there holds nothing."""
        self._identity = None if folder is None else identity_of(os.fsencode(folder))
        self._known: dict[bytes, bool] = {}

    def is_it(self, identity: tuple[int, int] | None) -> bool:
        """Return whether a folder is the one that is left out; see `identity_of`."""
        return identity is not None and identity == self._identity

    def holds(self, real: bytes) -> bool:
        """Return whether a folder, given by its real path, is the one that is left out, or lies in it."""
        if self._identity is None:
            return False
        unknown = []
        answer = False
        while real not in self._known:
            unknown.append(real)
            parent = os.path.split(real)[0]
            if (answer := self.is_it(identity_of(real))) or parent == real:
                break
            real = parent
        else:
            answer = self._known[real]
        self._known.update(dict.fromkeys(unknown, answer))
        return answer


def identity_of(path: bytes) -> tuple[int, int] | None:
    """Return what tells a folder from every other, whatever it is called; None where it is not there."""
    try:
        info = os.stat(path)
    except OSError:
        return None
    return info.st_dev, info.st_ino
