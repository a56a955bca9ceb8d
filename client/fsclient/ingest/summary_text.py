"""What a run of `ingest` tells people at its end."""

from __future__ import annotations

import shlex
from pathlib import Path

from fsclient.ingest.summary import IngestSummary
from fsdata.results.status import Status

_SHOWN_UNFINISHED = 5


def summary_text(summary: IngestSummary, out: Path, program: str = "fsclient") -> str:
    """Return the summary of a run: counts, speed, marks, where the result lies and what to type next.

    Args:
        summary: The run.
        out: Folder of the parts.
        program: How the user calls this program.
    """
    done = summary.all_statuses
    lines = [] if summary.refreshed is None else [summary.refreshed]
    lines += [f"{summary.num_inputs} photos: " + ", ".join(f"{done[s]} {s.value}" for s in Status if done[s])]
    if summary.num_done_before:
        lines.append(f"{summary.num_done_before} of them were done before, {summary.num_rows} now")
    if summary.num_rows:
        speed = summary.num_rows / summary.seconds if summary.seconds else 0.0
        lines.append(f"{summary.num_faces} faces in {summary.seconds:.1f} s, {speed:.1f} photos/s")
    if summary.num_truncated:
        lines.append(f"{summary.num_truncated} photos have more faces than the pack's limit (column faces_truncated)")
    if summary.num_left:
        lines.append(f"{summary.num_left} photos are unfinished; run the same command again to go on")
        lines += [f"  {source}: {reason}" for source, reason in summary.unfinished[:_SHOWN_UNFINISHED]]
    if summary.served is not None and summary.served.models.marks_text:
        lines.append(f"note: results are marked ({summary.served.models.marks_text})")
    lines.append(f"parts: {out.absolute()}")
    lines.append(f"next: {program} table build {shlex.quote(str(out))} && {program} table info {shlex.quote(str(out))}")
    return "\n".join(lines)
