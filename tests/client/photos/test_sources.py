from __future__ import annotations

import os
from pathlib import Path

import pytest

from fsclient.photos.sources import find_photos
from fsdata.results.source import source_path, source_text
from fsengine.errors import InvalidInputError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.jpg", "a.png", "deep/er/c.jpg", "deep/notes.txt", ".hidden"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


def names(paths: list[bytes], folder: Path) -> list[str]:
    return [os.path.relpath(os.fsdecode(path), folder) for path in paths]


def test_a_folder_gives_every_file_below_it_in_a_stable_order(tree: Path) -> None:
    assert names(find_photos([str(tree)]), tree) == [".hidden", "a.png", "b.jpg", "deep/notes.txt", "deep/er/c.jpg"]


def test_a_file_named_twice_counts_once(tree: Path) -> None:
    assert len(find_photos([str(tree / "a.png"), str(tree), str(tree / "*.png")])) == 5


def test_patterns_go_down_folders(tree: Path) -> None:
    assert names(find_photos([f"{tree}/**/*.jpg"]), tree) == ["b.jpg", "deep/er/c.jpg"]


def test_the_folder_of_results_is_left_out(tree: Path) -> None:
    assert names(find_photos([str(tree)], skip=tree / "deep"), tree) == [".hidden", "a.png", "b.jpg"]


@pytest.mark.parametrize("argument", ["missing.jpg", "missing", "*.gif"])
def test_what_names_nothing_is_refused_with_its_name(tree: Path, argument: str) -> None:
    with pytest.raises(InvalidInputError, match=argument.replace("*", r"\*")):
        find_photos([str(tree / argument)])


def test_a_link_to_a_parent_folder_does_not_loop(tree: Path) -> None:
    (tree / "deep" / "up").symlink_to(tree)
    assert len(find_photos([str(tree)])) == 5


@pytest.mark.parametrize("path", [b"/a/plain.jpg", "/a/größe.jpg".encode(), b"/a/\xff.jpg", b"/a/%41\xfe#?.jpg"])
def test_every_name_comes_back_from_its_text(path: bytes) -> None:
    text = source_text(path)
    assert text.encode("utf-8")
    assert source_path(text) == path


def test_only_a_name_that_is_not_utf8_becomes_a_uri() -> None:
    assert source_text(b"/a/b c.jpg") == "/a/b c.jpg"
    assert source_text(b"/a/\xff.jpg") == "file:///a/%FF.jpg"
