"""A token in another process's arguments is overwritten where the list of processes reads it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from fsengine.server.access.token import hide_in_command_line

TIMEOUT_S = 10.0
TOKEN = "0123456789abcdef.~+/-_XYZ"


@contextlib.contextmanager
def waiting_with(*arguments: str) -> Iterator[int]:
    program = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with subprocess.Popen([*program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.communicate(timeout=TIMEOUT_S)


def test_a_token_leaves_the_list_of_processes_and_nothing_else_does() -> None:
    with waiting_with("--one=1", f"--grpc=a:token={TOKEN}", f"--http=a:token={TOKEN}", "--last=2") as pid:
        listed = Path(f"/proc/{pid}/cmdline")
        before = listed.read_text()
        assert before.count(TOKEN) == 2
        assert hide_in_command_line(pid, TOKEN)
        assert listed.read_text() == before.replace(TOKEN, "*" * len(TOKEN))


def test_where_it_cannot_be_hidden_that_is_told() -> None:
    with subprocess.Popen(["true"]) as ended:
        ended.wait(TIMEOUT_S)
    assert not hide_in_command_line(ended.pid, TOKEN)
