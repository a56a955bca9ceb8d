"""Lists of photos, limits, samples, and what an ingest would do."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fsclient import Client
from fsclient.cli import main
from fsclient.photos.finding.photo_search import find_photos
from fsclient.photos.source_rules import SourceRules
from fsclient.testing import FakeBackend
from fsdata.results import open_results
from fsengine.errors import InvalidInputError
from fsengine.files.path_list import path_list, read_path_list


@pytest.fixture
def folder(photos: Path, tmp_path: Path) -> Path:
    """Ten photos, a text, and a photo below."""
    made = tmp_path / "photos"
    (made / "below").mkdir(parents=True)
    for number in range(10):
        shutil.copy(photos / "page.png", made / f"{number}.png")
    shutil.copy(photos / "hopper.jpg", made / "below" / "h.jpg")
    (made / "notes.txt").write_text("no photo")
    return made


def names(paths: list[bytes]) -> list[str]:
    return [os.path.basename(os.fsdecode(path)) for path in paths]


def dry(folder: Path, *words: str, stdin: bytes | None = None) -> Result:
    out = folder.parent / "results"
    return CliRunner().invoke(main, ["ingest", *words, "--out", str(out), "--dry-run"], input=stdin)


def test_a_limit_takes_the_first_and_a_sample_the_same_ones_each_time(folder: Path) -> None:
    found = find_photos([str(folder)], rules=SourceRules(limit=3))
    assert (names(found.paths), found.tally.num_found) == (["0.png", "1.png", "2.png"], 3)
    drawn = names(find_photos([str(folder)], rules=SourceRules(sample=4)).paths)
    assert drawn == names(find_photos([str(folder)], rules=SourceRules(sample=4)).paths)
    assert len(drawn) == 4
    assert drawn == [name for name in names(find_photos([str(folder)]).paths) if name in drawn]
    assert drawn != names(find_photos([str(folder)], rules=SourceRules(limit=4)).paths)
    assert len(find_photos([str(folder)], rules=SourceRules(sample=99)).paths) == 11
    for wrong in (0, -1, 1.5):
        with pytest.raises(InvalidInputError, match="whole number"):
            SourceRules(limit=wrong)  # type: ignore[arg-type]


def test_a_list_names_files_and_folders_and_nothing_of_it_is_a_pattern(folder: Path) -> None:
    odd = folder / "[a]*.png"
    shutil.copy(folder / "0.png", odd)
    listed = [os.fsencode(odd), os.fsencode(folder / "below"), os.fsencode(folder / "none.png"), b"/a\0b"]
    found = find_photos([], listed=listed)
    assert names(found.paths) == ["[a]*.png", "h.jpg"]
    assert found.tally.unreadable[0][0].endswith("none.png")
    assert len(found.tally.unreadable) == 2


def test_lists_are_read_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"/a b.jpg\r\n\n/\xff.jpg\n/last")
    assert read_path_list(str(path)) == [b"/a b.jpg", b"/\xff.jpg", b"/last"]
    path.write_bytes(b"/with\nline.jpg\0/b\0")
    assert read_path_list(str(path), null=True) == [b"/with\nline.jpg", b"/b"]
    with pytest.raises(InvalidInputError, match="--null"):
        read_path_list(str(path))
    for content, said in ((b"\n\n", "is empty"), (b"x" * 5000, "no path")):
        path.write_bytes(content)
        with pytest.raises(InvalidInputError, match=said):
            read_path_list(str(path))
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read_path_list(str(tmp_path / "none"))


def test_a_dry_run_counts_and_writes_nothing(folder: Path) -> None:
    done = dry(folder, str(folder))
    assert done.exit_code == 0, done.output
    assert "11 photos to score: 10 PNG, 1 JPEG" in done.output
    assert "skipped: 1 file (1 text)" in done.output
    assert "nothing was written" in done.output
    assert not (folder.parent / "results").exists()
    few = dry(folder, str(folder), "--sample", "5", "--limit", "2")
    assert "2 photos to score" in few.output
    assert "11 photos were found, of which 2 are taken" in few.output


def test_a_list_comes_from_stdin(folder: Path) -> None:
    listed = b"\n".join(os.fsencode(folder / name) for name in ("3.png", "gone.png")) + b"\n"
    done = dry(folder, "--from-file", "-", stdin=listed)
    assert done.exit_code == 0, done.output
    assert "1 photo to score: 1 PNG" in done.output
    assert "gone.png: cannot be read" in done.output
    assert "SOURCE" in dry(folder).output


def test_what_was_taken_is_scored_and_the_next_run_goes_on(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "results"
    with Client(backend=FakeBackend()) as client:
        first = client.ingest([folder], out=out, limit=4)
        assert first.num_inputs == 4
        client.ingest([], out=out, listed=[folder / "9.png"])
        assert open_results(out).num_photos == 5
        whole = client.ingest([folder], out=out)
    assert (whole.num_done_before, whole.num_rows) == (5, 6)
    assert dry(folder, str(folder)).output.startswith("0 photos to score")


def test_a_list_that_never_ends_or_never_begins_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name in (str(tmp_path / "fifo"), "/dev/zero", str(tmp_path)):
        with pytest.raises(InvalidInputError, match="cannot be read"):
            read_path_list(name)
    monkeypatch.setattr("fsengine.files.path_list.MOST_BYTES", 10)
    (tmp_path / "list").write_bytes(b"a.jpg\nb.jpg\n")
    with pytest.raises(InvalidInputError, match="larger than 10 bytes; split it"):
        read_path_list(str(tmp_path / "list"))


def test_a_list_over_stdin_is_not_cut_short(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsengine.files.path_list.MOST_BYTES", 10)
    refused = dry(folder, "--from-file", "-", stdin=b"a.jpg\nb.jpg\n")
    assert refused.exit_code == 2
    assert "larger than 10 bytes" in refused.output


def test_a_byte_order_mark_is_no_part_of_a_path(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes("\ufeffa.jpg\r\nb.jpg\r\n".encode())
    assert read_path_list(str(tmp_path / "list")) == [b"a.jpg", b"b.jpg"]


def test_null_without_a_list_is_refused(folder: Path) -> None:
    refused = dry(folder, str(folder), "--null")
    assert refused.exit_code == 2
    assert "--from-file" in refused.output


def test_a_stream_without_an_end_is_refused_when_that_shows(folder: Path) -> None:
    for byte, words, said in ((b"\0", (), "NUL"), (b"\0", ("--null",), "empty paths in a row"), (b"x", (), "line 1")):
        refused = dry(folder, "--from-file", "-", *words, stdin=byte * (3 << 20))
        assert refused.exit_code == 2
        assert said in refused.output


def test_a_list_that_is_written_is_read_again_as_it_was(tmp_path: Path) -> None:
    paths = [tmp_path / "a b.jpg", Path(os.fsdecode(b"/\xff.jpg")), tmp_path / ("x" * 250)]
    (tmp_path / "list").write_bytes(path_list(paths))
    assert list(map(os.fsdecode, read_path_list(str(tmp_path / "list")))) == list(map(str, paths))
    with pytest.raises(InvalidInputError, match="end of a line"):
        path_list([tmp_path / "a\nb.jpg"])


def test_a_list_in_utf_16_says_so(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes("a.jpg\n".encode("utf-16"))
    with pytest.raises(InvalidInputError, match="save it as UTF-8"):
        read_path_list(str(tmp_path / "list"))
