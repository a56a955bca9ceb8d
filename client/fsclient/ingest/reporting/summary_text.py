"""What a run of `ingest` tells people at its end."""

from __future__ import annotations

import shlex

from fsclient.ingest.reporting.summary import MOST_FAILURES, IngestSummary
from fsdata.results.status import SCORED, Status
from fsengine.files.stores.store_path import AnyPath
from fsengine.terminal.messages import counted, printable

_SHOWN = 5


def summary_text(summary: IngestSummary, out: AnyPath, program: str = "fsclient") -> str:
    """Return the summary of a run: counts, speed, failures, marks, where the result lies and what to type next.

    Args:
        summary: The run.
        out: Folder of the parts.
        program: How the user calls this program.
    """
    done = summary.all_statuses
    folder = shlex.quote(str(out))
    lines = [] if summary.refreshed is None else [summary.refreshed]
    statuses = ", ".join(f"{done[status]} {status.value}" for status in Status if done[status])
    lines.append(": ".join(filter(None, (counted(summary.num_inputs, "photo"), statuses))))
    if summary.num_done_before:
        lines.append(f"{summary.num_done_before} of them were done before, {summary.num_rows} now")
    lines += _changes(summary)
    if summary.num_rows:
        speed = summary.num_rows / summary.seconds if summary.seconds else 0.0
        lines.append(f"{counted(summary.num_faces, 'face')} in {summary.seconds:.1f} s, {speed:.1f} photos/s")
    if summary.tally.num_found > summary.num_inputs and summary.tally.is_complete and not summary.num_left:
        lines.append(f"{summary.tally.num_found:,} photos were found, of which {summary.num_inputs:,} were taken")
    if skipped := summary.tally.skipped_text:
        lines.append(f"skipped: {skipped}; --include PATTERN or --strict takes them")
    lines += _failures(summary, f"{program} table info {folder} --failures")
    if summary.num_truncated:
        have = "photo has" if summary.num_truncated == 1 else "photos have"
        lines.append(f"{summary.num_truncated:,} {have} more faces than the pack's limit (column faces_truncated)")
    if summary.num_left:
        are = "photo is" if summary.num_left == 1 else "photos are"
        lines.append(f"{summary.num_left:,} {are} unfinished; run the same command again to go on")
        lines += [f"  {printable(source)}: {printable(reason)}" for source, reason in summary.unfinished[:_SHOWN]]
    if not summary.is_searched and not summary.interrupted:
        lines.append("the sources were not searched to their end; run the same command again to go on")
    if summary.num_gone:
        are = "photo that is" if summary.num_gone == 1 else "photos that are"
        lines.append(f"the results hold {summary.num_gone:,} {are} gone; {program} table prune {folder} drops them")
    if summary.served is not None and summary.served.models.marks_text:
        lines.append(f"note: results are marked ({summary.served.models.marks_text})")
    lines.append(f"parts: {printable(str(out.absolute()))}")
    lines.append(f"next: {program} table build {folder} && {program} table info {folder}")
    return "\n".join(lines)


def _changes(summary: IngestSummary) -> list[str]:
    """Say what became of photos whose files are not as an earlier run found them."""
    lines = []
    if summary.num_kept:
        was = "photo was" if summary.num_kept == 1 else "photos were"
        lines.append(
            f"{summary.num_kept:,} {was} touched since, with the same content: the rows were kept, with the new time"
        )
    if summary.num_changed:
        was = "photo was" if summary.num_changed == 1 else "photos were"
        lines.append(f"{summary.num_changed:,} {was} changed since an earlier run and had to be scored again")
    return lines


def _failures(summary: IngestSummary, command: str) -> list[str]:
    """Name what could not be scored or searched: the first of each, with reasons."""
    lines = []
    num_failed = sum(number for status, number in summary.statuses.items() if status not in SCORED)
    num_before = sum(number for status, number in summary.earlier_statuses.items() if status not in SCORED)
    if num_failed:
        lines.append(f"{counted(num_failed, 'photo')} could not be scored:")
        lines += [f"  {printable(s)}: {status.value}: {printable(reason)}" for s, status, reason in summary.failures]
        if num_failed > MOST_FAILURES:
            lines.append(f"  and {num_failed - MOST_FAILURES:,} more: {command}")
    if num_before:
        lines.append(f"{counted(num_before, 'photo')} could not be scored in earlier runs: {command}")
    if summary.unreadable:
        lines.append(f"{counted(summary.tally.num_unreadable, 'source')} could not be searched for photos:")
        lines += [f"  {printable(source)}: {printable(reason)}" for source, reason in summary.unreadable[:_SHOWN]]
        if summary.tally.num_unreadable > _SHOWN:
            lines.append(f"  and {summary.tally.num_unreadable - _SHOWN:,} more")
    return lines
