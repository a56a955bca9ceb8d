from __future__ import annotations

from fsclient.score.answer_text import photo_text
from fsclient.score.answers import scored_photo
from fsclient.testing import ensemble
from fsdata.results.rows import PhotoFile, PhotoRow
from fsdata.results.status import Status


def test_names_and_reasons_cannot_command_the_terminal() -> None:
    file = PhotoFile(source="/photos/a\nb\x1b[2J.jpg", num_bytes=1, mtime_ns=1, content_hash=None)
    row = PhotoRow(photo=file, status=Status.FAILED, reason="server said \x07")
    assert photo_text(scored_photo(row, ensemble().models)) == ("/photos/a\\nb\\x1b[2J.jpg: failed: server said \\x07")
