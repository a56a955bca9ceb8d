"""End a backend's process when its server is gone, whoever else was to do it."""

from __future__ import annotations

import faulthandler
import os
import threading
import time

INTERVAL_S = 1.0

STUCK_S = 60.0
"""A process whose server is gone may wait inside C++ with the interpreter locked; no thread of Python runs then."""


def exit_with_parent() -> None:
    """Watch the parent process from a thread of its own and exit when it is gone.

    The supervisor stops the whole tree; this is for the case that it was killed too. The kernel's own signal
    for it (PR_SET_PDEATHSIG) follows the thread that forked, and Triton's ends as soon as models are loaded.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            # Ends the process from a thread that needs no interpreter, unless it is set again in time.
            faulthandler.dump_traceback_later(STUCK_S, exit=True)
            time.sleep(INTERVAL_S)
        os._exit(1)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
