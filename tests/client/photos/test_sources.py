from __future__ import annotations

import os
import socket
from collections import Counter
from pathlib import Path

import pytest

from fsclient.photos.finding.photo_search import FoundPhotos, find_photos
from fsclient.photos.source_rules import SourceRules
from fsdata.results.source import source_path, source_text
from fsengine.errors import InvalidInputError

STRICT = SourceRules(strict=True)
JPEG = b"\xff\xd8\xff\xe0"

unprivileged = pytest.mark.skipif(os.geteuid() == 0, reason="root may list every folder")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.jpg", "a.png", "deep/er/c.jpg", "deep/notes.txt", ".hidden"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


def write(folder: Path, *names: str, content: bytes = b"x") -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def names(found: FoundPhotos, folder: Path) -> list[str]:
    return [os.path.relpath(os.fsdecode(path), folder) for path in found.paths]


def test_a_folder_gives_every_file_below_it_in_a_stable_order(tree: Path) -> None:
    everything = [".hidden", "a.png", "b.jpg", "deep/notes.txt", "deep/er/c.jpg"]
    assert names(find_photos([str(tree)], rules=STRICT), tree) == everything
    assert names(find_photos([str(tree)]), tree) == ["a.png", "b.jpg", "deep/er/c.jpg"]


def test_a_file_named_twice_counts_once(tree: Path) -> None:
    assert len(find_photos([str(tree / "a.png"), str(tree), str(tree / "*.png")], rules=STRICT).paths) == 5


def test_a_source_reached_through_links_counts_once_and_its_files_before_links_to_them(tree: Path) -> None:
    (tree / "b_link.jpg").symlink_to("deep/er/c.jpg")
    (tree / "a_link.jpg").symlink_to("b.jpg")
    (tree.parent / "linked").symlink_to(tree)
    found = find_photos([str(tree.parent / "linked"), str(tree), f"{tree}/deep/../*.jpg", str(tree / "b_link.jpg")])
    assert names(found, tree.parent / "linked") == ["a.png", "b.jpg", "deep/er/c.jpg"]
    assert found.tally.skipped_files == {"hidden": 1, "text": 1, "link to a photo that is taken": 2}
    assert names(find_photos([str(tree / "b_link.jpg")]), tree) == ["b_link.jpg"]


def test_patterns_go_down_folders(tree: Path) -> None:
    assert names(find_photos([f"{tree}/**/*.jpg"]), tree) == ["b.jpg", "deep/er/c.jpg"]
    assert names(find_photos([f"{tree}/**"]), tree) == ["a.png", "b.jpg", "deep/er/c.jpg"]
    assert names(find_photos([f"{tree}/d*/**/c.*"]), tree) == ["deep/er/c.jpg"]
    assert names(find_photos([f"{tree}/d*"]), tree) == ["deep/er/c.jpg"]
    assert names(find_photos([f"{tree}/*/"]), tree) == ["deep/er/c.jpg"]
    assert names(find_photos([f"{tree}/*/er/[a-c].jpg"]), tree) == ["deep/er/c.jpg"]


def test_patterns_below_the_current_folder_and_below_the_root_are_found(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree)
    assert names(find_photos(["*.png", "./d*/**/*.jpg"]), tree) == ["a.png", "deep/er/c.jpg"]
    first = str(tree)[1]
    assert names(find_photos([f"/[{first}]{str(tree)[2:]}/*.png"]), tree) == ["a.png"]


def test_the_folder_of_results_is_left_out(tree: Path) -> None:
    assert names(find_photos([str(tree)], skip=tree / "deep", rules=STRICT), tree) == [".hidden", "a.png", "b.jpg"]


def test_the_folder_of_results_is_left_out_however_it_is_reached(tree: Path) -> None:
    write(tree, "out/part-000001.parquet", "out/_table/faces.parquet", "out/_crops/1.jpg", "out/.facestats.lock")
    write(tree, "out/.refresh-set-1/part-000001.parquet")
    (tree.parent / "elsewhere").symlink_to(tree / "out")
    (tree / "crop.jpg").symlink_to(tree / "out" / "_crops" / "1.jpg")
    photos = ["a.png", "b.jpg", "deep/er/c.jpg"]
    for skip in (tree / "out", tree.parent / "elsewhere", tree / "deep" / ".." / "out"):
        for source in (str(tree), f"{tree}/**", f"{tree}/**/*.*"):
            assert names(find_photos([source], skip=skip), tree) == photos
            assert not [name for name in names(find_photos([source], skip=skip, rules=STRICT), tree) if "out" in name]
        for source in ("elsewhere", "elsewhere/_crops", "elsewhere/_crops/1.jpg"):
            assert find_photos([str(tree.parent / source)], skip=skip, rules=STRICT).paths == []


@pytest.mark.parametrize("argument", ["missing.jpg", "missing", "*.gif", "missing/*.jpg"])
def test_what_names_nothing_is_refused_with_its_name(tree: Path, argument: str) -> None:
    with pytest.raises(InvalidInputError, match=argument.replace("*", r"\*")):
        find_photos([str(tree / argument)])


@pytest.mark.parametrize("argument", ["Zoë/1.jpg", "Zoë", "Zoë/*.jpg"])
def test_a_name_in_another_unicode_form_is_hinted_at(tmp_path: Path, argument: str) -> None:
    write(tmp_path, "Zoe\u0308/1.jpg")
    with pytest.raises(InvalidInputError, match=r"another Unicode form is there: '.*Zoe\\u0308"):
        find_photos([str(tmp_path / argument)])
    with pytest.raises(InvalidInputError) as caught:
        find_photos([str(tmp_path / "Zoe" / "1.jpg")])
    assert "Unicode" not in str(caught.value)


def test_a_link_to_a_parent_folder_does_not_loop(tree: Path) -> None:
    (tree / "deep" / "up").symlink_to(tree)
    (tree / "itself.jpg").symlink_to("itself.jpg")
    found = find_photos([str(tree)], rules=STRICT)
    assert len(found.paths) == 6
    assert found.tally.skipped_folders == {"link to a folder": 1}


@pytest.mark.parametrize("form", ["{}", "{}/**", "{}/*/*.jpg", "{}/**/*.jpg"])
def test_a_folder_that_cannot_be_listed_is_named_and_the_rest_is_found(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "a/1.jpg", "closed/2.jpg", "z/3.jpg")
    scandir = os.scandir

    def refuse(folder: bytes) -> object:
        if os.path.basename(folder) == b"closed":
            raise PermissionError(13, "Permission denied", folder)
        return scandir(folder)

    # Root may list every folder, so that a mode would not do.
    monkeypatch.setattr(os, "scandir", refuse)
    found = find_photos([form.format(tmp_path)])
    assert names(found, tmp_path) == ["a/1.jpg", "z/3.jpg"]
    assert found.tally.unreadable == [(str(tmp_path / "closed"), "the folder cannot be read: Permission denied")]


@unprivileged
def test_a_file_below_a_closed_folder_is_named(tmp_path: Path) -> None:
    write(tmp_path, "closed/2.jpg")
    (tmp_path / "closed").chmod(0)
    assert find_photos([str(tmp_path / "closed" / "2.jpg")]).tally.unreadable
    (tmp_path / "closed").chmod(0o700)


def test_what_is_no_file_is_skipped_and_never_waited_for(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    os.mkfifo(tmp_path / ".pipe")
    (tmp_path / "null.txt").symlink_to("/dev/null")
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        found = find_photos([str(tmp_path)])
    assert names(found, tmp_path) == ["a.jpg", "gone.jpg"]
    assert found.tally.skipped_files == {"pipe, socket or device": 4}
    assert len(find_photos([str(tmp_path)], rules=STRICT).paths) == 6
    assert names(find_photos([str(tmp_path / "pipe.jpg")]), tmp_path) == ["pipe.jpg"]


def test_what_is_no_photo_by_name_and_bytes_is_skipped_and_counted(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", "no_suffix", "film.gif", "raw.cr2")
    write(tmp_path, ".DS_Store", "._a.jpg", "Thumbs.db", "desktop.ini", "a.XMP", "a.aae", "a.json", "notes.txt")
    write(tmp_path, "labels.csv", "a.MOV", "a.mp3", "a.zip", "doc.pdf", content=b"%PDF-1.7")
    write(tmp_path, "really.txt", ".really", "also.mp4", content=JPEG)
    write(tmp_path, "@eaDir/a.jpg", "#recycle/a.jpg", ".thumbnails/a.jpg", ".Trash-1000/files/a.jpg", "sub/.git/a.jpg")
    write(tmp_path, "$RECYCLE.BIN/a.jpg", "System Volume Information/a", "__MACOSX/a.jpg", "lost+found/a")
    found = find_photos([str(tmp_path)])
    assert names(found, tmp_path) == [
        ".really", "a.jpg", "also.mp4", "film.gif", "no_suffix", "raw.cr2", "really.txt",
    ]  # fmt: skip
    kinds = {"hidden": 2, "system file": 2, "side-car": 3, "text": 2, "table": 1, "video": 1, "audio": 1, "archive": 1}
    assert found.tally.skipped_files == kinds
    assert found.tally.skipped_folders == {
        "hidden": 3, "@eaDir": 1, "#recycle": 1, "$RECYCLE.BIN": 1, "System Volume Information": 1, "__MACOSX": 1,
        "lost+found": 1,
    }  # fmt: skip
    assert "13 files (3 side-car" in found.tally.skipped_text
    strict = find_photos([str(tmp_path)], rules=STRICT)
    assert len(strict.paths) == sum(len(files) for _, _, files in os.walk(tmp_path))
    assert not strict.tally.skipped_files
    assert not strict.tally.skipped_folders


def test_taken_and_skipped_are_all_files_in_whatever_order_they_are_named(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", "notes.txt", "more.txt", ".hidden/b.jpg")
    notes, hidden = str(tmp_path / "notes.txt"), str(tmp_path / ".hidden")
    for sources in ([str(tmp_path), notes, hidden], [hidden, notes, str(tmp_path)]):
        found = find_photos(sources)
        assert sorted(names(found, tmp_path)) == [".hidden/b.jpg", "a.jpg", "notes.txt"]
        assert (found.tally.skipped_files, found.tally.skipped_folders) == (Counter(text=1), Counter())


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"include": ("*.txt",)}, ["a.jpg", "notes.txt", "sub/c.png", "sub/more.txt"]),
        ({"include": ("sub/*",)}, ["a.jpg", "sub/c.png", "sub/more.txt"]),
        ({"include": (".private",)}, ["a.jpg", ".private/d.jpg", "sub/c.png"]),
        ({"include": (".private/*",)}, ["a.jpg", ".private/d.jpg", "sub/c.png"]),
        ({"exclude": ("*.png",)}, ["a.jpg"]),
        ({"exclude": ("sub",)}, ["a.jpg"]),
        ({"exclude": ("sub/*",)}, ["a.jpg"]),
        ({"exclude": ("*.jpg",), "include": ("*.txt", "a.jpg")}, ["notes.txt", "sub/c.png", "sub/more.txt"]),
        ({"exclude": ("*.txt",), "strict": True}, ["a.jpg", ".private/d.jpg", "sub/c.png"]),
    ],
)
def test_patterns_of_the_user_win(tmp_path: Path, rules: dict[str, tuple[str, ...]], expected: list[str]) -> None:
    write(tmp_path, "a.jpg", "notes.txt", "sub/c.png", "sub/more.txt", ".private/d.jpg")
    found = find_photos([str(tmp_path)], rules=SourceRules(**rules))  # type: ignore[arg-type]
    assert names(found, tmp_path) == expected


def test_a_named_file_is_taken_unless_it_is_excluded(tmp_path: Path) -> None:
    write(tmp_path, "notes.txt")
    assert len(find_photos([str(tmp_path / "notes.txt")]).paths) == 1
    excluded = find_photos([str(tmp_path / "notes.txt")], rules=SourceRules(exclude=("*.txt",)))
    assert (excluded.paths, excluded.tally.skipped_files) == ([], {"excluded": 1})


@pytest.mark.parametrize("path", [b"/a/plain.jpg", "/a/größe.jpg".encode(), b"/a/\xff.jpg", b"/a/%41\xfe#?.jpg"])
def test_every_name_comes_back_from_its_text(path: bytes) -> None:
    text = source_text(path)
    assert text.encode("utf-8")
    assert source_path(text) == path


def test_only_a_name_that_is_not_utf8_becomes_a_uri() -> None:
    assert source_text(b"/a/b c.jpg") == "/a/b c.jpg"
    assert source_text(b"/a/\xff.jpg") == "file:///a/%FF.jpg"
