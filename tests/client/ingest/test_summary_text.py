from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa

from fsclient.ingest.reporting.summary import IngestSummary
from fsclient.ingest.reporting.summary_text import summary_text
from fsclient.photos.finding.tally import Tally
from fsclient.testing import ensemble
from fsdata.results.rows import PhotoFile, PhotoRow, rows_table
from fsdata.results.schema import part_schema
from fsdata.results.status import Status


def failed(name: str, reason: str = "cannot be read") -> pa.Table:
    file = PhotoFile(source=name, num_bytes=1, mtime_ns=1, content_hash=None)
    return rows_table([PhotoRow(photo=file, status=Status.FAILED, reason=reason)], part_schema(ensemble()), "set-1")


def test_the_first_five_failures_are_named_with_their_reasons() -> None:
    summary = IngestSummary(served=None, num_inputs=8, num_done_before=1, earlier_statuses=Counter({Status.CORRUPT: 1}))
    for number in range(7):
        summary.count(failed(f"/photos/{number}.jpg", f"reason {number}"))
    said = summary_text(summary, Path("/out"))
    assert "7 photos could not be scored:\n  /photos/0.jpg: failed: reason 0\n" in said
    assert "  /photos/4.jpg: failed: reason 4\n  and 2 more: fsclient table info /out --failures\n" in said
    assert "/photos/5.jpg" not in said
    assert "1 photo could not be scored in earlier runs: fsclient table info /out --failures" in said
    assert summary.exit_code == 3


def test_names_cannot_command_the_terminal() -> None:
    summary = IngestSummary(served=None, num_inputs=2, unfinished=[("/photos/\x1b[2Jb.jpg", "away\x07")])
    summary.count(failed("/photos/a\n0 photos failed\x1b]0;title\x07\u202e.jpg", "bad\rname"))
    said = summary_text(summary, Path("/out"))
    assert "/photos/a\\n0 photos failed\\x1b]0;title\\x07\\u202e.jpg: failed: bad\\rname" in said
    assert "/photos/\\x1b[2Jb.jpg: away\\x07" in said
    assert "1 photo is unfinished" in said


def test_unreadable_folders_give_the_exit_code_of_failures() -> None:
    summary = IngestSummary(
        served=None,
        num_inputs=0,
        tally=Tally(unreadable=[("/photos/closed", "Permission denied")], num_unreadable=1, is_complete=True),
    )
    assert summary.exit_code == 3
    assert "1 source could not be searched for photos:\n  /photos/closed: Permission denied" in summary_text(
        summary, Path("/out")
    )
