"""Labelled photos split, sampled and looked at: what belongs together stays so, and nothing is written by halves."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from fsclient.cli import main as fsclient
from fsdata.cli import main
from fsdata.label_options import ATTRIBUTES
from fsdata.labels.joining import join_results
from fsdata.labels.readers.data_sets import read_labels
from fsdata.labels.splits import FRACTIONS
from fsdata.preparing import commands, sampling
from fsdata.preparing.contact_sheet import MOST_CELL_PX, MOST_COLUMNS, MOST_PHOTOS, fitted
from fsengine.files.path_list import read_path_list
from fstraining.data.face_splits import split_faces
from stored_faces import results_of

COUNT = 72


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos of 24 persons and of nobody known, with copies, smaller copies, and a photo that is gone."""
    folder = tmp_path_factory.mktemp("labelled")
    rng = np.random.default_rng(0)
    rows = ["file,identity,gender,age_years,race"]
    for number in range(COUNT):
        name = f"{number:02}.jpg"
        pixels = rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((96, 96), Image.Resampling.BICUBIC).save(folder / name, quality=95)
        person = f"p{number % 24}" if number < 48 else ""
        gender = "female" if number % 3 else "male"
        rows.append(f"{name},{person},{gender},{20 + number % 40},{'White' if number % 2 else 'Black'}")
    shutil.copy(folder / "50.jpg", folder / "copy of 51.jpg")
    Image.open(folder / "60.jpg").resize((64, 64)).save(folder / "smaller.jpg", quality=80)
    rows += ["copy of 51.jpg,,male,20,White", "smaller.jpg,,male,20,White", "gone.jpg,,male,20,White"]
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder / "labels.csv"


def run(*words: str | Path, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], input=stdin)


def sides(folder: Path) -> dict[str, str]:
    """Return the side of each photo by its name, as the lists have it."""
    return {
        os.path.basename(os.fsdecode(line)): side
        for side in FRACTIONS
        for line in read_path_list(str(folder / f"{side}.txt"))
    }


def test_what_belongs_together_is_on_one_side(labels: Path, tmp_path: Path) -> None:
    done = run("split", labels, "--out", tmp_path / "lists")
    assert done.exit_code == 0, done.output
    assert "left out: 1 missing" in done.output
    found = sides(tmp_path / "lists")
    assert len(found) == COUNT + 2
    assert found["copy of 51.jpg"] == found["50.jpg"]
    for person in range(24):
        assert found[f"{person:02}.jpg"] == found[f"{person + 24:02}.jpg"]
    with (tmp_path / "lists" / "splits.csv").open(newline="") as file:
        rows = {Path(row["file"]).name: row for row in csv.DictReader(file)}
    assert {name: row["split"] for name, row in rows.items()} == found
    assert rows["smaller.jpg"]["group"] == rows["60.jpg"]["group"]
    assert len({row["group"] for row in rows.values()}) == 48
    run("split", labels, "--out", tmp_path / "bytes", "--copies-only")
    with (tmp_path / "bytes" / "splits.csv").open(newline="") as file:
        assert len({row["group"] for row in csv.DictReader(file)}) == 49
    run("split", labels, "--out", tmp_path / "other", "--seed", "1")
    assert sides(tmp_path / "other") != found


def test_results_give_the_sides_of_training(labels: Path, tmp_path: Path) -> None:
    records = read_labels(labels)
    results_of([record for record in records if record.path.exists()], tmp_path / "results")
    done = run("split", labels, "--results", tmp_path / "results", "--out", tmp_path / "lists", "--seed", "5")
    assert done.exit_code == 0, done.output
    faces = join_results(tmp_path / "results", records)
    splits = split_faces(faces, 5)
    for side, of_side in zip(FRACTIONS, (splits.train, splits.validation, splits.test), strict=True):
        listed = [os.fsdecode(line) for line in read_path_list(str(tmp_path / "lists" / f"{side}.txt"))]
        assert listed == [str(faces.records[row].path) for row in of_side]


def test_lists_replace_lists_and_nothing_else(labels: Path, tmp_path: Path) -> None:
    out = tmp_path / "lists"
    assert run("split", labels, "--out", out, "--copies-only").exit_code == 0
    again = run("split", labels, "--out", out, "--copies-only")
    assert (again.exit_code, "--overwrite" in again.output) == (2, True)
    assert run("split", labels, "--out", out, "--copies-only", "--overwrite").exit_code == 0
    (out / "mine.txt").write_text("kept")
    refused = run("split", labels, "--out", out, "--copies-only", "--overwrite")
    assert (refused.exit_code, "mine.txt" in refused.output) == (2, True)
    assert (out / "mine.txt").read_text() == "kept"
    (tmp_path / "file").write_text("")
    for wrong in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        refused = run("split", labels, "--out", wrong, "--copies-only")
        assert refused.exit_code == 2, refused.output
        assert "Error" in refused.output
    assert run("split", labels, "--out", out, "--copies-only", "--results", tmp_path).exit_code == 2


def test_a_sample_is_even_and_the_same_each_time(labels: Path, tmp_path: Path) -> None:
    out = tmp_path / "sample.txt"
    done = run("sample", labels, "-n", "20", "--by", "gender", "--by", "ethnicity", "--out", out)
    assert done.exit_code == 0, done.output
    for name in ("female, Black", "female, White", "male, Black", "male, White"):
        assert f"{name}: 5 of" in done.output
    drawn = read_path_list(str(out))
    piped = subprocess.run(
        [sys.executable, "-c", "from fsdata.cli import main; main()"]
        + ["sample", str(labels), "-n", "20", "--by", "gender", "--by", "ethnicity"],
        capture_output=True,
        check=True,
    )
    assert piped.stdout == out.read_bytes()
    moved = tmp_path / "moved"
    shutil.copytree(labels.parent, moved)
    run("sample", moved / "labels.csv", "-n", "20", "--by", "gender", "--by", "ethnicity", "--out", tmp_path / "m.txt")
    assert list(map(os.path.basename, read_path_list(str(tmp_path / "m.txt")))) == list(map(os.path.basename, drawn))
    few = run("sample", labels, "-n", "500", "--by", "identity", "--out", tmp_path / "few.txt")
    assert "drew 48 photos, 500 were asked for" in few.output
    assert "without identity" in few.output


def test_a_list_goes_on_to_other_commands(labels: Path, tmp_path: Path) -> None:
    out = tmp_path / "sample.txt"
    run("sample", labels.parent, "-n", "30", "--out", out)
    told = CliRunner().invoke(
        fsclient, ["ingest", "--from-file", str(out), "--dry-run", "--out", str(tmp_path / "results")]
    )
    assert "30 photos to score: 30 JPEG" in told.output
    assert run("split", out, "--out", tmp_path / "plain", "--copies-only").exit_code == 0
    assert len(sides(tmp_path / "plain")) == 30
    assert run("split", labels, "--only", out, "--out", tmp_path / "only", "--copies-only").exit_code == 0
    assert len(sides(tmp_path / "only")) == 30
    piped = run("sheet", "-", "--out", tmp_path / "s.png", stdin=out.read_bytes())
    assert "s.png shows 30 photos" in piped.output


def test_what_cannot_be_drawn_from_is_refused(labels: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.txt").write_bytes(b"/none.jpg\n")
    (tmp_path / "zeros.lst").write_bytes(b"\0" * 100)
    os.mkfifo(tmp_path / "fifo")
    for path, said in (
        (tmp_path / "empty", "holds no photos"),
        (tmp_path / "list.txt", "1 missing"),
        (tmp_path / "zeros.lst", "NUL"),
        (tmp_path / "fifo", "is no file"),
        (tmp_path / "none", "does not exist"),
    ):
        refused = run("sample", path, "-n", "3", "--out", tmp_path / "out")
        assert refused.exit_code == 2, refused.output
        assert said in refused.output
    refused = run("sample", labels, "-n", "3", "--out", labels, "--overwrite")
    assert "one of the files that are read" in refused.output
    refused = run("sample", labels, "-n", "3", "--by", "split", "--out", tmp_path / "out")
    assert "without split" in refused.output
    assert not (tmp_path / "out").exists()


def test_a_sheet_shows_photos_upright_in_cells_of_one_size(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    picture = Image.new("RGB", (300, 150), "red")
    picture.paste("blue", (0, 0, 150, 150))
    picture.save(folder / "a.png")
    exif = Image.Exif()
    exif[274] = 6
    # Its pixels lie on their side, and Exif says so: upright it is the same picture.
    picture.rotate(90, expand=True).save(folder / "b.jpg", exif=exif, quality=95)
    (folder / ("n" * 240 + ".jpg")).write_bytes(b"no photo")
    (folder / "below").mkdir()
    picture.resize((30, 15)).save(folder / "below" / "\u4e2d\u6587\n.png")
    done = run("sheet", folder, "--out", tmp_path / "sheet.png", "--cell", "100", "--columns", "2")
    assert done.exit_code == 3, done.output
    assert "unsupported" in done.output
    sheet = Image.open(tmp_path / "sheet.png").convert("RGB")
    assert sheet.size == (2 * 106 + 6, 2 * 121 + 6 + 26)
    pixels = np.asarray(sheet).astype(int)
    for left in (6, 112):
        assert np.abs(pixels[56, left + 20] - (0, 0, 255)).max() < 30
        assert np.abs(pixels[56, left + 80] - (255, 0, 0)).max() < 30
        assert pixels[10, left + 50].tolist() == [238, 238, 238]
    again = run("sheet", folder, "--out", tmp_path / "sheet.png")
    assert (again.exit_code, "is there already" in again.output) == (2, True)
    assert run("sheet", folder, "--out", folder / "a.png", "--overwrite").exit_code == 2
    assert run("sheet", folder, "--out", tmp_path / "sheet.jpg").exit_code == 2


def test_a_sheet_says_what_it_does_not_show(labels: Path, tmp_path: Path) -> None:
    done = run("sheet", labels.parent, "--most", "5", "--out", tmp_path / "sheet.png")
    assert done.exit_code == 0
    assert "shows the first 5 of 74 photos; --most shows more" in done.output
    refused = run("sheet", labels, "--out", tmp_path / "other.png")
    assert (refused.exit_code, "fsdata sample" in refused.output) == (2, True)


def test_names_fit_their_cell() -> None:
    for name in ("short.jpg", "x" * 5000, "a\u202eb\n.jpg", ""):
        shown = fitted(name, 80, lambda text: 8 * len(text))
        assert len(shown) <= 10
        assert shown.isprintable()
    assert fitted("abcdefghijklmnop.jpg", 80, lambda text: 8 * len(text)) == "abcd...jpg"


def test_ctrl_c_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.effect_noise((2500, 2500), 90).convert("RGB").save(folder / "0.png", compress_level=0)
    for number in range(1, 60):
        os.link(folder / "0.png", folder / f"{number}.png")
    program = "from fsdata.preparing import contact_sheet\nprint(flush=True)\nfrom fsdata.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", program, "sheet", str(folder), "--out", str(tmp_path / "sheet.png")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "nothing was written" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


def test_what_is_typed_for_help_is_what_the_code_has() -> None:
    assert sampling.CLASSES == commands.CLASSES
    assert "identity" in ATTRIBUTES
    options = {option.name: option.type for option in commands.sheet_command.params}
    assert [options[name].max for name in ("most", "columns", "cell")] == [MOST_PHOTOS, MOST_COLUMNS, MOST_CELL_PX]  # type: ignore[attr-defined]
