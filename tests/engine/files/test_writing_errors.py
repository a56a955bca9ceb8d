"""What helps against an error of the file system is said of that error alone."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from fsengine.files.writing_errors import unwritable


@pytest.mark.parametrize(
    ("number", "help_text"),
    [
        (errno.ENOSPC, "make room, or choose another folder"),
        (errno.EDQUOT, "make room, or choose another folder"),
        (errno.EACCES, "give yourself the right to write there, or choose another folder"),
        (errno.EROFS, "make the file system writable, or choose another folder"),
        (errno.ENOTDIR, "choose another folder"),
        (errno.ESTALE, "choose another folder"),
    ],
    ids=errno.errorcode.get,
)
def test_room_is_asked_for_where_there_is_none(number: int, help_text: str) -> None:
    error = OSError(number, os.strerror(number))
    assert unwritable(Path("/a/b"), error, "choose another folder") == (
        f"/a/b cannot be written: {os.strerror(number)}; {help_text}"
    )


def test_an_error_without_a_number_has_its_own_words() -> None:
    assert unwritable(Path("/a"), OSError("odd"), "try again") == "/a cannot be written: odd; try again"
    assert unwritable(Path("/a"), OSError(), "try again") == "/a cannot be written: OSError; try again"


def test_words_for_a_file_come_with_its_path() -> None:
    error = OSError(errno.ENOSPC, "full", "/cache/plan")
    assert unwritable("the plan", error, "wait") == "the plan cannot be written: full (/cache/plan); make room, or wait"
