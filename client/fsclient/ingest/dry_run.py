"""What an ingest would do, without doing it."""

from __future__ import annotations

import collections
import os
from dataclasses import dataclass

from fsclient.ingest.resume import find_inputs, plan_ingest
from fsclient.ingest.settings import IngestConfig
from fsclient.photos.sources import FoundPhotos, skipped_text
from fsengine.files.regular_file import open_regular
from fsengine.photo.signatures import sniff_format
from fsengine.terminal.messages import counted, printable

PHOTOS_A_SECOND_A_CORE = 5.0
"""Of the pack lite on a CPU: 10 on two cores; docs/performance.md."""

_HEAD_BYTES = 64
_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    """What was found.

    Attributes:
        found: The photos, and what was left out.
        num_done: Photos that the folder of results has already.
        formats: The other photos by what their first bytes say; `unknown`, or `unreadable`.
        num_bytes: Of these.
    """

    found: FoundPhotos
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
    todo = plan_ingest(config, found.paths).todo if config.out.is_dir() else found.paths
    formats: collections.Counter[str] = collections.Counter()
    num_bytes = 0
    for path in todo:
        try:
            with open_regular(path) as file:
                num_bytes += os.fstat(file.fileno()).st_size
                formats[sniff_format(file.read(_HEAD_BYTES)) or "unknown"] += 1
        except OSError:
            formats["unreadable"] += 1
    return DryRun(found=found, num_done=len(found.paths) - len(todo), formats=formats, num_bytes=num_bytes)


def dry_run_text(run: DryRun) -> str:
    """Return in words what a run would do."""
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in run.formats.most_common())
    lines = [
        f"{counted(run.num_photos, 'photo')} to score{f': {kinds}' if kinds else ''}; {run.num_bytes / 1e6:,.1f} MB"
    ]
    if run.num_done:
        lines.append(f"{run.num_done:,} are done already")
    if run.found.num_found > len(run.found.paths):
        lines.append(f"{run.found.num_found:,} photos were found, of which {len(run.found.paths):,} are taken")
    if skipped := skipped_text(run.found.skipped_files, run.found.skipped_folders):
        lines.append(f"skipped: {skipped}; --include PATTERN or --strict takes them")
    for source, reason in run.found.unreadable[:_SHOWN]:
        lines.append(f"  {printable(source)}: {printable(reason)}")
    if len(run.found.unreadable) > _SHOWN:
        lines.append(f"  and {len(run.found.unreadable) - _SHOWN:,} more")
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
