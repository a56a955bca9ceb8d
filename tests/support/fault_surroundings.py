"""What all scenarios of faults share: a server, a store, the ways to both, photos, and their undisturbed rows."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fault_places import Photos, Rows
from forwarded_server import ForwardedServer
from restartable_server import RestartableServer

if TYPE_CHECKING:
    from faulty_proxy import FaultyProxy
    from s3_server import S3Server


@dataclass(kw_only=True)
class Surroundings:
    """What all scenarios share.

    Attributes:
        command: How `fsclient` is started.
        server: What scores.
        to_server: The way to it, which can be cut.
        store: The store, which is read here past all faults.
        proxy: What breaks requests to it.
        to_store: The way to the proxy, which can be cut.
        photos: The photos.
        expected: Their rows after an undisturbed run.
        run_s: How long that took.
        exit_code: How it ended.
    """

    command: list[str]
    server: RestartableServer
    to_server: ForwardedServer
    store: S3Server
    proxy: FaultyProxy
    to_store: ForwardedServer
    photos: Photos
    expected: Rows = field(default_factory=dict)
    run_s: float = 0.0
    exit_code: int = 0

    def environment(self, temporary: Path) -> dict[str, str]:
        """Return the variables of a client whose temporary files go to a folder."""
        store = self.store.environment(f"http://127.0.0.1:{self.to_store.port}")
        return {**os.environ, **store, "TMPDIR": str(temporary), "PYTHONFAULTHANDLER": "1"}
