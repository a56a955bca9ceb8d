"""A search gives photos as it goes, and holds little of what it found."""

from __future__ import annotations

import io
import itertools
import os
import random
import shutil
import stat
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsclient.photos.finding.photo_search import PhotoSearch
from fsclient.photos.source_rules import SourceRules
from fsengine.errors import InvalidInputError

NUM_NAMES = 300_000


@pytest.fixture(scope="module")
def crowded() -> Iterator[Path]:
    """A folder of 300,000 empty photos, in memory where that can be had."""
    memory = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None))
    try:
        for number in range(NUM_NAMES):
            os.mknod(f"{folder}/{number:06d}.jpg", stat.S_IFREG | 0o600)
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize("pattern", ["", "/*.jpg"])
def test_a_crowded_folder_gives_its_first_photo_before_its_last_name_is_read(crowded: Path, pattern: str) -> None:
    search = PhotoSearch([f"{crowded}{pattern}"])
    entries = iter(search)
    first = next(entries)
    assert first.source.startswith(f"{crowded}/")
    assert os.fspath(crowded) in open_files()
    del entries
    assert os.fspath(crowded) not in open_files()


def open_files() -> set[str]:
    return {os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")}


def test_a_crowded_folder_takes_little_memory(crowded: Path) -> None:
    searches = """
import resource, sys
from fsclient.photos.finding.photo_search import PhotoSearch

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
num_found = sum(1 for _ in PhotoSearch(sys.argv[1:]))
print(num_found, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""
    ran = subprocess.run(
        [sys.executable, "-c", searches, crowded, crowded / "000001.jpg"], capture_output=True, text=True, check=True
    )
    num_found, megabytes = map(int, ran.stdout.split())
    assert num_found == NUM_NAMES
    assert megabytes < 70  # the names that are sorted together, and 16 bytes for each that was given


def test_shards_are_opened_one_after_the_other(tmp_path: Path) -> None:
    for number in range(3):
        with tarfile.open(tmp_path / f"{number}.tar", "w") as tar:
            for name in ("a.jpg", "b.jpg"):
                tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    search = PhotoSearch([f"{tmp_path}/{{0..2}}.tar"])
    entries = iter(search)
    found = [next(entries).source[-7:]]
    (tmp_path / "1.tar").write_bytes(b"")
    (tmp_path / "2.tar").unlink()
    found += [entry.source[-7:] for entry in entries]
    assert found == ["r!a.jpg", "r!b.jpg"]
    (empty, first), (gone, second) = search.tally.unreadable
    assert (empty[-5:], gone[-5:]) == ("1.tar", "2.tar")
    assert "it is empty" in first
    assert "does not exist" in second
    with pytest.raises(InvalidInputError, match=r"2\.tar"):
        PhotoSearch([f"{tmp_path}/{{0..2}}.tar"])


def test_a_missing_source_is_refused_before_another_is_searched(crowded: Path) -> None:
    started = time.perf_counter()
    with pytest.raises(InvalidInputError, match="missing"):
        PhotoSearch([str(crowded), "/missing"])
    assert time.perf_counter() - started < 0.1


def test_a_list_is_read_as_its_photos_are_taken(tmp_path: Path) -> None:
    photo = tmp_path / "a.jpg"
    photo.touch()
    given: list[int] = []

    def endless() -> Iterator[bytes]:
        for number in itertools.count():
            given.append(number)
            link = tmp_path / f"{number}.jpg"
            os.link(photo, link)
            yield os.fsencode(link)

    found = list(PhotoSearch([], listed=endless(), rules=SourceRules(limit=5)))
    assert (len(found), len(given)) == (5, 5)


def test_what_is_found_does_not_follow_the_way_that_it_is_asked_for(tmp_path: Path) -> None:
    """Folders of every shape: a folder, its pattern and its list of names give the same photos."""
    draw = random.Random(2)
    folders = [tmp_path]
    for number in range(60):
        folder = draw.choice(folders)
        if draw.random() < 0.3:
            folders.append(folder / f"d{number}")
            folders[-1].mkdir()
        elif draw.random() < 0.2:
            (folder / f"l{number}.jpg").symlink_to(draw.choice(folders) / "0.jpg")
        else:
            (folder / f"{draw.choice('abc{}[]*?')}{number}.{draw.choice(['jpg', 'txt', 'png', 'tar'])}").touch()
    sources = [entry.source for entry in PhotoSearch([str(tmp_path)])]
    assert len(set(sources)) == len(sources) > 10
    for arguments in (
        [f"{tmp_path}/**"],
        [str(tmp_path), f"{tmp_path}/**/*.jpg"],
        [f"{tmp_path}/**/*.png", str(tmp_path)],
    ):
        assert sorted(entry.source for entry in PhotoSearch(arguments)) == sorted(sources)
    listed = PhotoSearch([], listed=[source.encode() for source in sources])
    assert sorted(entry.source for entry in listed) == sorted(sources)
    assert sorted(entry.source for entry in PhotoSearch(sources)) == sorted(sources)
