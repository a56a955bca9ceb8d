"""The examples, as a developer runs them: Python, Node and curl print the numbers that the library gives."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fsclient import Client
from fsengine.server.embedded import EmbeddedServer

pytestmark = pytest.mark.triton

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TIMEOUT_S = 120.0
PHOTOS = ("obama.jpg", "coffee.jpg", "solvay_conference_1927.jpg", "turned.jpg")


@pytest.fixture(scope="module")
def given(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the photos: one with a face, one without, a crowd, and one that Exif says is turned."""
    folder = tmp_path_factory.mktemp("given")
    for name in PHOTOS[:3]:
        shutil.copy(photos / name, folder / name)
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(photos / "obama.jpg") as photo:
        photo.transpose(Image.Transpose.ROTATE_90).save(folder / "turned.jpg", exif=exif, quality=95)
    return folder


@pytest.fixture(scope="module")
def expected(lite_server: EmbeddedServer, given: Path) -> dict[str, dict[str, Any]]:
    with Client(lite_server.url) as client:
        return {name: client.score(given / name, embedding=False).to_dict() for name in PHOTOS}


def numbers(value: Any) -> Any:
    """Return the numbers of a field; of an object those in the order of its names."""
    return [value[name] for name in sorted(value)] if isinstance(value, dict) else value


def compare(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert (found["width"], found["height"]) == (expected["width"], expected["height"])
    assert len(found["faces"]) == len(expected["faces"])
    for face, other in zip(found["faces"], expected["faces"], strict=True):
        assert {"box", "score", "age_years", "gender", "ethnicity"} <= set(face)
        for name, value in face.items():
            if isinstance(value, str):
                assert value == other[name]
            else:
                np.testing.assert_allclose(numbers(value), numbers(other[name]), rtol=1e-3, atol=1e-3, err_msg=name)


@pytest.mark.parametrize("name", PHOTOS)
def test_python(lite_server: EmbeddedServer, given: Path, expected: dict[str, dict[str, Any]], name: str) -> None:
    command = [sys.executable, str(EXAMPLES / "python" / "score.py"), str(given / name), "--server", lite_server.url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr
    compare(json.loads(done.stdout), expected[name])


def test_python_says_what_is_wrong_with_a_photo(lite_server: EmbeddedServer, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.jpg").write_bytes((photos / "obama.jpg").read_bytes()[:2000])
    command = [
        sys.executable,
        str(EXAMPLES / "python" / "score.py"),
        str(tmp_path / "cut.jpg"),
        "--server",
        lite_server.url,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 1
    assert "decode failed" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the Node example with its packages, so that nothing is installed into the tree."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are missing")
    folder = tmp_path_factory.mktemp("node")
    for name in ("score.mjs", "package.json"):
        shutil.copy(EXAMPLES / "node" / name, folder / name)
    command = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    if done.returncode:
        pytest.skip(f"npm cannot install the example's packages: {done.stderr[-200:]}")
    return folder


@pytest.mark.parametrize("name", PHOTOS)
def test_node(
    lite_server: EmbeddedServer, given: Path, expected: dict[str, dict[str, Any]], node: Path, name: str
) -> None:
    command = ["node", str(node / "score.mjs"), str(given / name), "--server", lite_server.url]
    command += ["--protos", str(EXAMPLES / "proto")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr
    compare(json.loads(done.stdout), expected[name])


@pytest.fixture(scope="module")
def gateway(lite_server: EmbeddedServer, fsclient_command: list[str]) -> Iterator[str]:
    """The address of a gateway in front of the server."""
    if shutil.which("curl") is None:
        pytest.skip("curl is missing")
    command = [*fsclient_command, "gateway", "--server", lite_server.url, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


@pytest.mark.parametrize("name", PHOTOS)
def test_curl(gateway: str, given: Path, expected: dict[str, dict[str, Any]], name: str) -> None:
    command = [str(EXAMPLES / "curl" / "score.sh"), str(given / name), gateway]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["status"] == expected[name]["status"]
    compare(found, expected[name])


def test_the_turned_photo_is_told_from_one_that_lies(expected: dict[str, dict[str, Any]]) -> None:
    assert expected["turned.jpg"]["height"] > expected["turned.jpg"]["width"]
    assert len(expected["turned.jpg"]["faces"]) == 1
