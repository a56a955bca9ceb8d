"""Drawings never replace a photo or, unasked, any file, and one that cannot be made costs nobody the scores."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from fsclient.cli import main
from fsclient.score.answers import ScoredPhoto
from fsclient.score.draw import Drawings
from fsdata.results.source import source_text
from fsdata.results.status import Status
from fsengine.errors import InvalidInputError


def photo_at(path: Path, shade: int = 9) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (60, 40), (shade, shade, shade)).save(path)
    return path


def scored(path: Path) -> ScoredPhoto:
    return ScoredPhoto(
        source=source_text(os.fsencode(path)),
        status=Status.NO_FACE,
        reason=None,
        width=60,
        height=40,
        faces=(),
        faces_truncated=False,
        model_set_id="set-1",
        marks={"untrained weights": ["detect"]},
    )


def drawn(photos: list[Path], out: Path, *, overwrite: bool = False) -> dict[str, str | None]:
    drawings = Drawings([os.fsencode(photo) for photo in photos], out, overwrite=overwrite)
    return {path.name: failure for path, failure in drawings.draw(map(scored, photos))}


@pytest.mark.parametrize("spelling", ["same", "relative", "symbolic link", "hard link", "folder", "linked folder"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_photo_is_never_replaced(
    spelling: str, overwrite: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = photo_at(tmp_path / "photos" / "x.png")
    before = photo.read_bytes()
    monkeypatch.chdir(photo.parent)
    (tmp_path / "linked").symlink_to(photo.parent)
    (tmp_path / "y.png").symlink_to(photo)
    os.link(photo, tmp_path / "z.png")
    out = {
        "same": photo,
        "relative": Path("../photos/./x.png"),
        "symbolic link": tmp_path / "y.png",
        "hard link": tmp_path / "z.png",
        "folder": Path(),
        "linked folder": tmp_path / "linked",
    }[spelling]
    with pytest.raises(InvalidInputError, match=r"is one of the files that are read; choose another name"):
        Drawings([os.fsencode(photo)], out, overwrite=overwrite)
    assert photo.read_bytes() == before


def test_a_photo_given_as_a_link_protects_what_it_leads_to(tmp_path: Path) -> None:
    photo = photo_at(tmp_path / "x.png")
    link = tmp_path / "link.png"
    link.symlink_to(photo)
    with pytest.raises(InvalidInputError, match="one of the files that are read"):
        drawn([link], photo, overwrite=True)


def test_a_file_is_replaced_only_where_it_is_asked_for(tmp_path: Path) -> None:
    photos = [photo_at(tmp_path / "a" / "x.png"), photo_at(tmp_path / "b" / "y.png")]
    there = tmp_path / "out" / "y.png"
    there.parent.mkdir()
    there.write_text("precious")
    with pytest.raises(InvalidInputError, match=r"y\.png is there already; .*replace it with --overwrite"):
        drawn(photos, there.parent)
    assert [path.name for path in there.parent.iterdir()] == ["y.png"]
    assert drawn(photos, there.parent, overwrite=True) == {"x.png": None, "y.png": None}
    assert Image.open(there).getpixel((0, 0)) == (24, 24, 28)


def test_an_output_that_is_a_link_is_replaced_and_not_what_it_leads_to(tmp_path: Path) -> None:
    photo = photo_at(tmp_path / "x.png")
    precious = tmp_path / "precious.png"
    precious.write_text("precious")
    link = tmp_path / "out.png"
    for target in (precious, tmp_path / "nowhere.png"):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        with pytest.raises(InvalidInputError, match="is there already"):
            drawn([photo], link)
        assert drawn([photo], link, overwrite=True) == {"out.png": None}
        assert not link.is_symlink()
    assert precious.read_text() == "precious"
    assert not (tmp_path / "nowhere.png").exists()


def test_photos_of_one_name_get_different_drawings(tmp_path: Path) -> None:
    names = ["a/x.png", "b/x.jpg", "c/X.png", "d/x-1.png", "e/ä.png", "f/a\u0308.png"]
    photos = [photo_at(tmp_path / name) for name in names]
    found = drawn(photos, tmp_path / "out")
    assert list(found) == ["x.png", "x-1.png", "X-2.png", "x-1-1.png", "ä.png", "a\u0308-1.png"]
    assert set(found.values()) == {None}


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (
            "out.txt",
            r"out\.txt has no suffix of a picture that can be written; give a \.png or \.jpg file, or a folder",
        ),
        ("out", "has no suffix of a picture"),
        ("out.hdf", "that can be written"),
        ("file/out.png", r"file is no folder; choose another place"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is_scored(out: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInputError, match=message):
        drawn([photo_at(tmp_path / "x.png")], tmp_path / out)


def test_a_folder_of_a_name_in_the_way_is_named(tmp_path: Path) -> None:
    photos = [photo_at(tmp_path / "a" / "x.png"), photo_at(tmp_path / "b" / "y.png")]
    (tmp_path / "out" / "x.png").mkdir(parents=True)
    with pytest.raises(InvalidInputError, match=r"x\.png is a folder"):
        drawn(photos, tmp_path / "out", overwrite=True)


def test_a_file_that_comes_meanwhile_is_kept(tmp_path: Path) -> None:
    photo = photo_at(tmp_path / "x.png")
    out = tmp_path / "out.png"
    drawings = Drawings([os.fsencode(photo)], out, overwrite=False)
    out.write_text("precious")
    ((path, failure),) = drawings.draw([scored(photo)])
    assert path == out
    assert failure is not None
    assert "is there already" in failure
    assert out.read_text() == "precious"


def test_one_photo_that_cannot_be_drawn_stops_no_other(tmp_path: Path) -> None:
    photos = [photo_at(tmp_path / f"{name}.png") for name in "abc"]
    photos[1].write_bytes(photos[1].read_bytes()[:60])
    found = drawn(photos, tmp_path / "out")
    assert (found["a.png"], found["c.png"]) == (None, None)
    failure = found["b.png"]
    assert failure is not None
    assert str(photos[1]) in failure
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]


def score(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["score", *map(str, arguments)])


def test_the_command_refuses_before_it_starts_a_server(tmp_path: Path) -> None:
    photo = photo_at(tmp_path / "x.png")
    # The pack does not exist: whoever looks for it first says so.
    done = score(photo, "--draw", photo, "--models", "nope")
    assert done.exit_code == 2
    assert "one of the files that are read" in " ".join(done.output.split())
    done = score(photo, "--draw", tmp_path, "--models", "nope", "--overwrite")
    assert done.exit_code == 2
    assert "one of the files that are read" in " ".join(done.output.split())


@pytest.mark.triton
def test_scores_are_printed_where_a_drawing_fails(tmp_path: Path, photos: Path, lite_server: object) -> None:
    good = photos / "hopper.jpg"
    (tmp_path / "out").mkdir()
    long_name = tmp_path / f"{'x' * 251}.jpg"
    long_name.write_bytes(good.read_bytes())
    url = lite_server.url  # type: ignore[attr-defined]
    done = score(good, long_name, "--json", "--draw", tmp_path / "out", "--server", url)
    assert done.exit_code == 3
    assert [len(photo["faces"]) for photo in json.loads(done.stdout)] == [1, 1]
    assert f"drew {tmp_path / 'out' / 'hopper.png'}" in done.stderr
    assert "cannot be written: File name too long; give a shorter name" in done.stderr
