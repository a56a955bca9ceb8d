"""Where commands may write: over nothing that they read, and over nothing that is no file."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from fsengine.errors import InvalidInputError
from fsengine.files.output_path import OutputPaths


def refused(path: Path) -> str:
    with pytest.raises(InvalidInputError) as caught:
        OutputPaths([], overwrite=True).check(path)
    return str(caught.value)


def test_pipes_devices_and_sockets_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(tmp_path / "socket"))
        for path in (tmp_path / "pipe", tmp_path / "socket", tmp_path / "link", Path("/dev/null")):
            assert "expected a file" in refused(path)


def test_names_that_no_file_can_have_are_refused_before_the_work(tmp_path: Path) -> None:
    assert "too long" in refused(tmp_path / ("n" * 250))
    assert "too long" in refused(tmp_path / "/".join(["folder"] * 900))
    assert "no path" in refused(tmp_path / "a\0b")


def test_files_and_loose_links_are_replaced_where_that_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "loose").symlink_to("nowhere")
    (tmp_path / "file").write_text("old")
    paths = OutputPaths([], overwrite=True)
    for name in ("loose", "file"):
        paths.write(tmp_path / name, lambda path: path.write_text("new"))
        assert (tmp_path / name).read_text() == "new"
    assert not (tmp_path / "nowhere").exists()
