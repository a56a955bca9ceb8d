"""How many connections a process may have."""

from __future__ import annotations

import contextlib
import resource

_ENOUGH = 65536


def allow_many_files() -> None:
    """Let this process have as many connections as the machine allows it, 65,536 at most; each is an open file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if wanted > soft:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
