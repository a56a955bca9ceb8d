"""Which keys of a store a pattern finds: as a pattern of paths does, and in one listing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fsclient.photos.finding.photo_search import find_photos
from fsengine.errors import InvalidInputError

if TYPE_CHECKING:
    from s3_server import S3Server

KEYS = ["a.jpg", "2024/a.jpg", "2024/b.png", "2024/may/a.jpg", "2024/may/5/a.jpg", "2025/a.jpg", "2025/x/a.jpg"]


@pytest.mark.parametrize(
    "pattern",
    [
        *["*.jpg", "*/*.jpg", "**/*.jpg", "2024/**/*.jpg", "2024/**", "**", "**/**/a.jpg", "*/**/*.png", "**/may/**"],
        *["202?/a.jpg", "2024?a.jpg", "202[!4]/*", "2024[!x]a.jpg", "20*a.jpg", "2024/[a-b].*", "**/5/*"],
    ],
)
def test_a_pattern_finds_the_keys_that_it_would_find_as_paths(pattern: str, s3: S3Server, tmp_path: Path) -> None:
    for key in KEYS:
        s3.put(key, b"x")
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / key).write_bytes(b"x")
    root = f"s3://{s3.bucket}"

    def found(place: str) -> list[str]:
        try:
            return sorted(
                entry.source.removeprefix(f"{place}/") for entry in find_photos([f"{place}/{pattern}"]).entries
            )
        except InvalidInputError:
            return []

    in_folders = found(str(tmp_path))
    if "**" not in pattern:  # a folder that such a pattern finds is searched; a store knows no folders
        in_folders = [key for key in in_folders if key.count("/") == pattern.count("/")]
    assert found(root) == in_folders
