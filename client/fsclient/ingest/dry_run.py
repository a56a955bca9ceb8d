"""What an ingest would do, without doing it."""

from __future__ import annotations

import collections
import os
from dataclasses import dataclass

from fsclient.ingest.resume import find_inputs
from fsclient.ingest.settings import IngestConfig
from fsclient.photos.entry import FileEntry, InsideEntry, PhotoEntry
from fsclient.photos.finding.tally import Tally
from fsdata.results.ledger import Ledger, read_ledger
from fsengine.files.regular_file import open_regular
from fsengine.photo.signatures import sniff_format
from fsengine.terminal.messages import counted, printable

PHOTOS_A_SECOND_A_CORE = 5.0
"""Of the pack lite on a CPU: 10 on two cores; docs/background/performance.md."""

_HEAD_BYTES = 64
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What was found.

    Attributes:
        tally: What was found and left out.
        num_taken: Photos that the run would take, done or not.
        num_done: Photos that the folder of results has already.
        formats: The other photos by what their first bytes say; `unknown`, or `unreadable`.
        num_bytes: Of these, where they are known.
    """

    tally: Tally
    num_taken: int
    num_done: int
    formats: collections.Counter[str]
    num_bytes: int

    @property
    def num_photos(self) -> int:
        """Return how many photos would be scored."""
        return self.formats.total()


def dry_run(config: IngestConfig) -> DryRun:
    """Find what a run would score; nothing is written and no server is started.

    Raises:
        InvalidInputError: A source names nothing, or none of them holds a photo.
        ResultsError: The folder of results is damaged.
    """
    found = find_inputs(config)
    ledger = read_ledger(config.out) if config.out.is_dir() else None
    formats: collections.Counter[str] = collections.Counter()
    num_taken = num_done = num_bytes = 0
    for entry in found.entries:
        num_taken += 1
        if ledger is not None and _is_done(entry, ledger, config):
            num_done += 1
            continue
        if not isinstance(entry, FileEntry):
            formats[_kind(entry)] += 1
            num_bytes += max(entry.num_bytes, 0)
            continue
        try:
            with open_regular(entry.path) as file:
                num_bytes += os.fstat(file.fileno()).st_size
                formats[sniff_format(file.read(_HEAD_BYTES)) or "unknown"] += 1
        except OSError:
            formats["unreadable"] += 1
    return DryRun(tally=found.tally, num_taken=num_taken, num_done=num_done, formats=formats, num_bytes=num_bytes)


def _is_done(entry: PhotoEntry, ledger: Ledger, config: IngestConfig) -> bool:
    (row,) = ledger.rows_of([entry.source]).tolist()
    if row < 0:
        return False
    (status,) = ledger.statuses_at([row], [entry.state()])
    return status is not None and status not in config.retry_statuses


def _kind(entry: PhotoEntry) -> str:
    """Return where a photo lies that is no file; it is not read for its kind."""
    return "in shards or tables" if isinstance(entry, InsideEntry) else "in stores"


def dry_run_text(run: DryRun) -> str:
    """Return in words what a run would do."""
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in run.formats.most_common())
    lines = [
        f"{counted(run.num_photos, 'photo')} to score{f': {kinds}' if kinds else ''}; {run.num_bytes / 1e6:,.1f} MB"
    ]
    if run.num_done:
        lines.append(f"{run.num_done:,} are done already")
    if run.tally.num_found > run.num_taken:
        lines.append(f"{run.tally.num_found:,} photos were found, of which {run.num_taken:,} are taken")
    if skipped := run.tally.skipped_text:
        lines.append(f"skipped: {skipped}; --include PATTERN or --strict takes them")
    for source, reason in run.tally.unreadable[:_SHOWN]:
        lines.append(f"  {printable(source)}: {printable(reason)}")
    if run.tally.num_unreadable > _SHOWN:
        lines.append(f"  and {run.tally.num_unreadable - _SHOWN:,} more")
    cores = os.cpu_count() or 1
    seconds = run.num_photos / (PHOTOS_A_SECOND_A_CORE * cores)
    lines.append(
        f"about {_duration(seconds)} with the pack lite on the {counted(cores, 'core')} of this machine, at "
        f"{PHOTOS_A_SECOND_A_CORE:g} photos/s a core; `fsclient bench` measures yours"
    )
    lines.append("nothing was written: --dry-run")
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
