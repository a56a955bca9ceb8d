"""The ready file of servers: what of a killed one is removed, and what never is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fsengine.errors import InvalidInputError
from fsengine.files.ready_file import holding_address, remove_stale_ready_file


@pytest.mark.parametrize(
    "address", ["127.0.0.1:8001", "[::1]:8001", "localhost:1", "http://127.0.0.1:8080", "https://[::]:65535"]
)
def test_what_a_killed_server_left_is_removed(tmp_path: Path, address: str) -> None:
    left = tmp_path / "ready"
    remove_stale_ready_file(left)
    left.write_text(f"{address}\n")
    remove_stale_ready_file(left)
    assert not left.exists()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "\n",
        "keep me\n",
        "127.0.0.1:8001",
        "127.0.0.1:8001\n127.0.0.1:8002\n",
        "due at 10:30\n",
        "password:1234\nuser:1\n",
        "see http://127.0.0.1:80\n",
        "http://example.org/page\n",
        "127.0.0.1:8001\n" + "x" * 400,
    ],
)
def test_no_other_file_is_touched(tmp_path: Path, content: str) -> None:
    kept = tmp_path / "notes"
    kept.write_text(content)
    with pytest.raises(InvalidInputError, match="holds no address"):
        remove_stale_ready_file(kept)
    assert kept.read_text() == content


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / "nothing")
    for path in (tmp_path / "fifo", Path("/dev/zero"), Path("/dev/null"), tmp_path, tmp_path / "link"):
        with pytest.raises(InvalidInputError, match="--ready-file"):
            remove_stale_ready_file(path)
    with pytest.raises(InvalidInputError, match="there is no folder"):
        remove_stale_ready_file(tmp_path / "missing" / "ready")
    assert not (tmp_path / "missing").exists()


def test_it_is_there_as_long_as_the_server_and_no_longer(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with holding_address(ready, "127.0.0.1:8001"):
        assert ready.read_text() == "127.0.0.1:8001\n"
    assert not ready.exists()
    with holding_address(ready, "127.0.0.1:8001"):
        ready.write_text("127.0.0.1:9999\n")  # of another server that was started meanwhile
    assert ready.read_text() == "127.0.0.1:9999\n"
