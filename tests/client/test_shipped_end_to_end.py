"""The main job on the photos that ship with the project, through the real embedded server."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fsdata.sample_photos import sample_photos
from fsengine.server.embedded import EmbeddedServer
from terminal_for_tests import on_terminal

pytestmark = pytest.mark.triton

TIMEOUT_S = 240


def fsclient(command: list[str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


def rows_of(folder: Path) -> dict[str, dict[str, Any]]:
    return {os.path.basename(row["source"]): row for row in pq.read_table(folder).to_pylist()}


def server_processes() -> set[int]:
    """Return the servers, supervisors and stubs that this test run has started, by the state folder it gave them."""
    mine = f"XDG_STATE_HOME={os.environ['XDG_STATE_HOME']}".encode()
    programs = (b"tritonserver", b"triton_python_backend_stub", b"fsengine.server.supervisor")
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command, variables = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
        except OSError:
            continue
        if mine in variables.split(b"\0") and any(program in command for program in programs):
            found.add(int(entry.name))
    return found


def wait_until(condition: Any, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


@pytest.fixture(scope="module")
def ingested(tmp_path_factory: pytest.TempPathFactory, fsclient_command: list[str], photos: Path) -> Path:
    """Results of the README's first command."""
    out = tmp_path_factory.mktemp("ingested") / "results"
    done = fsclient(fsclient_command, "ingest", photos, "--out", out)
    assert done.returncode == 0, done.stderr
    for expected in (
        "11 photos",
        "photos/s",
        "recognise people",
        "lite: small permissive models",
        str(out),
        "fsclient table build",
    ):
        assert expected in done.stderr
    return out


def test_the_readme_shows_what_its_commands_print(ingested: Path, fsclient_command: list[str]) -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    command = "$ .venv/bin/fsclient table build results && .venv/bin/fsclient table info results\n"
    shown = readme[readme.index(command) + len(command) :].split("```")[0].splitlines()
    assert fsclient(fsclient_command, "table", "build", ingested).returncode == 0
    printed = subprocess.run(
        [*fsclient_command, "table", "info", ingested.name],
        capture_output=True,
        text=True,
        check=True,
        cwd=ingested.parent,
    ).stdout.splitlines()
    first, end = printed.index("first rows") + 1, printed.index("read it")
    width = printed[first].index("ethnicity")  # of people whose names are known: not on the front page
    printed[first:end] = [line[:width] for line in printed[first:end]]
    rest, may_skip = iter(printed), False
    for expected in shown:
        if expected == "...":
            may_skip = True
            continue
        for line in rest:
            if is_shown_as(line, expected):
                break
            assert may_skip, (line, expected)
        else:
            raise AssertionError(f"it does not print {expected!r}")
        may_skip = False
    assert may_skip or next(rest, None) is None


def is_shown_as(line: str, expected: str) -> bool:
    """Return whether two lines are the same but for the last digits, which differ with the processor."""
    words, wanted = line.split(), expected.split()
    return len(words) == len(wanted) and all(map(is_same_word, words, wanted))


def is_same_word(word: str, other: str) -> bool:
    try:
        return word == other or float(word) == pytest.approx(float(other), abs=0.1)
    except ValueError:
        return False


def test_every_shipped_photo_has_the_faces_that_a_person_counts(ingested: Path) -> None:
    rows = rows_of(ingested)
    counted = {photo.path.name: photo.num_faces for photo in sample_photos()}
    found = {name: len(row["faces"]) for name, row in rows.items()}
    assert found == counted


def test_faces_are_described_in_pixels_of_the_photo(ingested: Path) -> None:
    row = rows_of(ingested)["astronaut.jpg"]
    assert (row["width"], row["height"]) == (512, 512)
    (face,) = row["faces"]
    x0, y0, x1, y1 = face["box"]
    assert 150 < x0 < 200
    assert 250 < x1 < 310
    assert all(x0 < x < x1 and y0 < y < y1 for x, y in face["landmarks"])
    eye, other_eye, nose, *_ = face["landmarks"]
    assert eye[0] < nose[0] < other_eye[0]
    np.testing.assert_allclose(np.linalg.norm(face["embedding"]), 1, atol=1e-5)
    np.testing.assert_allclose(sum(face["ethnicity_probability"]), 1, atol=1e-5)
    np.testing.assert_allclose(sum(face["gender_probability"]), 1, atol=1e-5)
    assert 0 <= face["age_years"] <= 100
    assert "attractiveness" not in face


def test_a_photo_gives_the_same_numbers_alone_and_through_score(
    ingested: Path, photos: Path, fsclient_command: list[str], lite_server: EmbeddedServer
) -> None:
    names = ["obama.jpg", "solvay_conference_1927.jpg", "coffee.jpg"]
    done = fsclient(
        fsclient_command, "score", *(photos / name for name in names), "--json", "--server", lite_server.url
    )
    assert done.returncode == 0, done.stderr
    for scored in json.loads(done.stdout):
        row = rows_of(ingested)[os.path.basename(scored["source"])]
        assert scored["status"] == row["status"]
        assert scored["marks"] == {
            "lite: small permissive models": ["detect", "embed", "ethnicity", "age_gender"],
            "recognises people": ["embed"],
        }
        assert len(scored["faces"]) == len(row["faces"])
        for one, other in zip(scored["faces"], row["faces"], strict=True):
            for key in ("box", "landmarks", "embedding", "score", "age_years"):
                np.testing.assert_allclose(one[key], other[key], atol=1e-4)
            np.testing.assert_allclose(
                list(one["ethnicity_probability"].values()), other["ethnicity_probability"], atol=1e-4
            )


def test_bad_files_are_rows_and_fail_no_neighbour(
    tmp_path: Path, photos: Path, fsclient_command: list[str], lite_server: EmbeddedServer
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):
        shutil.copy(photos / "hopper.jpg", folder / f"good{number}.jpg")
        (folder / f"cut{number}.jpg").write_bytes((photos / "obama.jpg").read_bytes()[: 2000 + number])
    (folder / "notes.txt").write_text("no photo")
    (folder / "empty.jpg").touch()
    shutil.copy(os.fsencode(photos / "hopper.jpg"), os.fsencode(folder) + b"/\xff.jpg")
    done = fsclient(
        fsclient_command,
        "ingest",
        "--strict",
        folder,
        "--out",
        tmp_path / "out",
        "--server",
        lite_server.url,
        "--concurrency",
        "12",
    )
    assert done.returncode == 3, done.stderr
    rows = rows_of(tmp_path / "out")
    assert len(rows) == 15
    assert {rows[f"good{n}.jpg"]["status"] for n in range(6)} == {"ok"}
    assert {rows[f"cut{n}.jpg"]["status"] for n in range(6)} == {"corrupt"}
    assert rows["cut0.jpg"]["reason"]
    assert rows["notes.txt"]["status"] == rows["empty.jpg"]["status"] == "unsupported"
    assert rows["%FF.jpg"]["status"] == "ok"
    assert lite_server.alive()


def test_the_eight_orientations_give_the_same_box(
    tmp_path: Path, photos: Path, fsclient_command: list[str], lite_server: EmbeddedServer
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    turned = {
        1: (),
        2: (Image.Transpose.FLIP_LEFT_RIGHT,),
        3: (Image.Transpose.ROTATE_180,),
        4: (Image.Transpose.FLIP_TOP_BOTTOM,),
        5: (Image.Transpose.TRANSPOSE,),
        6: (Image.Transpose.ROTATE_90,),
        7: (Image.Transpose.TRANSVERSE,),
        8: (Image.Transpose.ROTATE_270,),
    }
    upright = Image.open(photos / "obama.jpg")
    for orientation, steps in turned.items():
        image: Image.Image = upright
        for step in steps:
            image = image.transpose(step)
        exif = Image.Exif()
        exif[0x0112] = orientation
        image.save(folder / f"{orientation}.jpg", exif=exif, quality=95)
    done = fsclient(fsclient_command, "score", folder, "--json", "--server", lite_server.url)
    boxes = {}
    for scored in json.loads(done.stdout):
        assert (scored["width"], scored["height"]) == upright.size
        boxes[os.path.basename(scored["source"])] = scored["faces"][0]["box"]
    assert len(boxes) == 8
    spread = np.ptp(np.array(list(boxes.values())), axis=0)
    assert spread.max() < 2.0


def many_photos(folder: Path, photos: Path, count: int) -> None:
    """Write photos that differ, so that a run takes a while."""
    folder.mkdir()
    image = Image.open(photos / "obama.jpg")
    for number in range(count):
        buffer = io.BytesIO()
        image.crop((0, 0, image.width, image.height - number)).save(buffer, "JPEG")
        (folder / f"{number:03}.jpg").write_bytes(buffer.getvalue())


def test_a_killed_client_leaves_no_server_and_the_next_run_ends_as_an_undisturbed_one(
    tmp_path: Path, photos: Path, fsclient_command: list[str], lite_server: EmbeddedServer
) -> None:
    many_photos(tmp_path / "photos", photos, 24)
    before = server_processes()
    regions = set(os.listdir("/dev/shm"))
    command = [*fsclient_command, "ingest", str(tmp_path / "photos"), "--out", str(tmp_path / "killed")]
    victim = subprocess.Popen([*command, "--part-size", "4"], stderr=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: list((tmp_path / "killed").glob("part-*.parquet")), TIMEOUT_S)
    finally:
        victim.send_signal(signal.SIGKILL)
        victim.wait()
    assert wait_until(lambda: server_processes() == before, 15)
    assert wait_until(lambda: set(os.listdir("/dev/shm")) <= regions, 15)
    written = len(rows_of(tmp_path / "killed"))
    assert 4 <= written < 24
    again = fsclient(command, "--part-size", "4")
    assert again.returncode == 0, again.stderr
    assert f"{written} of 24 photos are done already" in again.stderr
    plain = fsclient(
        fsclient_command, "ingest", tmp_path / "photos", "--out", tmp_path / "plain", "--server", lite_server.url
    )
    assert plain.returncode == 0, plain.stderr
    disturbed, undisturbed = rows_of(tmp_path / "killed"), rows_of(tmp_path / "plain")
    assert disturbed.keys() == undisturbed.keys()
    for name, row in undisturbed.items():
        other = disturbed[name]
        assert (other["source"], other["status"], len(other["faces"])) == (
            row["source"],
            row["status"],
            len(row["faces"]),
        )
        for one, two in zip(row["faces"], other["faces"], strict=True):
            np.testing.assert_allclose(one["box"], two["box"], atol=1e-4)
            np.testing.assert_allclose(one["embedding"], two["embedding"], atol=1e-4)


def test_ctrl_c_writes_what_is_done_and_stops_the_server(
    tmp_path: Path, photos: Path, fsclient_command: list[str]
) -> None:
    many_photos(tmp_path / "photos", photos, 40)
    before = server_processes()
    command = [*fsclient_command, "ingest", str(tmp_path / "photos"), "--out", str(tmp_path / "out")]
    with on_terminal(command) as (client, shown):
        # The progress bar shows a number of faces once photos are done.
        assert shown.wait_for(r"[1-9]\d* face", TIMEOUT_S), shown.text
        before_ctrl_c = len(shown.text)
        client.send_signal(signal.SIGINT)
        assert client.wait(60) == 130
    rest = shown.text[before_ctrl_c:]
    rows = rows_of(tmp_path / "out")
    assert 1 <= len(rows) < 40
    assert "unfinished; run the same command again" in rest
    assert wait_until(lambda: server_processes() == before, 15)


@pytest.mark.parametrize("also_killed", ["", "fsengine.server.supervisor"])
def test_a_server_that_dies_leaves_photos_unfinished_and_names_its_log(
    tmp_path: Path, photos: Path, fsclient_command: list[str], also_killed: str
) -> None:
    many_photos(tmp_path / "photos", photos, 40)
    before = server_processes()
    command = [*fsclient_command, "ingest", str(tmp_path / "photos"), "--out", str(tmp_path / "out")]
    client = subprocess.Popen([*command, "--part-size", "2"], stderr=subprocess.PIPE, text=True)
    assert wait_until(lambda: list((tmp_path / "out").glob("part-*.parquet")), TIMEOUT_S)
    commands = {
        process: (Path("/proc") / str(process) / "cmdline").read_bytes().decode().split("\0")
        for process in server_processes() - before
    }
    doomed = [
        process
        for process, words in commands.items()
        if words[0].endswith("/tritonserver") or (also_killed and also_killed in words)
    ]
    assert len(doomed) == (2 if also_killed else 1)
    # The supervisor goes first, or it would clear away what the server leaves.
    for process in sorted(doomed):
        os.kill(process, signal.SIGKILL)
    _, said = client.communicate(timeout=TIMEOUT_S)
    assert client.returncode == 4, said
    assert "unfinished" in said
    assert "server-" in said
    assert wait_until(lambda: server_processes() == before, 15)


def test_a_head_that_is_switched_off_is_absent(tmp_path: Path, photos: Path, fsclient_command: list[str]) -> None:
    done = fsclient(
        fsclient_command, "score", photos / "hopper.jpg", "--json", "--without", "ethnicity", "--without", "age_gender"
    )
    assert done.returncode == 0, done.stderr
    (face,) = json.loads(done.stdout)[0]["faces"]
    assert set(face) == {"box", "landmarks", "score", "embedding"}


def test_score_draws_on_a_copy(
    tmp_path: Path, photos: Path, fsclient_command: list[str], lite_server: EmbeddedServer
) -> None:
    drawing = tmp_path / "drawn.png"
    done = fsclient(fsclient_command, "score", photos / "obama.jpg", "--draw", drawing, "--server", lite_server.url)
    assert done.returncode == 0, done.stderr
    assert "1 face\n" in done.stdout
    original = np.asarray(Image.open(photos / "obama.jpg").convert("RGB"))
    drawn = np.asarray(Image.open(drawing))
    assert drawn.shape[1] > original.shape[1]  # the legend stands beside the photo
    left, top = (24, 24)
    copy = drawn[top : top + original.shape[0], left : left + original.shape[1]]
    assert 0.95 < (copy == original).all(axis=2).mean() < 1
