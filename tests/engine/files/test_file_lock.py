"""A lock is one process's until it ends, however it ends."""

from __future__ import annotations

import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from fsengine.errors import FetchError, ResultsError
from fsengine.files.lock import file_lock

HOLDER = """
import sys, time
from pathlib import Path
from fsengine.errors import FetchError
from fsengine.files.lock import file_lock

with file_lock(Path(sys.argv[1]), busy=FetchError("busy"), unwritable=lambda exc: FetchError("unwritable")):
    print("held", flush=True)
    time.sleep(60)
"""


def held(lock: Path) -> AbstractContextManager[None]:
    return file_lock(lock, busy=ResultsError("busy"), unwritable=lambda exc: FetchError(f"unwritable: {exc.strerror}"))


def take(lock: Path) -> None:
    with held(lock):
        pass


def test_a_lock_is_held_until_its_process_is_killed(tmp_path: Path) -> None:
    lock = tmp_path / "new" / ".lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(lock)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(ResultsError, match="busy"):
            take(lock)
        holder.kill()
        holder.wait()
        take(lock)
    assert lock.is_file()


def test_the_same_process_does_not_get_it_twice_and_gets_it_again(tmp_path: Path) -> None:
    with pytest.raises(ResultsError) as refused, held(tmp_path / ".lock"):
        take(tmp_path / ".lock")
    assert str(refused.value) == "busy"
    take(tmp_path / ".lock")


def test_an_error_inside_is_no_error_of_the_lock(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="disk"), held(tmp_path / ".lock"):
        raise OSError("disk")
    take(tmp_path / ".lock")


def test_a_place_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FetchError, match=r"unwritable: (Not a directory|File exists)"):
        take(tmp_path / "file" / ".lock")
